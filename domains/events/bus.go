package events

import (
	"context"
	"errors"
	"time"
)

// ErrMoved says that the stream does not end where the relay thought.
var ErrMoved = errors.New("the stream has moved on")

// Delivery is an event as a group got it from the bus.
type Delivery struct {
	// Tag names the delivery to the bus.
	Tag string
	// Position is the event's, known even where Event cannot be read.
	Position int64
	// Event is nil where what came could not be read.
	Event *Event
}

// Bus carries events to groups of consumers, each event to one consumer of
// each group, again if it is not acknowledged. It may lose everything at any
// time: what it is told comes from SQL and can be told again.
type Bus interface {
	// Top is the position of the newest event on the stream, 0 when there is
	// none.
	Top(ctx context.Context) (int64, error)
	// Append puts events behind top; ErrMoved when the stream ends elsewhere.
	Append(ctx context.Context, top int64, evs []Event) error
	// Reset throws the stream away.
	Reset(ctx context.Context) error
	// Trim lets go of positions below keep, but never of the newest.
	Trim(ctx context.Context, keep int64) error
	// Read waits for events that the group has not seen yet.
	Read(ctx context.Context, group, consumer string, most int, wait time.Duration) ([]Delivery, error)
	// Reclaim takes over what a consumer of the group, this one too, got and
	// did not acknowledge for so long.
	Reclaim(ctx context.Context, group, consumer string, idle time.Duration, most int) ([]Delivery, error)
	// Ack ends deliveries.
	Ack(ctx context.Context, group string, tags ...string) error
	// Bury puts a dead letter on the stream of the dead.
	Bury(ctx context.Context, l Letter) error
	// Pending counts what a group got and did not acknowledge; 0 for a group
	// that the bus does not know.
	Pending(ctx context.Context, group string) (int64, error)
	// Forget takes what is on the way, or dead, of these aggregates off the bus.
	// The newest entry stays: it says how far the stream is.
	Forget(ctx context.Context, aggregates ...Aggregate) error
	// Tidy forgets consumers that have nothing and were silent for so long.
	Tidy(ctx context.Context, group string, silent time.Duration) error
}
