package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestClaim(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		e.node("n2")
		id := e.chat("")
		e.accept(id, "a")
		e.accept(id, "b")
		// Only the lowest run may be claimed.
		cand := e.candidate(id, "n1")
		if cand.Run != 1 || cand.State != conversation.RunPending {
			t.Fatalf("candidate %+v", cand)
		}
		cl, err := e.Claim(e.ctx(), cand, "n1")
		if err != nil || cl.Fence != 1 || cl.Run.Attempt != 1 || cl.Tries != 1 || cl.Before != "" || cl.Handoff || cl.Run.Parent != 1 || cl.Run.Correlation != "corr-a" || cl.Facts != 3 {
			t.Fatalf("claim %+v (%v)", cl, err)
		}
		_, err = e.Claim(e.ctx(), cand, "n2")
		is(t, "second claim of what was seen", err, conversation.ErrClaimLost)
		if cs, _ := e.Claimable(e.ctx(), []string{"n1", "n2"}, id, 10); len(cs) != 0 {
			t.Errorf("claimable while its owner lives: %+v", cs)
		}
		// The owner is dead: the next attempt, under a higher fence.
		cl2 := e.claim(id, "n2", "n2")
		if cl2.Fence != 2 || cl2.Run.Attempt != 2 || cl2.Tries != 2 || cl2.Before != "n1" || cl2.Handoff {
			t.Errorf("takeover %+v", cl2)
		}
		// A hand-over does not count as a try; a release by the old fence is nothing.
		is(t, "zombie release", e.Release(e.ctx(), id, 1, cl.Fence), nil)
		if row := e.runState(id, 1); row.State != conversation.RunRunning || row.Owner != "n2" {
			t.Errorf("a zombie released %+v", row)
		}
		is(t, "release", e.Release(e.ctx(), id, 1, cl2.Fence), nil)
		is(t, "release again", e.Release(e.ctx(), id, 1, cl2.Fence), nil)
		if row := e.runState(id, 1); row.State != conversation.RunPending || row.Handoffs != 1 || row.Owner != "" {
			t.Errorf("released %+v", row)
		}
		cl3 := e.claim(id, "n1", "n1", "n2")
		if cl3.Fence != 3 || cl3.Run.Attempt != 3 || cl3.Tries != 2 || !cl3.Handoff || cl3.Before != "" {
			t.Errorf("claim after hand-over %+v", cl3)
		}
	})
}

func TestTwentyClaimants(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		for i := range 20 {
			e.node(fmt.Sprint("m", i))
		}
		for range 3 {
			id := e.chat("")
			e.accept(id, "a")
			cand := e.candidate(id, "n1")
			errs := parallel(20, func(i int) error {
				_, err := e.Claim(e.ctx(), cand, fmt.Sprint("m", i))
				return err
			})
			if n := won(t, errs, conversation.ErrClaimLost); n != 1 {
				t.Errorf("%d claimed the run", n)
			}
			if rec := e.load(id); rec.Fence != 1 || rec.Running == nil || rec.Running.Attempt != 1 {
				t.Errorf("after the race: fence %d, run %+v", rec.Fence, rec.Running)
			}
		}
	})
}

func TestOnlyActiveNodesClaim(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		for _, state := range []string{"draining", "dead"} {
			e.node("n-" + state)
			is(t, "set state", e.SetNodeState(e.ctx(), "n-"+state, state), nil)
			_, err := e.Claim(e.ctx(), e.candidate(id, "n1"), "n-"+state)
			is(t, "claim by a "+state+" node", err, conversation.ErrClaimLost)
		}
		_, err := e.Claim(e.ctx(), e.candidate(id, "n1"), "nobody")
		is(t, "claim by an unknown node", err, conversation.ErrClaimLost)
		if rec := e.load(id); rec.Fence != 0 {
			t.Errorf("refused claims raised the fence to %d", rec.Fence)
		}
		e.sql("UPDATE conversations SET deleted_at = 1 WHERE id = ?", id)
		if cs, err := e.Claimable(e.ctx(), nil, "", 10); len(cs) != 0 || err != nil {
			t.Errorf("an erased conversation is claimable: %+v (%v)", cs, err)
		}
	})
}

