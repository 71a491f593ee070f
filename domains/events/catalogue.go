package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// ErrErased says that an event's data was erased.
var ErrErased = errors.New("the event's data was erased")

// upgrade turns the data of one version into that of the next.
type upgrade func(json.RawMessage) (json.RawMessage, error)

// Definition is one type of event as this build knows it.
type Definition struct {
	Type    string
	Version int
	Kind    string
	payload reflect.Type
	// up[0] brings version 1 to 2, and so on: old events stay readable.
	up []upgrade
}

// define takes a payload type and the way from each of its older versions.
func define[P Payload](up ...upgrade) Definition {
	var zero P
	name, version := zero.EventType()
	if len(up) != version-1 {
		panic(fmt.Sprintf("events: %s is at version %d and has %d upgrades", name, version, len(up)))
	}
	return Definition{name, version, zero.Of().Kind, reflect.TypeFor[P](), up}
}

// Catalogue is every type of event. testdata has each version as JSON; a
// version that was once written stays readable.
var Catalogue = []Definition{
	define[LearnerRegistered](),
	define[EmailVerificationRequested](),
	define[EmailVerified](),
	define[PasswordResetRequested](),
	define[PasswordChanged](),
	define[LearnerDeactivated](),
	define[LearnerErased](),
	define[SignUpRepeated](),
	define[LearnerReactivated](),
	define[RoleChanged](),
	define[EmailChangeRequested](),
	define[OnboardingChanged](),
	define[OnboardingCompleted](),
}

// Decode reads an event's data as P, of whatever version it was written.
func Decode[P Payload](e Event) (P, error) {
	var p P
	name, _ := p.EventType()
	if e.Type != name {
		return p, fmt.Errorf("%w: a %s is not a %s", ErrEvent, e.Type, name)
	}
	for _, d := range Catalogue {
		if d.Type == name {
			return p, d.decode(e, &p)
		}
	}
	return p, fmt.Errorf("%w: %s is in no catalogue", ErrEvent, name)
}

func (d Definition) decode(e Event, into any) error {
	if len(e.Data) == 0 || bytes.Equal(e.Data, []byte("null")) {
		return ErrErased
	}
	if e.Version < 1 || e.Version > d.Version {
		return fmt.Errorf("%w: %s has version %d, this build knows %d", ErrEvent, e.Type, e.Version, d.Version)
	}
	data := e.Data
	for v := e.Version; v < d.Version; v++ {
		var err error
		if data, err = d.up[v-1](data); err != nil {
			return fmt.Errorf("%w: bring %s from version %d to %d: %w", ErrEvent, e.Type, v, v+1, err)
		}
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: read %s: %w", ErrEvent, e.Type, err)
	}
	return nil
}
