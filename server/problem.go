package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// problemType is the prefix of every problem's type; the code follows.
const problemType = "urn:fluentpro:problem:"

// Problem is the one error document of the API (RFC 9457). It never holds a
// foreign error's text or a rejected value.
type Problem struct {
	Type      string        `json:"type" doc:"A stable name of the kind of problem" example:"urn:fluentpro:problem:not_found"`
	Title     string        `json:"title" doc:"The kind of problem in words, the same each time"`
	Status    int           `json:"status" doc:"The HTTP status"`
	Detail    string        `json:"detail" doc:"What was wrong this time, safe to show"`
	Code      fault.Code    `json:"code" doc:"The stable code to branch on"`
	RequestID string        `json:"request_id" doc:"Names this request in our logs"`
	Retryable bool          `json:"retryable" doc:"Whether repeating the request may help"`
	RetryMS   int64         `json:"retry_ms,omitempty" doc:"When a repeat may succeed, in milliseconds"`
	Errors    []fault.Field `json:"errors,omitempty" doc:"Every invalid field at once"`
}

// Error implements error; it holds only what the client may see.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="fluentpro"`)
	}
	if p.RetryMS > 0 {
		h.Set("Retry-After", strconv.FormatInt((p.RetryMS+999)/1000, 10))
	}
	return h
}

// newProblem is err as the client may see it.
func newProblem(err error, requestID string) *Problem {
	f := fault.Of(err)
	spec := fault.SpecOf(f.Code)
	p := &Problem{
		Type: problemType + string(spec.Code), Title: spec.Title, Status: spec.Status,
		Detail: f.Message, Code: spec.Code, RequestID: requestID,
		Retryable: spec.Retry != "never" && spec.Retry != "fix",
		RetryMS:   f.RetryAfterMS, Errors: f.Fields,
	}
	if spec.Code != f.Code || p.Detail == "" {
		p.Detail = spec.Title + "."
	}
	return p
}

// WriteProblem answers r with the problem document of err. Handlers that are
// not huma's (streams, static files) use it so that all errors look alike.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := newProblem(err, correlation.From(r.Context()))
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // the client may be gone; nobody is left to tell
	}
}

// humaError replaces huma's own error model: its text may quote foreign
// errors and its details echo the rejected values.
func humaError(requestID string, status int, errs []error) huma.StatusError {
	var f *fault.Error
	for _, e := range errs {
		if errors.As(e, &f) {
			return newProblem(f, requestID)
		}
	}
	f = fault.New(codeOfStatus(status), "")
	for _, e := range errs {
		var d huma.ErrorDetailer
		if status == http.StatusUnprocessableEntity && errors.As(e, &d) {
			f.Fields = append(f.Fields, fieldOf(d.ErrorDetail()))
		}
	}
	switch f.Code {
	case fault.BadRequest:
		f.Message = "The body is missing or is not the JSON that is expected here."
	case fault.Invalid:
		f.Message = "Some values are not allowed; see errors."
	}
	return newProblem(f, requestID)
}

func codeOfStatus(status int) fault.Code {
	switch status {
	case http.StatusBadRequest, http.StatusRequestTimeout, http.StatusNotAcceptable:
		return fault.BadRequest
	case http.StatusUnprocessableEntity:
		return fault.Invalid
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusMethodNotAllowed:
		return fault.MethodNotAllowed
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case http.StatusUnsupportedMediaType:
		return fault.UnsupportedMedia
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	default:
		return fault.Internal
	}
}

// fieldCodes maps the start of huma's messages to stable codes.
var fieldCodes = []struct{ prefix, code, text string }{
	{"expected required property", "required", "is required"},
	{"required ", "required", "is required"},
	{"unexpected property", "unknown", "is not known here"},
	{"unknown query parameter", "unknown", "is not known here"},
	{"expected value to be one of", "not_in_list", ""},
	{"expected length >=", "too_short", ""},
	{"expected length <=", "too_long", ""},
	{"expected array length >=", "too_few", ""},
	{"expected array length <=", "too_many", ""},
	{"expected number >=", "too_small", ""},
	{"expected number <=", "too_large", ""},
	{"expected string to match pattern", "bad_format", "has a form that is not allowed"},
	{"expected string to be", "bad_format", ""},
	{"expected array items to be unique", "duplicate", ""},
	{"expected boolean", "wrong_type", ""},
	{"expected number", "wrong_type", ""},
	{"expected integer", "wrong_type", ""},
	{"expected string", "wrong_type", ""},
	{"expected array", "wrong_type", ""},
	{"expected object", "wrong_type", ""},
}

// fieldOf turns huma's detail into ours: no value, no quoted parser text, and
// a name that cannot carry more than a name.
func fieldOf(d *huma.ErrorDetail) fault.Field {
	name := strings.TrimPrefix(d.Location, "body.")
	out := fault.Field{Code: "invalid", Message: "is not allowed"}
	for _, c := range fieldCodes {
		if !strings.HasPrefix(d.Message, c.prefix) {
			continue
		}
		out.Code, out.Message = c.code, c.text
		if c.text == "" {
			// Some messages end with a parser's text, which quotes the input.
			out.Message, _, _ = strings.Cut(d.Message, ": ")
		}
		if rest, ok := strings.CutPrefix(d.Message, "expected required property "); ok {
			missing, _, _ := strings.Cut(rest, " ")
			name = strings.TrimPrefix(strings.TrimPrefix(name, "body")+"."+missing, ".")
		}
		break
	}
	out.Name = safeName(name)
	return out
}

// safeName keeps a path of field names readable and harmless; keys come from
// the client and may be anything.
func safeName(s string) string {
	const most = 80
	var b strings.Builder
	for _, c := range []byte(s) {
		if b.Len() == most {
			break
		}
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.[]", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}
