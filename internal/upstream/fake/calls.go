package fake

import (
	"sync"
	"time"
)

// How a call ended.
const (
	// EndOpen: still under way.
	EndOpen = ""
	// EndComplete: the whole answer was sent.
	EndComplete = "complete"
	// EndCancelled: the client went away first.
	EndCancelled = "cancelled"
	// EndFault: the fault of the model's name happened.
	EndFault = "fault"
	// EndRefused: the request was answered with an error.
	EndRefused = "refused"
)

// Call is one request to the server, for checkers. It holds no text.
type Call struct {
	// No counts calls from 1.
	No int
	// Model is what was asked for.
	Model string
	// RequestID is the caller's X-Request-Id.
	RequestID string
	// Tag is the checkable tag of the last user message.
	Tag string
	// Kept is the length in bytes of the partial answer that was continued.
	Kept int
	// Continued says that the partial was a beginning of the full answer.
	Continued bool
	// From is the index of the first token sent, Sent how many were sent.
	From, Sent int
	// Status is the HTTP status.
	Status int
	// End is how it ended, Ended when; Started when it began.
	End            string
	Started, Ended time.Time
}

// callLog keeps the last calls.
type callLog struct {
	mu    sync.Mutex
	keep  int
	count int
	calls []*Call
}

func (l *callLog) begin(c Call) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	c.No, c.Started = l.count, time.Now()
	if len(l.calls) >= 2*l.keep {
		l.calls = append(l.calls[:0], l.calls[l.keep:]...)
	}
	l.calls = append(l.calls, &c)
	return &c
}

// update changes a call under the log's lock.
func (l *callLog) update(c *Call, f func(*Call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(c)
}

func (l *callLog) all() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(0, len(l.calls)-l.keep)
	out := make([]Call, 0, len(l.calls)-from)
	for _, c := range l.calls[from:] {
		out = append(out, *c)
	}
	return out
}