func TestFinishFirstWins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		e.node("n2")
		id := e.chat("")
		e.accept(id, "a")
		e.accept(id, "b")
		zombie := e.claim(id, "n1", "n1")
		cl := e.claim(id, "n2", "n2")
		calls := 0
		also := func(context.Context) ([]conversation.NewFact, error) {
			calls++
			return []conversation.NewFact{{Type: "practice.note", Data: []byte(`{"a":1}`)}}, nil
		}
		_, err := e.Finish(e.ctx(), completion(zombie, "old"), also)
		is(t, "zombie before the end", err, conversation.ErrFenced)
		out, err := e.Finish(e.ctx(), completion(cl, "done 😀"), also)
		if err != nil || out.Row.State != conversation.RunCompleted || kinds(out.Facts) != "4:partner.completed 5:practice.note " || out.Row.TextLen != 7 {
			t.Fatalf("finish: %+v, %s (%v)", out.Row, kinds(out.Facts), err)
		}
		if f := out.Facts[0]; f.Turn == nil || f.Turn.N != 3 || f.Fence != cl.Fence || f.Run != 1 || f.Attempt != 2 {
			t.Errorf("fact %+v", f)
		}
		// The same again, and another end of the same owner: what stands, stands.
		for _, f := range []conversation.Finishing{completion(cl, "done 😀"), {ID: id, Run: 1, Fence: cl.Fence, State: conversation.RunFailed, Finish: "x"}, completion(cl, "other")} {
			again, err := e.Finish(e.ctx(), f, also)
			if err != nil || again.Row.State != conversation.RunCompleted || again.Row.Text != "done 😀" || len(again.Facts) != 0 {
				t.Errorf("again: %+v %s (%v)", again.Row, kinds(again.Facts), err)
			}
		}
		_, err = e.Finish(e.ctx(), completion(zombie, "old"), also)
		is(t, "zombie after the end", err, conversation.ErrFenced)
		if calls != 1 {
			t.Errorf("the script finished %d times", calls)
		}
		_, err = e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 9, Fence: 1, State: conversation.RunCompleted}, nil)
		is(t, "unknown run", err, conversation.ErrNotFound)
		if got := e.load(id); len(got.Turns) != 3 || got.Turns[2].Text != "done 😀" || got.Turns[2].Finish != "stop" {
			t.Errorf("turns %+v", got.Turns)
		}
		e.gapless(id)
	})
}

func TestTenFinishAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		ep := e.named(id, "nn")
		texts := make([]string, 10)
		errs := parallel(10, func(i int) error {
			f := completion(cl, fmt.Sprint("text ", i))
			if i%2 == 0 { // a stop from outside
				f.Fence, f.Log, f.State = 0, ep, conversation.RunStopped
			}
			out, err := e.Finish(e.ctx(), f, nil)
			texts[i] = out.Row.Text
			return err
		})
		n := won(t, errs, conversation.ErrFenced)
		row := e.runState(id, 1)
		for i, err := range errs {
			if err == nil && texts[i] != row.Text {
				t.Errorf("%d was told %q, SQL has %q", i, texts[i], row.Text)
			}
		}
		if n < 5 || len(e.load(id).Turns) != 2 {
			t.Errorf("%d got an answer, turns %+v", n, e.load(id).Turns)
		}
		e.gapless(id)
	})
}

// TestAlsoFailing: what Finish runs beside the end is part of its transaction.
func TestAlsoFailing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		broken := fault.New(fault.UpstreamInvalid, "no")
		_, err := e.Finish(e.ctx(), completion(cl, "x"), func(ctx context.Context) ([]conversation.NewFact, error) {
			_, err := e.db.Conn(ctx).ExecContext(ctx, "UPDATE conversations SET title = 'changed' WHERE id = ?", id)
			return nil, errors.Join(err, broken)
		})
		code(t, "finish", err, fault.UpstreamInvalid)
		if rec := e.load(id); rec.Header.Title != "talk" || rec.Running == nil || len(rec.Turns) != 1 || rec.Facts != 2 {
			t.Errorf("a failed end left %+v", rec)
		}
		if _, err := e.Finish(e.ctx(), completion(cl, "y"), nil); err != nil {
			t.Errorf("finish afterwards: %v", err)
		}
	})
}

