package memstore

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluentpro/fluentpro/conversation"
)

// endData is the payload of a run's last event.
func endData(t conversation.Turn, f *conversation.Finishing) json.RawMessage {
	d := struct {
		MessageID string `json:"message_id"`
		Text      string `json:"text"`
		Finish    string `json:"finish,omitempty"`
		N         int64  `json:"n,omitempty"`
		By        string `json:"by,omitempty"`
		Code      string `json:"code,omitempty"`
		Message   string `json:"message,omitempty"`
		Retryable *bool  `json:"retryable,omitempty"`
		Run       int64  `json:"run,omitempty"`
		Parent    int64  `json:"parent"`
	}{MessageID: t.ID, Text: t.Text, N: t.N, Parent: t.Parent}
	switch {
	case f == nil || f.State == conversation.RunCompleted:
		d.Finish = t.Finish
	case f.State == conversation.RunStopped:
		d.By = "learner"
	default:
		d.Code, d.Message, d.Retryable, d.Run = f.Finish, f.Message, &f.Retryable, t.Run
	}
	return marshal(d)
}

// also is what a completion may do inside its transaction.
type also func() ([]conversation.NewFact, error)

// Finish implements conversation.Store: the first end of a run wins.
func (s *Store) Finish(ctx context.Context, f conversation.Finishing, more func(ctx context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	var do also
	if more != nil {
		do = func() ([]conversation.NewFact, error) { return more(ctx) }
	}
	out, err := inTx(ctx, s, "sql.finish", f.ID, func(c *chat) (conversation.Finished, error) { return s.db.finish(c, f, do) })
	if err != nil {
		return conversation.Finished{}, fmt.Errorf("finish run: %w", err)
	}
	return out, nil
}

// PreviewFinish tells what Finish would answer and changes nothing: a broken
// server uses it to publish what it has not committed.
func (s *Store) PreviewFinish(f conversation.Finishing) (conversation.Finished, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	c := s.db.chats[f.ID]
	if c == nil {
		return conversation.Finished{}, conversation.ErrNotFound
	}
	return s.db.finish(c.clone(), f, nil)
}

// PreviewAccept is the same for Accept without an interruption.
func (s *Store) PreviewAccept(in conversation.SendInput, queue int) (conversation.Accepted, error) {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	c := s.db.chats[in.Conversation]
	if c == nil {
		return conversation.Accepted{}, conversation.ErrNotFound
	}
	a, err := s.db.accept(c.clone(), in, queue, "", nil)
	return a.acc, err
}

func (db *DB) finish(c *chat, f conversation.Finishing, do also) (conversation.Finished, error) {
	var out conversation.Finished
	r := c.run(f.Run)
	if r == nil {
		return out, conversation.ErrNotFound
	}
	out.Row = c.row(r)
	switch {
	case db.broken.LastEndWins && f.Fence != 0:
		// whoever comes last is believed
	case r.Ended():
		if f.Fence != 0 && f.Fence != r.Fence {
			return out, conversation.ErrFenced
		}
		return out, nil
	case f.Fence != 0:
		if f.Fence != r.Fence || r.State != conversation.RunRunning {
			return out, conversation.ErrFenced
		}
	case f.Log.Zero():
		if r.State != conversation.RunPending || r.Attempt > 0 {
			return out, conversation.ErrClaimLost
		}
	case r.Attempt == 0 || f.Log != c.log:
		return out, conversation.ErrLogRenamed
	}
	if f.Fence == 0 && r.Attempt > 0 {
		// Ended from outside: whoever writes must find that its fence is old.
		c.fence++
		r.Fence = c.fence
	}
	if f.Base == 0 {
		f.Base = r.Base
	}
	r.State, r.Text, r.TextLen, r.Base, r.Finish, r.Updated = f.State, f.Text, conversation.UTF16Len(f.Text), f.Base, f.Finish, micros()
	t := conversation.Turn{ID: r.MessageID, Author: conversation.Partner, Text: f.Text, Run: r.No, Finish: f.Finish, Parent: r.Parent}
	fact := conversation.Fact{Type: r.Purpose + "." + f.State, Run: r.No, Attempt: r.Attempt, Base: f.Base, Fence: r.Fence}
	if c.header.Kind == conversation.KindChat && (f.State == conversation.RunCompleted || f.State == conversation.RunStopped && f.Text != "") {
		if f.State == conversation.RunStopped {
			t.Finish = conversation.RunStopped
		}
		c.addTurn(&t)
		fact.Turn = &t
	}
	fact.Data = endData(t, &f)
	c.addFact(&fact)
	out.Facts = append(out.Facts, fact)
	if f.State == conversation.RunCompleted && do != nil {
		more, err := do()
		if err != nil {
			return out, err
		}
		for _, m := range more {
			nf := conversation.Fact{Type: m.Type, Data: m.Data}
			c.addFact(&nf)
			out.Facts = append(out.Facts, nf)
		}
	}
	if c.header.Kind == conversation.KindScenario {
		c.header.State = conversation.StateEnded
		nf := conversation.Fact{Type: conversation.TypeEnded, Data: marshal(map[string]string{"reason": f.State})}
		c.addFact(&nf)
		out.Facts = append(out.Facts, nf)
	}
	out.Row.State, out.Row.Text, out.Row.TextLen, out.Row.Finish, out.Row.Updated = r.State, r.Text, r.TextLen, r.Finish, r.Updated
	return out, nil
}
