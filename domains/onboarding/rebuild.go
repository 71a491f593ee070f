package onboarding

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fluentpro/fluentpro/domains/events"
)

// Changes tells which fields of a stored document are new in another one: the
// new value, or null for a field that went. It is nil when nothing changed.
func Changes(before, after []byte) (json.RawMessage, error) {
	var b, a map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(before, &b), json.Unmarshal(after, &a)); err != nil {
		return nil, fmt.Errorf("compare documents: %w", err)
	}
	changed := map[string]json.RawMessage{}
	for name, value := range a {
		if string(b[name]) != string(value) {
			changed[name] = value
		}
	}
	for name := range b {
		if _, kept := a[name]; !kept {
			changed[name] = json.RawMessage("null")
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	return json.Marshal(changed)
}

// Rebuild makes the record that a learner's events tell of, oldest first. It
// needs no rule of today: events hold what was stored, not what was asked for.
// The error is events.ErrErased where data was erased.
func Rebuild(evs []events.Event) (Record, error) {
	doc := map[string]json.RawMessage{}
	var rec Record
	for _, e := range evs {
		if name, _ := (events.OnboardingChanged{}).EventType(); e.Type != name {
			continue
		}
		p, err := events.Decode[events.OnboardingChanged](e)
		if err != nil {
			return Record{}, fmt.Errorf("rebuild profile: %w", err)
		}
		var changes map[string]json.RawMessage
		if err := json.Unmarshal(p.Changes, &changes); err != nil {
			return Record{}, fmt.Errorf("rebuild profile: %w", err)
		}
		for field, value := range changes {
			if string(value) == "null" {
				delete(doc, field)
			} else {
				doc[field] = value
			}
		}
		rec.Learner = LearnerID(p.LearnerID)
	}
	whole, err := json.Marshal(doc)
	if err == nil {
		err = json.Unmarshal(whole, &rec)
	}
	if err != nil {
		return Record{}, fmt.Errorf("rebuild profile: %w", err)
	}
	return rec, nil
}
