package upstream

import (
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// maxDetail caps what is kept of an upstream's own words.
const maxDetail = 2 << 10

// Error is one failure of an upstream, whatever form it had. It is always the
// cause of a *fault.Error.
type Error struct {
	// Status is the HTTP status, or the one named inside a stream; 0 if none.
	Status int
	// Kind is our own word for what happened: "status", "frame", "html", …
	Kind string
	// Code, Type and Param are the upstream's, cut down to plain words.
	Code, Type, Param string
	// Detail is the upstream's message, masked and cut. It may still quote the
	// prompt: never log it, never show it.
	Detail string
	// RetryAfter is the upstream's advice; negative when it gave none.
	RetryAfter time.Duration
	// RequestID is the upstream's name for the request.
	RequestID string
	// Transient says that the same request may succeed later.
	Transient bool
}

// Error names the failure without a word of the upstream's own text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("upstream ")
	b.WriteString(e.Kind)
	if e.Status != 0 {
		b.WriteString(" status=" + strconv.Itoa(e.Status))
	}
	for _, f := range [...][2]string{{"code", e.Code}, {"type", e.Type}, {"param", e.Param}, {"request_id", e.RequestID}} {
		if f[1] != "" {
			b.WriteString(" " + f[0] + "=" + f[1])
		}
	}
	return b.String()
}

// LogValue keeps Detail out of structured logs too.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Error()) }

// Names reports whether the upstream complained about a parameter by name.
func (e *Error) Names(param string) bool {
	return strings.HasPrefix(e.Param, param) || strings.Contains(e.Detail, param)
}

// messages are what a learner may be told, by code.
var messages = map[fault.Code]string{
	fault.UpstreamUnavailable: "The model cannot be reached just now.",
	fault.UpstreamTimeout:     "The model did not answer in time.",
	fault.UpstreamRejected:    "The model refused the request.",
	fault.UpstreamFiltered:    "The model refused this content.",
	fault.UpstreamTruncated:   "The model stopped in mid-answer.",
	fault.UpstreamInvalid:     "The model's answer could not be used.",
}

// Fault wraps e with a code and that code's safe message.
func Fault(code fault.Code, e *Error) *fault.Error {
	f := fault.Wrap(e, code, messages[code])
	if e.RetryAfter > 0 {
		f.RetryAfterMS = e.RetryAfter.Milliseconds()
	}
	return f
}

// broken is Fault for failures that carry nothing but their kind.
func broken(code fault.Code, kind string, transient bool) *fault.Error {
	return Fault(code, &Error{Kind: kind, RetryAfter: -1, Transient: transient})
}

// classify gives an error object or status its code. A status inside a stream
// counts like one of HTTP: several servers report theirs only that way.
func classify(e *Error) fault.Code {
	words := strings.ToLower(e.Code + " " + e.Type)
	switch {
	case hasAny(words, "content_filter", "content_policy", "moderation", "responsibleaipolicy", "safety"):
		return fault.UpstreamFiltered
	case hasAny(words, "insufficient_quota", "invalid_api_key", "context_length", "model_not_found"):
		return fault.UpstreamRejected
	}
	switch s := e.Status; {
	case s == http.StatusRequestTimeout || s == http.StatusGatewayTimeout || s == 524:
		e.Transient = true
		return fault.UpstreamTimeout
	case s == http.StatusConflict || s == http.StatusTooManyRequests || s == http.StatusTooEarly || s >= 500:
		e.Transient = true
		return fault.UpstreamUnavailable
	case s == http.StatusForbidden && hasAny(strings.ToLower(e.Detail), "moderation", "flagged"):
		return fault.UpstreamFiltered
	case s >= 300:
		return fault.UpstreamRejected
	}
	if hasAny(words, "invalid", "unsupported", "bad_request", "badrequest", "authentication", "permission", "not_found", "context") {
		return fault.UpstreamRejected
	}
	// An error without a word about its nature in the middle of an answer is
	// most often a crashed worker.
	e.Transient = true
	if hasAny(words, "timeout") {
		return fault.UpstreamTimeout
	}
	return fault.UpstreamUnavailable
}

func hasAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// plainWord keeps an upstream's code only if it looks like a code.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.\-\[\]:/]{1,64}$`)

func word(s string) string {
	if plainWord.MatchString(s) && !secretLike.MatchString(s) {
		return s
	}
	return ""
}

var (
	secretLike = regexp.MustCompile(`(?i)\b(?:sk|pk|rk|key|org|sess)-[A-Za-z0-9_*\-]{4,}|bearer\s+\S+|[A-Za-z0-9+/_\-]{40,}|[^\s"'<>@]+@[^\s"'<>@]+`)
	quotedText = regexp.MustCompile(`"[^"]{41,}"|'[^']{41,}'|"[^"]*\s[^"]*"|“[^”]*”|` + "`[^`]*\\s[^`]*`")
)

// mask cuts an upstream's message and removes what may be a key, an address
// or a quotation of the prompt.
func mask(s string, secrets []string) string {
	for _, x := range secrets {
		if x != "" {
			s = strings.ReplaceAll(s, x, "***")
		}
	}
	if len(s) > 4*maxDetail {
		s = s[:4*maxDetail]
	}
	s = secretLike.ReplaceAllString(s, "***")
	s = quotedText.ReplaceAllString(s, "…")
	if len(s) > maxDetail {
		s = s[:maxDetail]
	}
	for len(s) > 0 && !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	return s
}
