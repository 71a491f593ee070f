package conversation

import (
	"context"
	"encoding/json"
)

// Store is the authority: SQL. A message is accepted when Accept returned, a
// run has ended when Finish returned; everything in Log is rebuilt from here.
// Every method is one transaction and may be repeated after an unknown
// outcome: natural keys make the repeat find what the first try did.
type Store interface {
	Nodes
	// Create makes a conversation; created is false when the owner's client id
	// had made it before.
	Create(ctx context.Context, in CreateInput) (rec Record, created bool, err error)
	// Load reads a conversation with everything a new log needs, from one
	// consistent picture. Unknown or erased: ErrNotFound.
	Load(ctx context.Context, id ID) (Record, error)
	// List pages through an owner's conversations, newest first; before is the
	// last id of the page before, "" for the first.
	List(ctx context.Context, owner LearnerID, kind Kind, before string, limit int) ([]Header, error)
	// Accept stores what a learner asks for (a message, a message in another's
	// place, a reply written anew, a choice of branch) and the run that it
	// needs. queue bounds the runs that wait behind the open one. An
	// interruption, if given, ends the open run in the same transaction, unless
	// the command had been accepted before; its errors are those of Finish. A
	// rollback ends every unfinished run there; one that was claimed has to be
	// the interruption or be asked to cancel (AskCancel), else ErrClaimLost.
	Accept(ctx context.Context, in SendInput, queue int, correlation string, interrupt *Finishing) (Accepted, []Fact, error)
	// Answered tells what Accept answered to this command before.
	Answered(ctx context.Context, in SendInput) (acc Accepted, known bool, err error)
	// Branch reads the newest limit turns of a branch, by its tip; run 0 is the
	// active one. before, when not 0, is the first turn of the page after.
	Branch(ctx context.Context, owner LearnerID, id ID, run, before int64, limit int) (BranchPage, error)
	// Tips lists the ends of all branches, newest first; before, when not 0, is
	// the last run of the page before.
	Tips(ctx context.Context, owner LearnerID, id ID, before int64, limit int) ([]Tip, error)
	// Facts returns facts after a number, in order.
	Facts(ctx context.Context, id ID, after int64, limit int) ([]Fact, error)
	// FactCounts returns the newest fact number of each conversation.
	FactCounts(ctx context.Context, ids []ID) (map[ID]int64, error)
	// Claimable lists, per conversation, the lowest unfinished run that is
	// pending or whose owner is none of alive; only one conversation's if given.
	Claimable(ctx context.Context, alive []string, only ID, limit int) ([]Candidate, error)
	// Claim makes node the owner under a new fence, or ErrClaimLost.
	Claim(ctx context.Context, c Candidate, node string) (Claim, error)
	// Owned lists the runs this node owns and whether a stop is wanted.
	Owned(ctx context.Context, node string) ([]OwnedRun, error)
	// NameLog bumps the log's counter, if it is still seen and the fence still
	// fence, and returns the seed for the new log. Otherwise ErrLogRenamed.
	NameLog(ctx context.Context, id ID, seen, fence int64) (counter int64, seed Seed, err error)
	// RecordNonce completes the name of the log that NameLog began.
	RecordNonce(ctx context.Context, id ID, ep Epoch, fence int64) error
	// Checkpoint stores text of a running run before it is shown: at is the
	// length before, in UTF-16 units. Repeats are no-ops.
	Checkpoint(ctx context.Context, cs []Checkpoint) error
	// Finish ends a run for good, first one wins. also runs inside the
	// transaction of a completion and may return facts to add.
	Finish(ctx context.Context, f Finishing, also func(ctx context.Context) ([]NewFact, error)) (Finished, error)
	// Release hands a run over: any node may claim it at once.
	Release(ctx context.Context, id ID, run, fence int64) error
	// RunState reads one run of an owner's conversation.
	RunState(ctx context.Context, owner LearnerID, id ID, run int64) (RunRow, error)
	// AskCancel leaves a mark for the owner of a running run; used while Redis
	// cannot hold the stop mark.
	AskCancel(ctx context.Context, id ID, run int64) error
	// Incarnation numbers a Redis lifetime by its identity.
	Incarnation(ctx context.Context, identity string) (int64, error)
}

