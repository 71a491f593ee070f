package sessions

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/fluentpro/fluentpro/internal/correlation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// wireError is a fault as clients see it, the same on every transport.
type wireError struct {
	Code      fault.Code    `json:"code"`
	Message   string        `json:"message"`
	Retryable bool          `json:"retryable"`
	RetryMS   int64         `json:"retry_ms,omitempty"`
	Fields    []fault.Field `json:"fields,omitempty"`
}

// wireOf hides everything about err that is not meant for a client.
func wireOf(err error) (wireError, fault.Spec) {
	f := fault.Of(err)
	spec := fault.SpecOf(f.Code)
	e := wireError{Code: spec.Code, Message: f.Message, Retryable: retryable(spec), RetryMS: f.RetryAfterMS, Fields: f.Fields}
	if spec.Code != f.Code || e.Message == "" {
		e.Message, e.Fields = spec.Title+".", nil
	}
	return e, spec
}

func retryable(s fault.Spec) bool { return s.Retry != "never" && s.Retry != "fix" }

// closeCode is what ends a WebSocket for a failure.
func closeCode(s fault.Spec) int {
	switch {
	case s.Close != 0:
		return s.Close
	case s.Status >= 500:
		return 1013
	default:
		return closeBadFrames
	}
}

// writeProblem answers with an RFC 9457 document.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	e, spec := wireOf(err)
	h := w.Header()
	if spec.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="fluentpro"`)
	}
	if e.RetryMS > 0 {
		h.Set("Retry-After", strconv.FormatInt((e.RetryMS+999)/1000, 10))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(spec.Status)
	_ = json.NewEncoder(w).Encode(struct { // the client may be gone; nobody is left to tell
		Type      string        `json:"type"`
		Title     string        `json:"title"`
		Status    int           `json:"status"`
		Detail    string        `json:"detail"`
		Code      fault.Code    `json:"code"`
		RequestID string        `json:"request_id"`
		Retryable bool          `json:"retryable"`
		RetryMS   int64         `json:"retry_ms,omitempty"`
		Errors    []fault.Field `json:"errors,omitempty"`
	}{
		"urn:fluentpro:problem:" + string(e.Code), spec.Title, spec.Status, e.Message, e.Code,
		correlation.From(r.Context()), e.Retryable, e.RetryMS, e.Fields,
	})
}
