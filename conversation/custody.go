package conversation

import (
	"context"
	"errors"
)

// ErrLogDamaged: the log holds what no script of ours wrote: a record that
// cannot be read, one of another conversation, or one whose checksum is wrong.
var ErrLogDamaged = errors.New("log is damaged")

// DamagedError is an ErrLogDamaged with what is known of it.
type DamagedError struct {
	// Epoch names the log, zero where that could not be read.
	Epoch Epoch
	// What is wrong, without a word of its content.
	What string
}

func (e *DamagedError) Error() string { return "log is damaged: " + e.What }

// Is makes every DamagedError an ErrLogDamaged.
func (*DamagedError) Is(target error) bool { return target == ErrLogDamaged }

// Archive is what erasure, retention and operators need of SQL. Every method
// is one transaction and may be repeated.
type Archive interface {
	// Erase deletes a conversation's content for good and returns the counter
	// that its last log may have had: no log with it may be made again. "" as
	// owner means any; a foreign or unknown conversation is ErrNotFound, one
	// that was erased before gives its counter again.
	Erase(ctx context.Context, owner LearnerID, id ID) (counter int64, err error)
	// Of lists an owner's conversations in the order of their ids, after one.
	Of(ctx context.Context, owner LearnerID, after ID, limit int) ([]ID, error)
	// Still lists conversations without an open run whose last change lies in
	// [from, to), in microseconds since 1970, oldest first.
	Still(ctx context.Context, from, to int64, limit int) ([]Resting, error)
	// Unshredded lists erased conversations whose log may still be in Redis,
	// with the counter that Erase gave.
	Unshredded(ctx context.Context, limit int) (map[ID]int64, error)
	// Shredded says that the log of an erased conversation is gone.
	Shredded(ctx context.Context, id ID) error
	// Census counts conversations.
	Census(ctx context.Context) (Census, error)
	// ReportDamage keeps a report; the same one again is a no-op.
	ReportDamage(ctx context.Context, d Damage) error
	// Damages lists reports, newest first.
	Damages(ctx context.Context, limit int) ([]Damage, error)
}

// Custodian is what erasure, retention and recovery from damage need of Redis.
type Custodian interface {
	// Shred deletes a conversation's log and leaves a mark for a day that keeps
	// one with this counter or a lower from being made: a writer that was paused
	// at that very step must not bring it back.
	Shred(ctx context.Context, id ID, counter int64) error
	// Compact drops old entries of a log that nobody writes to; whoever comes
	// with a cursor below is given a snapshot. It reports whether it did.
	Compact(ctx context.Context, id ID) (bool, error)
	// SetAside moves a damaged log away, for somebody to look at it for a week,
	// so that it reads as missing and is made anew. It returns the place, ""
	// when there was nothing to move: a log of another epoch whose keys are all
	// of the right kind is somebody's new one.
	SetAside(ctx context.Context, id ID, ep Epoch) (place string, err error)
}

// Resting is a conversation without an open run.
type Resting struct {
	ID ID
	// Changed is when it last was, in microseconds since 1970.
	Changed int64
}

// Census counts conversations by what they do.
type Census struct {
	// Writing have a run that a node writes, Waiting one that nobody has yet,
	// Idle none, Ended are over, Erased have no content any more.
	Writing, Waiting, Idle, Ended, Erased int64
	// OldestRun is since when the open run that changed longest ago has been
	// still, in seconds; Stuck counts open runs that have been for longer than
	// two minutes.
	OldestRun float64
	Stuck     int64
	// OrphanLocks stand though no run is open.
	OrphanLocks int64
}

// Damage is a log that was found damaged, and set aside.
type Damage struct {
	ID           string `json:"id"`
	Conversation ID     `json:"conversation"`
	// Node found it.
	Node string `json:"node"`
	// What was wrong, in our own words; never text of a learner.
	What string `json:"what"`
	// Place is the prefix of the Redis keys that hold it for a week.
	Place string `json:"place"`
	// Found is microseconds since 1970.
	Found int64 `json:"found_at"`
}
