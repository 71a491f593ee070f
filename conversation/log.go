package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Log is the live side of conversations: one append-only log each, in Redis.
// Nothing in it is precious, every call may find it gone. Every method is one
// atomic step, safe to repeat however late, and checks inside that step that
// it runs in the Redis incarnation and the epoch it was meant for.
type Log interface {
	// Active is one atomic picture of everything a conversation has in the log.
	Active(ctx context.Context, id ID) (Active, error)
	// Read returns up to max entries after seq, contiguous.
	Read(ctx context.Context, id ID, ep Epoch, after int64, max int) (Page, error)
	// Behind compares many logs with where the caller stands, in one trip, and
	// returns those that do not stand just there: they have more, another epoch,
	// or are missing. ErrLogDown when that cannot be told.
	Behind(ctx context.Context, at map[ID]Cursor) ([]ID, error)
	// Writable asks whether a log of this conversation could be written now. A
	// Redis that is full, or a replica, is read and takes no writes: ErrLogDown.
	Writable(ctx context.Context, id ID) error
	// Create makes an empty log named by counter and returns its epoch, unless
	// one with the same or a higher counter stands (ErrLogExists).
	Create(ctx context.Context, id ID, counter int64, seed Seed) (Epoch, error)
	// Begin raises the fence and opens the run for writing.
	Begin(ctx context.Context, id ID, ep Epoch, b Begin) (Began, error)
	// Append adds text at a position. The same text at the same position again
	// is a no-op with the same answer.
	Append(ctx context.Context, id ID, ep Epoch, a Append) (seq, ts int64, err error)
	// PutFact adds a durable event by its number; a number the log has is a no-op.
	PutFact(ctx context.Context, id ID, ep Epoch, f Fact) (seq, ts int64, err error)
	// Stop marks the end of the open run's text, once, and returns where.
	Stop(ctx context.Context, id ID, ep Epoch, run int64) (Began, error)
}

// What a log call may answer besides success.
var (
	// ErrLogMissing: there is no (whole) log; only the owner of a running run,
	// or anybody while none runs, may make one.
	ErrLogMissing = errors.New("log missing")
	// ErrLogEpoch: another log stands there.
	ErrLogEpoch = errors.New("log has another epoch")
	// ErrLogExists: a log with this or a higher counter stands there.
	ErrLogExists = errors.New("log exists")
	// ErrLogRebegin: the log does not have this attempt as its writer.
	ErrLogRebegin = errors.New("run is not open for this attempt")
	// ErrLogUnknownRun: the log does not hold the run that should go on.
	ErrLogUnknownRun = errors.New("log does not hold this run")
	// ErrLogNotOpen: no such run is open.
	ErrLogNotOpen = errors.New("run is not open")
	// ErrLogStopped: a stop mark ends the text; nothing was added.
	ErrLogStopped = errors.New("run is stopped")
	// ErrTrimmed and ErrAhead judge a cursor.
	ErrTrimmed = errors.New("cursor is below the log")
	ErrAhead   = errors.New("cursor is beyond the log")
	// ErrLogDown: Redis did not answer, or takes no writes; the outcome is unknown.
	ErrLogDown = errors.New("redis does not answer")
)

// GapError says that the log has less than the caller builds on: Have is the
// text length (Append) or fact number (PutFact) that it has.
type GapError struct{ Have int64 }

func (e *GapError) Error() string { return fmt.Sprintf("log has only %d", e.Have) }

// Active is what Log.Active returns.
type Active struct {
	Epoch Epoch
	Fence int64
	// Top is the newest seq, Low the oldest one kept, Facts the newest fact.
	Top, Low, Facts int64
	State           State
	// OpenLen is the open text's length in UTF-16 units.
	OpenLen int64
	// StopAt is the stop mark's position, -1 without one.
	StopAt int64
}

// Page is what Log.Read returns.
type Page struct {
	Events []Event
	Top    int64
}

// Seed is what a new log starts with, from one consistent read of SQL.
type Seed struct {
	Fence  int64
	Facts  int64
	Header Header
	Turns  []Turn
	Head   Head
	// Result and Failure as in State.
	Result, Failure json.RawMessage
	// Running is the run that is being written, 0 for none: until it has begun
	// (or ended) in the new log, Active does not find that log, because a
	// state without the open text would take back what viewers have seen.
	Running int64
}

// BeginHow says what becomes of text that the run has.
type BeginHow string

// The ways to begin.
const (
	// BeginContinue keeps the open text of this run, or answers ErrLogUnknownRun;
	// then the fence is raised, and nobody else opens the run meanwhile.
	BeginContinue BeginHow = "cont"
	// BeginRestart opens with empty text and base = attempt.
	BeginRestart BeginHow = "restart"
	// BeginRebuild carries the living writer's whole text and base.
	BeginRebuild BeginHow = "rebuild"
)

// Begin opens a run for one attempt.
type Begin struct {
	Run   Run
	Fence int64
	How   BeginHow
	// Text and Base are for BeginRebuild.
	Text string
	Base int64
	// Reason is logged with "recovering": node_dead, handoff, upstream_lost, invalid.
	Reason string
}

// Began is the open run after Begin or Stop.
type Began struct {
	Epoch Epoch
	Base  int64
	Text  string
	// Len is Text in UTF-16 units.
	Len int64
	// Stopped is set when a stop mark stands at the end of Text.
	Stopped bool
}

// Append is one batch of text.
type Append struct {
	Run     Run
	Fence   int64
	At, Len int64
	Text    string
}

// Fact is a durable event: SQL holds it, any node may put it into the log.
type Fact struct {
	N             int64
	Type          string
	Run           int64
	Attempt, Base int64
	Data          json.RawMessage
	// Turn joins the turns of the state, if set.
	Turn *Turn
	// Fence, when higher than the log's, raises it.
	Fence int64
	TS    int64
}

// TypeScenarioReady is the fact that carries a validated scenario.
const TypeScenarioReady = "scenario.ready"

// FoldField names the part of State that a fact of this type replaces with
// its data: "res" for Result, "fail" for Failure, "end"
// for the header's state, "" for none.
func FoldField(factType string) string {
	switch {
	case factType == TypeScenarioReady:
		return "res"
	case factType == TypeEnded:
		return "end"
	case hasSuffix(factType, evFailed):
		return "fail"
	}
	return ""
}
