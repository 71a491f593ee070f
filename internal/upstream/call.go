package upstream

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// End says how an answer's stream ended.
type End string

// The ways a stream can end. Only EndDone and EndFinish are complete answers.
const (
	// EndNone: the stream is still open, or never began.
	EndNone End = ""
	// EndDone: a finish reason and the done marker were seen.
	EndDone End = "done"
	// EndFinish: a finish reason was seen, the done marker was not.
	EndFinish End = "finish"
	// EndTruncated: the stream ended without a finish reason.
	EndTruncated End = "truncated"
	// EndError: the upstream reported an error.
	EndError End = "error"
	// EndTimeout: one of the clocks ran out.
	EndTimeout End = "timeout"
	// EndCancelled: the caller went away.
	EndCancelled End = "cancelled"
	// EndInvalid: the body was not what was asked for, or too large.
	EndInvalid End = "invalid"
)

// Call is what travels beside one request: what go-openai's request type has
// no place for, and what its answer does not show. It belongs to the goroutine
// that makes the request and reads the body; it must not be shared or reused.
type Call struct {
	// Correlation is sent as X-Request-Id.
	Correlation string
	// Set holds top-level fields written over those of the request body.
	Set map[string]json.RawMessage

	// Status and Header are the answer's, once there is one.
	Status int
	Header http.Header
	// RequestID is the upstream's own name for the request.
	RequestID string
	// Model is what the upstream says it served.
	Model string
	// Scripted says that our own stand-in answered.
	Scripted bool
	// ContentBytes and ReasoningBytes count what was said aloud and what not.
	ContentBytes, ReasoningBytes int
	// Refused says that the model used the refusal field.
	Refused bool
	// Frames and Comments count what the body held.
	Frames, Comments int
	// FirstContent is when the first content came.
	FirstContent time.Time
	// Finish is the finish reason as the upstream spelled it.
	Finish string
	// End is how the stream ended.
	End End
}

type callKey struct{}

// WithCall attaches c to the request's context for a Doer to find.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *Call {
	if c, ok := ctx.Value(callKey{}).(*Call); ok {
		return c
	}
	return &Call{}
}
