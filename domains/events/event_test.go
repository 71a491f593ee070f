package events_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewMakesAWholeEvent(t *testing.T) {
	t.Parallel()
	e := events.New("", events.LearnerRegistered{LearnerID: "l1"})
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	if e.ID == "" || e.Type != "learner.registered" || e.Version != 1 || e.Actor != "system" ||
		e.Aggregate != (events.Aggregate{Kind: "learner", ID: "l1"}) || string(e.Data) != `{"learner_id":"l1"}` {
		t.Fatalf("got %+v", e)
	}
	if again := events.New("l1", events.LearnerRegistered{LearnerID: "l1"}); again.ID == e.ID || again.Actor != "l1" {
		t.Fatalf("got %+v, want another id and the actor", again)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*events.Event){
		"no type":       func(e *events.Event) { e.Type = "" },
		"one word":      func(e *events.Event) { e.Type = "registered" },
		"upper case":    func(e *events.Event) { e.Type = "Learner.registered" },
		"no version":    func(e *events.Event) { e.Version = 0 },
		"no kind":       func(e *events.Event) { e.Aggregate.Kind = "" },
		"no id":         func(e *events.Event) { e.Aggregate.ID = "" },
		"long id":       func(e *events.Event) { e.Aggregate.ID = strings.Repeat("x", 65) },
		"long actor":    func(e *events.Event) { e.Actor = strings.Repeat("x", 65) },
		"negative":      func(e *events.Event) { e.Sequence = -1 },
		"data no JSON":  func(e *events.Event) { e.Data = []byte("{") },
		"data too long": func(e *events.Event) { e.Data = []byte(`"` + strings.Repeat("x", events.MaxData) + `"`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := events.New("", events.LearnerRegistered{LearnerID: "l1"})
			spoil(&e)
			if err := e.Check(); !errors.Is(err, events.ErrEvent) {
				t.Fatalf("got %v, want ErrEvent", err)
			}
		})
	}
}
