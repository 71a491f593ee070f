package fault

// Code is the stable name of a failure; clients branch on it. Codes are never
// renamed.
type Code string

// The codes; the table below gives each its meaning on every transport.
const (
	BadRequest         Code = "bad_request"
	Invalid            Code = "invalid"
	UnknownOp          Code = "unknown_op"
	UnknownVersion     Code = "unknown_version"
	Unauthenticated    Code = "unauthenticated"
	InvalidCredentials Code = "invalid_credentials"
	TokenExpired       Code = "token_expired"
	RefreshReused      Code = "refresh_reused"
	AccountDisabled    Code = "account_disabled"
	LinkInvalid        Code = "link_invalid"
	// ExternalAccount: another service keeps the password and the e-mail.
	ExternalAccount     Code = "external_account"
	Forbidden           Code = "forbidden"
	ForeignOrigin       Code = "foreign_origin"
	NotFound            Code = "not_found"
	MethodNotAllowed    Code = "method_not_allowed"
	Conflict            Code = "conflict"
	EmailTaken          Code = "email_taken"
	StepOutOfOrder      Code = "step_out_of_order"
	UnknownStep         Code = "unknown_step"
	OnboardingOpen      Code = "onboarding_incomplete"
	RunActive           Code = "run_active"
	QueueFull           Code = "queue_full"
	ConversationEnded   Code = "conversation_ended"
	IdempotencyMismatch Code = "idempotency_mismatch"
	CursorGone          Code = "cursor_gone"
	TooLarge            Code = "too_large"
	UnsupportedMedia    Code = "unsupported_media_type"
	RateLimited         Code = "rate_limited"
	UpstreamUnavailable Code = "upstream_unavailable"
	UpstreamTimeout     Code = "upstream_timeout"
	UpstreamTruncated   Code = "upstream_truncated"
	UpstreamFiltered    Code = "upstream_filtered"
	UpstreamRejected    Code = "upstream_rejected"
	UpstreamInvalid     Code = "upstream_invalid"
	AttemptsExhausted   Code = "attempts_exhausted"
	QuotaExhausted      Code = "quota_exhausted"
	StorageUnavailable  Code = "storage_unavailable"
	// DependencyUnavailable: another server that we call (mail, search, an
	// identity provider) is down or too slow.
	DependencyUnavailable Code = "dependency_unavailable"
	Overloaded            Code = "overloaded"
	Draining              Code = "draining"
	SlowViewer            Code = "slow_viewer"
	HeartbeatTimeout      Code = "heartbeat_timeout"
	HelloTimeout          Code = "hello_timeout"
	TooManyConnections    Code = "too_many_connections"
	Superseded            Code = "superseded"
	Kicked                Code = "kicked"
	ProtocolVersion       Code = "protocol_version"
	Internal              Code = "internal"
)

// Spec is what one code means on each transport. Close is 0 when a WebSocket
// stays open and gets an err frame instead.
type Spec struct {
	Code   Code
	Status int
	Close  int
	// Retry tells a client what helps: "never", "fix", "later", "token",
	// "reconnect" or "same_id" (repeat the command with the same id).
	Retry string
	Title string
}

// Codes is the one table of failures.
var Codes = []Spec{
	{BadRequest, 400, 0, "fix", "The request cannot be read"},
	{Invalid, 422, 0, "fix", "A value is not allowed"},
	{UnknownOp, 400, 0, "fix", "Unknown frame type or operation"},
	{UnknownVersion, 404, 0, "fix", "Unknown API version"},
	{Unauthenticated, 401, 4401, "token", "Sign in first"},
	{InvalidCredentials, 401, 0, "fix", "E-mail or password is wrong"},
	{TokenExpired, 401, 4401, "token", "The token has expired"},
	{RefreshReused, 401, 4401, "token", "This refresh token was used before; sign in again"},
	{AccountDisabled, 403, 0, "never", "This account is deactivated"},
	{LinkInvalid, 410, 0, "fix", "This link does not work any more; ask for a new one"},
	{ExternalAccount, 409, 0, "never", "Another service keeps this account's password"},
	{Forbidden, 403, 4503, "never", "Not allowed"},
	{ForeignOrigin, 403, 0, "never", "Requests from this origin are refused"},
	{NotFound, 404, 0, "never", "Not found"},
	{MethodNotAllowed, 405, 0, "fix", "Method not allowed here"},
	{Conflict, 409, 0, "fix", "Somebody changed this first; read it again"},
	{EmailTaken, 409, 0, "fix", "This e-mail cannot be used for a new account"},
	{StepOutOfOrder, 409, 0, "fix", "An earlier step is still open"},
	{UnknownStep, 404, 0, "fix", "Unknown onboarding step"},
	{OnboardingOpen, 409, 0, "fix", "Finish onboarding first"},
	{RunActive, 409, 0, "later", "A reply is being written"},
	{QueueFull, 409, 0, "later", "Too many messages are waiting"},
	{ConversationEnded, 409, 0, "never", "This conversation has ended"},
	{IdempotencyMismatch, 422, 0, "fix", "The same id was used for another text"},
	{CursorGone, 410, 0, "fix", "The cursor cannot be served; read a snapshot"},
	{TooLarge, 413, 1009, "fix", "Too large"},
	{UnsupportedMedia, 415, 0, "fix", "Send application/json"},
	{RateLimited, 429, 4429, "later", "Too many requests"},
	{UpstreamUnavailable, 502, 0, "later", "The model cannot be reached"},
	{UpstreamTimeout, 504, 0, "later", "The model did not answer in time"},
	{UpstreamTruncated, 502, 0, "later", "The model stopped in mid-answer"},
	{UpstreamFiltered, 502, 0, "fix", "The model refused this content"},
	{UpstreamRejected, 502, 0, "never", "The model refused the request"},
	{UpstreamInvalid, 502, 0, "later", "The model's answer could not be used"},
	{AttemptsExhausted, 502, 0, "later", "The reply failed after several attempts"},
	{QuotaExhausted, 429, 0, "later", "The budget for today is used up"},
	{StorageUnavailable, 503, 0, "same_id", "Storage does not answer; repeat with the same id"},
	{DependencyUnavailable, 503, 0, "later", "A service that this needs does not answer"},
	{Overloaded, 503, 1013, "later", "The server is full"},
	{Draining, 503, 1012, "reconnect", "The server is going away"},
	{SlowViewer, 503, 4008, "reconnect", "The connection reads too slowly"},
	{HeartbeatTimeout, 408, 4009, "reconnect", "No sign of life"},
	{HelloTimeout, 408, 4010, "reconnect", "No hello in time"},
	{TooManyConnections, 429, 4430, "later", "Too many connections"},
	{Superseded, 409, 4509, "never", "Replaced by a newer connection"},
	{Kicked, 403, 4510, "never", "This connection was ended by an operator"},
	{ProtocolVersion, 426, 4526, "fix", "Unsupported protocol version"},
	{Internal, 500, 1011, "reconnect", "Something went wrong on our side"},
}

var byCode = func() map[Code]Spec {
	m := make(map[Code]Spec, len(Codes))
	for _, s := range Codes {
		m[s.Code] = s
	}
	return m
}()

// SpecOf returns the row of a code; an unknown code reads as Internal.
func SpecOf(c Code) Spec {
	if s, ok := byCode[c]; ok {
		return s
	}
	return byCode[Internal]
}