func TestStopFromOutside(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		pending := conversation.Finishing{ID: id, Run: 1, State: conversation.RunStopped}
		cl := e.claim(id, "n1", "n1")
		_, err := e.Finish(e.ctx(), pending, nil)
		is(t, "stop of a pending run that was claimed", err, conversation.ErrClaimLost)
		ep := e.named(id, "nn")
		stop := conversation.Finishing{ID: id, Run: 1, State: conversation.RunStopped, Text: "half 😀", Base: 1, Log: ep}
		for _, other := range []conversation.Epoch{{Counter: ep.Counter + 1, Nonce: "nn"}, {Counter: ep.Counter, Nonce: "mm"}} {
			f := stop
			f.Log = other
			_, err = e.Finish(e.ctx(), f, nil)
			is(t, "stop in log "+other.String(), err, conversation.ErrLogRenamed)
		}
		out, err := e.Finish(e.ctx(), stop, nil)
		if err != nil || out.Row.State != conversation.RunStopped || out.Row.TextLen != 7 || out.Facts[0].Fence != cl.Fence+1 {
			t.Fatalf("stop: %+v (%v)", out, err)
		}
		// The writer finds everywhere that it is over.
		_, err = e.Finish(e.ctx(), completion(cl, "whole"), nil)
		is(t, "the writer's end", err, conversation.ErrFenced)
		_, _, err = e.NameLog(e.ctx(), id, ep.Counter, cl.Fence)
		is(t, "the writer's new log", err, conversation.ErrLogRenamed)
		is(t, "the writer's checkpoint", e.Checkpoint(e.ctx(), []conversation.Checkpoint{{ID: id, Run: 1, Fence: cl.Fence, Base: 1, Len: 1, Text: "z"}}), nil)
		is(t, "the writer's release", e.Release(e.ctx(), id, 1, cl.Fence), nil)
		if row := e.runState(id, 1); row.State != conversation.RunStopped || row.Text != "half 😀" {
			t.Errorf("a zombie changed %+v", row)
		}
		if turns := e.load(id).Turns; len(turns) != 2 || turns[1].Finish != "stopped" {
			t.Errorf("turns %+v", turns)
		}
		// An empty stopped reply is no turn.
		e.accept(id, "b")
		out, err = e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 2, State: conversation.RunStopped}, nil)
		if err != nil || len(out.Facts) != 1 || out.Facts[0].Turn != nil || len(e.load(id).Turns) != 3 {
			t.Errorf("stop of a waiting run: %+v (%v)", out, err)
		}
		_, err = e.Claim(e.ctx(), conversation.Candidate{ID: id, Run: 2, State: conversation.RunPending, Fence: e.load(id).Fence}, "n1")
		is(t, "claim of a stopped run", err, conversation.ErrClaimLost)
		e.gapless(id)
	})
}

// TestStopOfAWaitingRunLeavesTheWriterAlone: the fence belongs to whoever
// writes the run before it.
func TestStopOfAWaitingRunLeavesTheWriterAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		e.accept(id, "b")
		cl := e.claim(id, "n1", "n1")
		ep := e.named(id, "nn")
		out, err := e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 2, State: conversation.RunStopped}, nil)
		if err != nil || len(out.Facts) != 1 {
			t.Fatalf("stop: %+v (%v)", out, err)
		}
		if f := out.Facts[0].Fence; f > cl.Fence {
			t.Errorf("the fact raises the log's fence to %d over the writer's %d", f, cl.Fence)
		}
		if _, _, err := e.NameLog(e.ctx(), id, ep.Counter, cl.Fence); err != nil {
			t.Errorf("the writer cannot make a log any more: %v", err)
		}
		if _, err := e.Finish(e.ctx(), completion(cl, "x"), nil); err != nil {
			t.Errorf("the writer cannot finish any more: %v", err)
		}
	})
}

func TestScenarioEndsWithItsRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		for _, state := range []string{conversation.RunCompleted, conversation.RunFailed, conversation.RunStopped} {
			rec, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: state, Run: true})
			is(t, "create", err, nil)
			id := rec.Header.ID
			cl := e.claim(id, "n1", "n1")
			f := completion(cl, `{"title":"x`)
			f.State, f.Message, f.Retryable = state, "no luck", true
			out, err := e.Finish(e.ctx(), f, func(context.Context) ([]conversation.NewFact, error) {
				return []conversation.NewFact{{Type: conversation.TypeScenarioReady, Data: []byte(`{"scenario":{}}`)}}, nil
			})
			is(t, "finish", err, nil)
			want := "2:scenario." + state + " 3:conversation.ended "
			if state == conversation.RunCompleted {
				want = "2:scenario.completed 3:scenario.ready 4:conversation.ended "
			}
			if got := kinds(out.Facts); got != want {
				t.Errorf("facts %s, want %s", got, want)
			}
			rec = e.load(id)
			if rec.Header.State != conversation.StateEnded || len(rec.Turns) != 0 || (rec.Result != nil) != (state == conversation.RunCompleted) || (rec.Failure != nil) != (state == conversation.RunFailed) {
				t.Errorf("after %s: %+v", state, rec)
			}
		}
	})
}

