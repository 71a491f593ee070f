package v1

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// The life of this version: it is deprecated since the first date and may be
// gone after the second. A client learns both from every answer.
var (
	Deprecated = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	Sunset     = time.Date(2027, 11, 1, 0, 0, 0, 0, time.UTC)
)

// Guide is where a client's author reads what to do about it.
const Guide = "/api/docs/migrating-to-v2"

// SetHeaders names the version of an answer and says that it will end (RFC
// 9745, RFC 8594).
func SetHeaders(h http.Header) {
	h.Set("X-API-Version", "v1")
	h.Set("Deprecation", "@"+strconv.FormatInt(Deprecated.Unix(), 10))
	h.Set("Sunset", Sunset.Format(http.TimeFormat))
	h.Set("Link", `<`+Guide+`>; rel="deprecation"; type="text/markdown", <`+Guide+`>; rel="sunset"; type="text/markdown", </api/v2>; rel="successor-version"`)
}

// notice is the same for those who read bodies only.
var notice = object{"version": "v1", "deprecation": object{
	"version": "v1", "sunset_date": Sunset.Format(time.DateOnly), "migration_guide": Guide,
	"message": "v1 is deprecated; use /api/v2.",
}}

// WriteAnswer writes a good answer: success, the fields of its route, meta.
func WriteAnswer(w http.ResponseWriter, ans Answer) {
	body := object{"success": true, "meta": notice}
	for k, v := range ans.Body {
		body[k] = v
	}
	status := ans.Status
	if status == 0 {
		status = http.StatusOK
	}
	write(w, status, body)
}

// failure is the error body of v1.
type failure struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
	// Details are the messages of every bad field, by its name.
	Details map[string][]string `json:"details,omitempty"`
	Code    fault.Code          `json:"error_code"`
}

// WriteError answers with err in the shape of v1. Text that is not meant for
// clients never gets out: an unknown error reads as internal.
func WriteError(w http.ResponseWriter, err error) {
	f := fault.Of(err)
	spec := fault.SpecOf(f.Code)
	out := failure{Error: f.Message, Code: spec.Code}
	if spec.Code != f.Code || out.Error == "" {
		out.Error = spec.Title + "."
	}
	for _, field := range f.Fields {
		if out.Details == nil {
			out.Details = map[string][]string{}
		}
		name := field.Name
		if name == "" {
			name = "non_field_errors"
		}
		out.Details[name] = append(out.Details[name], field.Message)
	}
	status := statusOf(spec)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="fluentpro"`)
	}
	if f.RetryAfterMS > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt((f.RetryAfterMS+999)/1000, 10))
	}
	write(w, status, out)
}

// statusOf is a failure's status in v1: a bad value or a step out of its order
// has always been a 400 there. A 409 is a duplicate and nothing else.
func statusOf(s fault.Spec) int {
	switch s.Code {
	case fault.Invalid, fault.StepOutOfOrder, fault.OnboardingOpen, fault.IdempotencyMismatch:
		return http.StatusBadRequest
	}
	return s.Status
}

func write(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	SetHeaders(h)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
