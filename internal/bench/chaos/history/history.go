// Package history is what a chaos run writes down: NDJSON, one line for each
// thing that a learner asked, a viewer was told, the model's stand-in did or
// the rig broke. The checker reads these lines and nothing else.
//
// Every line has a running number, so that a line that is missing shows. Text
// of the model is checkable (a function of its tag), text of learners is made
// of tags, so nothing in a history is anybody's words.
package history

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Kind says what a line is about.
type Kind string

// The kinds. An Invoke is answered by exactly one OK, Fail or Info with the
// same ID; Info means that the outcome is unknown for ever.
const (
	Begin  Kind = "begin" // first line: seed and conditions
	Invoke Kind = "invoke"
	OK     Kind = "ok"
	Fail   Kind = "fail"
	Info   Kind = "info"
	Open   Kind = "open"  // a viewer attaches, Cur is its cursor
	Recv   Kind = "recv"  // a viewer was sent something, Ev says what
	Close  Kind = "close" // a viewer's attach ended
	Breach Kind = "breach"
	Fault  Kind = "fault" // the rig did something, Phase is begin, end or hit
	Up     Kind = "up"    // one call of the model's stand-in, written at the end
	Final  Kind = "final" // what a fresh reader finds afterwards, node by node
	Show   Kind = "show"  // what a viewer shows at the end
	Swept  Kind = "swept" // the logs of a node were searched for secrets, Len bytes
	Leak   Kind = "leak"  // one was found, Arg says of which kind
)

// Record is one line. Positions count UTF-16 units; all text is ASCII.
type Record struct {
	// No counts from 1 without a hole.
	No int64 `json:"no"`
	// T is nanoseconds since the run began, monotonic.
	T int64 `json:"t"`
	// P is who saw or did it; N the node it went to.
	P string `json:"p,omitempty"`
	N string `json:"n,omitempty"`
	K Kind   `json:"k"`
	// U is the user, in an invocation and where a viewer attaches; Login is the
	// login that a viewer uses or a sign-out ends, if it has one of its own.
	U     string `json:"u,omitempty"`
	Login string `json:"login,omitempty"`
	// Op is submit, cancel, read, sign-out, or trespass, which reaches for what
	// is somebody else's. The answer to a cancel has the state in Code and where
	// the text ends in Len. ID pairs an answer with its invocation.
	Op   string `json:"op,omitempty"`
	ID   int64  `json:"id,omitempty"`
	Conv string `json:"conv,omitempty"`
	CID  string `json:"cid,omitempty"`
	Code string `json:"code,omitempty"`
	// Ev is the type of the event, or reset, snapshot, caught_up, error, log.
	Ev      string `json:"ev,omitempty"`
	Over    string `json:"over,omitempty"` // transport
	Epoch   string `json:"ep,omitempty"`   // "<counter>.<nonce>"
	Seq     int64  `json:"seq,omitempty"`
	From    int64  `json:"from,omitempty"`
	Cur     string `json:"cur,omitempty"`
	Run     int64  `json:"run,omitempty"`
	Attempt int64  `json:"att,omitempty"`
	Base    int64  `json:"base,omitempty"`
	At      int64  `json:"at,omitempty"`
	Len     int64  `json:"len,omitempty"`
	Txt     string `json:"txt,omitempty"`
	H       string `json:"h,omitempty"`
	Turn    int64  `json:"turn,omitempty"`
	Finish  string `json:"finish,omitempty"`
	Dup     bool   `json:"dup,omitempty"`
	TS      int64  `json:"ts,omitempty"` // milliseconds of the server's clock
	Turns   []Turn `json:"turns,omitempty"`
	Reply   *Reply `json:"reply,omitempty"`
	// Of a fault.
	F     string `json:"f,omitempty"`
	Phase string `json:"phase,omitempty"`
	Arg   string `json:"arg,omitempty"`
	// Of a call of the stand-in.
	Kept      int64 `json:"kept,omitempty"`
	Continued bool  `json:"cont,omitempty"`
	Sent      int64 `json:"sent,omitempty"`
	Ended     int64 `json:"ended,omitempty"` // T at which it ended
	// T0 is when a read began whose answer this line holds, or a call of the stand-in.
	T0 int64 `json:"t0,omitempty"`
	// Rules are on the first line.
	Rules *Rules `json:"rules,omitempty"`
	End   string `json:"end,omitempty"`
}

// Rules are what a scenario promises and demands beyond what always holds.
type Rules struct {
	// MayRestart: writer and Redis may be lost together, so that shown text is
	// taken back, which must be announced.
	MayRestart bool `json:"may_restart,omitempty"`
	// Busy: other work may starve the run, as beside the other tests of CI. Then
	// a takeover that no fault asked for is counted and not judged, and neither
	// is text that is taken back with an announcement.
	Busy bool `json:"busy,omitempty"`
	// MinFaults and MinHits are the least faults begun and replies met in mid-text.
	MinFaults int `json:"min_faults"`
	MinHits   int `json:"min_hits"`
	// Fault names the faults that count for MinFaults.
	Fault string `json:"fault"`
	// Bounds: replies have to be stopped, logins ended and foreign things
	// reached for.
	Bounds bool `json:"bounds,omitempty"`
	// SpreadMS is over how long a node that drains sends its viewers away; 0
	// where that is not judged.
	SpreadMS int64 `json:"spread_ms,omitempty"`
	// TakenOver: only replies that another node went on with count as hits.
	TakenOver bool `json:"taken_over,omitempty"`
}

// Turn is one finished message of a snapshot.
type Turn struct {
	N      int64  `json:"n"`
	Author string `json:"a"`
	CID    string `json:"cid,omitempty"`
	Run    int64  `json:"run,omitempty"`
	Finish string `json:"finish,omitempty"`
	H      string `json:"h"`
	Len    int64  `json:"len"`
}

// Reply is an open reply of a snapshot.
type Reply struct {
	Run     int64  `json:"run"`
	Attempt int64  `json:"att"`
	Base    int64  `json:"base"`
	Txt     string `json:"txt"`
}

// Hash names a text without holding it.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// Recorder writes lines; it is safe for concurrent use.
type Recorder struct {
	begun time.Time

	mu   sync.Mutex // guards what follows
	w    *bufio.Writer
	no   int64
	next int64
	err  error
}

// NewRecorder writes to w; times count from now.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{begun: time.Now(), w: bufio.NewWriterSize(w, 1<<20)}
}

// Begun is when T was zero.
func (r *Recorder) Begun() time.Time { return r.begun }

// NextID is a fresh id for an invocation.
func (r *Recorder) NextID() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.next
}

// Add writes a line of this moment. T is taken under the lock, so lines are in
// order of time.
func (r *Recorder) Add(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.no++
	rec.No, rec.T = r.no, time.Since(r.begun).Nanoseconds()
	line, err := json.Marshal(rec)
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write history: %w", err)
	}
}

// Flush writes out what is buffered and returns the first error of all writes.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.w.Flush(); err != nil && r.err == nil {
		r.err = fmt.Errorf("write history: %w", err)
	}
	return r.err
}

// Read reads a history back.
func Read(r io.Reader) ([]Record, error) {
	var out []Record
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<20))
	dec.DisallowUnknownFields()
	for {
		var rec Record
		if err := dec.Decode(&rec); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, fmt.Errorf("read history after line %d: %w", len(out), err)
		}
		out = append(out, rec)
	}
}