func TestFailureLastsUntilTheNextRun(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		if _, err := e.Finish(e.ctx(), conversation.Finishing{ID: id, Run: 1, Fence: cl.Fence, State: conversation.RunFailed, Text: "half", Finish: "upstream_timeout", Message: "slow", Retryable: true}, nil); err != nil {
			t.Fatal(err)
		}
		want := `{"message_id":"` + cl.Run.MessageID + `","text":"half","code":"upstream_timeout","message":"slow","retryable":true,"run":1,"parent":1}`
		if got := string(e.load(id).Failure); got != want {
			t.Errorf("failure %s, want %s", got, want)
		}
		e.accept(id, "b")
		if got := e.load(id).Failure; got != nil {
			t.Errorf("failure %s stays", got)
		}
	})
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		ids := []conversation.ID{e.chat(""), e.chat("")}
		var cls []conversation.Claim
		for _, id := range ids {
			e.accept(id, "a")
			cls = append(cls, e.claim(id, "n1", "n1"))
		}
		cp := func(i int, at int64, text string) conversation.Checkpoint {
			return conversation.Checkpoint{ID: ids[i], Run: 1, Fence: cls[i].Fence, Base: 1, At: at, Len: conversation.UTF16Len(text), Text: text}
		}
		save := func(cs ...conversation.Checkpoint) {
			t.Helper()
			is(t, "checkpoint", e.Checkpoint(e.ctx(), cs), nil)
		}
		text := func(i int, want string) {
			t.Helper()
			if row := e.runState(ids[i], 1); row.Text != want || row.TextLen != conversation.UTF16Len(want) {
				t.Errorf("checkpoint %q of %d units, want %q", row.Text, row.TextLen, want)
			}
		}
		save(cp(1, 0, "x😀"), cp(0, 0, "he"))
		save(cp(0, 2, "😀"))
		save(cp(0, 2, "😀"), cp(1, 3, "y")) // a repeat in a group with news
		text(0, "he😀")
		text(1, "x😀y")
		save(cp(0, 9, "far")) // a gap is passed over
		other := cp(0, 4, "!")
		other.Base = 2
		save(other)
		old := cp(0, 4, "zombie")
		old.Fence--
		save(old)
		text(0, "he😀")
		// The claim after a crash carries it.
		e.node("n2")
		cl := e.claim(ids[0], "n2", "n2")
		if cl.Text != "he😀" || cl.TextLen != 4 || cl.Base != 1 {
			t.Errorf("claim carries %q (%d units, base %d)", cl.Text, cl.TextLen, cl.Base)
		}
		// A whole text replaces, for a rebuild.
		whole := conversation.Checkpoint{ID: ids[0], Run: 1, Fence: cl.Fence, Base: 2, Len: 3, Text: "new", Whole: true}
		save(whole, cp(1, 4, "z"))
		text(0, "new")
		text(1, "x😀yz")
		if row := e.runState(ids[0], 1); row.Base != 2 {
			t.Errorf("base %d", row.Base)
		}
	})
}

func TestOwnedAndAskCancel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		cl := e.claim(id, "n1", "n1")
		is(t, "ask", e.AskCancel(e.ctx(), id, 1), nil)
		owned, err := e.Owned(e.ctx(), "n1")
		if want := (conversation.OwnedRun{ID: id, Run: 1, Fence: cl.Fence, Cancel: true}); err != nil || len(owned) != 1 || owned[0] != want {
			t.Errorf("owned %+v (%v)", owned, err)
		}
		if owned, err := e.Owned(e.ctx(), "n2"); err != nil || len(owned) != 0 {
			t.Errorf("n2 owns %+v (%v)", owned, err)
		}
		if _, err := e.Finish(e.ctx(), completion(cl, "x"), nil); err != nil {
			t.Fatal(err)
		}
		is(t, "ask after the end", e.AskCancel(e.ctx(), id, 1), nil)
		if owned, _ := e.Owned(e.ctx(), "n1"); len(owned) != 0 {
			t.Errorf("still owned %+v", owned)
		}
		// A pending run carries the wish to its claim.
		e.accept(id, "b")
		is(t, "ask", e.AskCancel(e.ctx(), id, 2), nil)
		if cl := e.claim(id, "n1", "n1"); !cl.Cancel {
			t.Error("the claim does not know of the stop")
		}
	})
}