// Nodes is the part of Store that knows which processes live.
type Nodes interface {
	// Register announces this process; older ones of the same instance are dead.
	Register(ctx context.Context, n Node) error
	// Heartbeat says that the node lives; ErrNodeDead when others have given it up.
	Heartbeat(ctx context.Context, node string) error
	// Members lists the nodes with the age of their heartbeat by the database's clock.
	Members(ctx context.Context) ([]Member, error)
	// Bury marks a node dead if its heartbeat is still the one seen.
	Bury(ctx context.Context, node string, seen int64) (bool, error)
	// SetNodeState sets active, draining or dead.
	SetNodeState(ctx context.Context, node, state string) error
}

// Node is one process. ID is random per start; Instance is the same for each
// start of the same place (host and port).
type Node struct {
	ID, Instance, BootID, Addr, Version string
}

// Member is a node as others see it.
type Member struct {
	Node
	State string
	// HB is the heartbeat, AgeMicros how old it is.
	HB, AgeMicros int64
}

// Record is a conversation as SQL has it.
type Record struct {
	Header Header
	Fence  int64
	Log    Epoch
	Facts  int64
	Turns  []Turn
	Head   Head
	Result json.RawMessage
	// Failure is the failure of the last run, if that failed.
	Failure json.RawMessage
	// Running is the run being written, nil when none is.
	Running *RunRow
	// HandedOver is a run that waits with text in the log, nil when none does.
	HandedOver *RunRow
	// Waiting counts pending runs.
	Waiting int64
}

// Run states in SQL.
const (
	RunPending   = "pending"
	RunRunning   = "running"
	RunCompleted = "completed"
	RunStopped   = "stopped"
	RunFailed    = "failed"
)

// RunRow is a run as SQL has it.
type RunRow struct {
	Run
	State    string
	Fence    int64
	Owner    string
	Handoffs int64
	// Text is the checkpoint while running, the result afterwards.
	Text    string
	TextLen int64
	Finish  string
	Cancel  bool
	// Updated is microseconds since 1970.
	Updated int64
	Log     Epoch
}

// Ended reports a run with a final state.
func (r *RunRow) Ended() bool {
	return r.State == RunCompleted || r.State == RunStopped || r.State == RunFailed
}

// Candidate is a run that may be claimed, as it was seen.
type Candidate struct {
	ID      ID
	Run     int64
	State   string
	Attempt int64
	Fence   int64 // of the conversation
	Owner   string
}

// Claim is a run that this node owns now.
type Claim struct {
	Run   Run
	Fence int64
	// Before is the owner that lost it, "" for a pending run.
	Before string
	// Handoff is set when the owner before gave it away.
	Handoff bool
	// Tries counts attempts that were not planned hand-overs, this one included.
	Tries int64
	// Log names the log at the moment of the claim.
	Log   Epoch
	Facts int64
	// Text and Base are the checkpoint, if there is one.
	Text    string
	TextLen int64
	Base    int64
	Cancel  bool
}

// OwnedRun is a running run of this node.
type OwnedRun struct {
	ID     ID
	Run    int64
	Fence  int64
	Cancel bool
}

// Checkpoint is text to be stored before it is shown.
type Checkpoint struct {
	ID      ID
	Run     int64
	Fence   int64
	Base    int64
	At, Len int64
	Text    string
	// Whole says that Text is all there is and takes the place of what is
	// stored. Without it the text goes behind what stands at At.
	Whole bool
}

// Finishing ends a run.
type Finishing struct {
	ID  ID
	Run int64
	// Fence must be the run's; 0 ends a pending run that nobody has claimed,
	// or, with Log set, one whose stop mark stands in that log: it is being
	// written, or was handed over and waits.
	Fence int64
	State string // RunCompleted, RunStopped, RunFailed
	Base  int64
	Text  string
	// Finish is the finish reason of a completion, the code of a failure.
	Finish string
	// Message and Retryable describe a failure.
	Message   string
	Retryable bool
	// Log, when set, must still be the log's name.
	Log Epoch
}

// Finished is the durable end of a run: the caller's own, or the one that won.
type Finished struct {
	Row   RunRow
	Facts []Fact
}
