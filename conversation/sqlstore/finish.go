package sqlstore

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

// Finish implements conversation.Store. The first end of a run wins and never
// changes; a caller that comes second gets what stands, or ErrFenced when its
// fence is not the run's.
func (s *Store) Finish(ctx context.Context, f conversation.Finishing, also func(ctx context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	var out conversation.Finished
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		r, err := s.lock(ctx, f.ID, "")
		if err != nil {
			return err
		}
		if out, err = s.finish(ctx, r, f, also); err != nil || len(out.Facts) == 0 {
			return err
		}
		return s.save(ctx, r)
	})
	if err != nil {
		return conversation.Finished{}, fmt.Errorf("finish run: %w", err)
	}
	return out, nil
}

// finish judges an end against what stands; the row is saved by the caller.
func (s *Store) finish(ctx context.Context, r *row, f conversation.Finishing, also func(ctx context.Context) ([]conversation.NewFact, error)) (conversation.Finished, error) {
	run, err := s.run(ctx, f.ID, f.Run)
	out := conversation.Finished{Row: run}
	switch {
	case err != nil:
		return out, err
	case run.Ended():
		if f.Fence != 0 && f.Fence != run.Fence {
			return out, conversation.ErrFenced
		}
		return out, nil
	case f.Fence != 0:
		if f.Fence != run.Fence || run.State != conversation.RunRunning {
			return out, conversation.ErrFenced
		}
	case f.Log.Zero():
		// One that was handed over is pending too, with text in the log.
		if run.State != conversation.RunPending || run.Attempt > 0 {
			return out, conversation.ErrClaimLost
		}
	case run.Attempt == 0 || f.Log != r.log:
		return out, conversation.ErrLogRenamed
	}
	err = s.end(ctx, r, run, f, also, &out)
	return out, err
}

func (s *Store) end(ctx context.Context, r *row, run conversation.RunRow, f conversation.Finishing,
	also func(ctx context.Context) ([]conversation.NewFact, error), out *conversation.Finished) error {
	length := conversation.UTF16Len(f.Text)
	if f.Fence == 0 && run.Attempt > 0 {
		// Ended from outside: whoever writes must find that its fence is old. A
		// run that nobody ever claimed has no writer, and the fence may belong
		// to the writer of the run before it.
		r.fence++
		run.Fence = r.fence
	}
	if f.Base == 0 {
		f.Base = run.Base
	}
	at := s.micros()
	if _, err := s.exec(ctx, `UPDATE runs SET state = ?, text = ?, text_len = ?, base = ?, finish = ?, fence = ?, updated_at = ?
		WHERE conversation = ? AND run = ?`, f.State, f.Text, length, f.Base, f.Finish, run.Fence, at, f.ID, f.Run); err != nil {
		return err
	}
	t := conversation.Turn{ID: run.MessageID, Author: conversation.Partner, Text: f.Text, Run: run.No, Finish: f.Finish, Parent: run.Parent}
	fact := conversation.Fact{Type: run.Purpose + "." + f.State, Run: run.No, Attempt: run.Attempt, Base: f.Base, Fence: run.Fence}
	if r.kind == conversation.KindChat && (f.State == conversation.RunCompleted || f.State == conversation.RunStopped && f.Text != "") {
		if f.State == conversation.RunStopped {
			t.Finish = conversation.RunStopped
		}
		if err := s.addTurn(ctx, r, &t); err != nil {
			return err
		}
		fact.Turn = &t
	}
	fact.Data = endData(t, &f)
	if err := s.addFact(ctx, r, &fact); err != nil {
		return err
	}
	out.Facts = append(out.Facts, fact)
	if f.State == conversation.RunCompleted && also != nil {
		more, err := also(ctx)
		if err != nil {
			return err
		}
		for _, m := range more {
			nf := conversation.Fact{Type: m.Type, Data: m.Data}
			if err := s.addFact(ctx, r, &nf); err != nil {
				return err
			}
			out.Facts = append(out.Facts, nf)
		}
	}
	if r.kind == conversation.KindScenario {
		// A scenario request is one run; its end is the end of the request.
		r.state = conversation.StateEnded
		nf := conversation.Fact{Type: conversation.TypeEnded, Data: marshal(map[string]string{"reason": f.State})}
		if err := s.addFact(ctx, r, &nf); err != nil {
			return err
		}
		out.Facts = append(out.Facts, nf)
	}
	out.Row.State, out.Row.Text, out.Row.TextLen, out.Row.Finish, out.Row.Updated = f.State, f.Text, length, f.Finish, at
	return nil
}
