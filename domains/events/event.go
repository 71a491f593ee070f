package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// Aggregate names what an event happened to: Kind is lower-case
// ("learner", "onboarding"), ID at most 64 characters.
type Aggregate struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Event is one fact. The zero values in brackets are filled by Record.
type Event struct {
	// ID is a UUIDv7 [made anew]. It is what consumers remember to do
	// nothing twice.
	ID string `json:"id"`
	// Type is "<aggregate>.<what happened>", as "learner.registered".
	Type string `json:"type"`
	// Version is the version of Data's shape, from 1.
	Version int `json:"version"`
	// Aggregate is what it happened to. Events of one aggregate are ordered.
	Aggregate Aggregate `json:"aggregate"`
	// Sequence counts the events of the aggregate from 1 [the next]. Given,
	// it is the expected one, and another answers fault.Conflict.
	Sequence int64 `json:"sequence"`
	// Position counts all events from 1 in the order in which they were
	// sealed; 0 until then. Record ignores it.
	Position int64 `json:"position,omitempty"`
	// Actor is who did it: a learner's id, "system" or "operator" ["system"].
	Actor string `json:"actor"`
	// At is when, in microseconds' precision [now].
	At time.Time `json:"at"`
	// Correlation is the request that caused it [the context's].
	Correlation string `json:"correlation_id,omitempty"`
	// Data is the payload as JSON; "{}" where there is none, "null" where it
	// was erased.
	Data json.RawMessage `json:"data"`
}

// Recorder stores events in the SQL transaction that ctx carries
// (sqldb.DB.InTx), or in one of its own. All are stored or none. Failures are
// conflict for a Sequence that is not the next, and storage_unavailable;
// an error must end the caller's transaction.
type Recorder interface {
	Record(ctx context.Context, evs ...Event) error
}

// RecorderFunc is a function as Recorder.
type RecorderFunc func(ctx context.Context, evs ...Event) error

// Record calls f.
func (f RecorderFunc) Record(ctx context.Context, evs ...Event) error { return f(ctx, evs...) }

// Discard records nothing, for tests and tools that want no events.
var Discard Recorder = RecorderFunc(func(context.Context, ...Event) error { return nil })

// Payload is the typed data of one kind of event.
type Payload interface {
	// EventType is the type and the version of this shape.
	EventType() (name string, version int)
	// Of is what the event happens to.
	Of() Aggregate
}

// New makes an event of a payload, done by actor ("" for the system).
func New(actor string, p Payload) Event {
	name, version := p.EventType()
	data, err := json.Marshal(p)
	if err != nil {
		// Payloads are plain structs; a test marshals each of them.
		panic(fmt.Sprintf("event %s cannot be encoded: %v", name, err))
	}
	if actor == "" {
		actor = "system"
	}
	return Event{
		ID: uuid.Must(uuid.NewV7()).String(), Type: name, Version: version,
		Aggregate: p.Of(), Actor: actor, Data: data,
	}
}

// The most an event may carry.
const (
	maxName = 64
	// MaxData bounds Data, in bytes; the longest profile is below it.
	MaxData = 256 << 10
)

var typeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// ErrEvent says that an event cannot be recorded as it is: a mistake of the
// code that made it.
var ErrEvent = errors.New("not an event")

// Check tells what is wrong with an event about to be recorded; the errors are
// ErrEvent.
func (e Event) Check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s of %q", ErrEvent, what, e.Type) }
	switch {
	case len(e.Type) > maxName || !typeName.MatchString(e.Type):
		return bad("type")
	case e.Version < 1:
		return bad("version")
	case e.Aggregate.Kind == "" || len(e.Aggregate.Kind) > maxName || e.Aggregate.ID == "" || len(e.Aggregate.ID) > maxName:
		return bad("aggregate")
	case len(e.Actor) > maxName:
		return bad("actor")
	case e.Sequence < 0:
		return bad("sequence")
	case len(e.Data) > MaxData || len(e.Data) > 0 && !json.Valid(e.Data):
		return bad("data")
	}
	return nil
}
