package redislog_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
)

// call is one script with good arguments for a log that env.writing made.
type call struct {
	name string
	do   func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error)
}

type stamp struct{ Seq, TS int64 }

func appendCall(a conversation.Append) call {
	return call{"append", func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error) {
		seq, ts, err := l.Append(ctx, id, ep, a)
		return stamp{seq, ts}, err
	}}
}

func beginCall(b conversation.Begin) call {
	return call{"begin " + string(b.How), func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error) {
		return l.Begin(ctx, id, ep, b)
	}}
}

func factCall(f conversation.Fact) call {
	return call{"fact " + f.Type, func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error) {
		_, _, err := l.PutFact(ctx, id, ep, f)
		return nil, err // the second answer is "had it"
	}}
}

func stopCall() call {
	return call{"stop", func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error) {
		return l.Stop(ctx, id, ep, 2)
	}}
}

func readCall() call {
	return call{"read", func(ctx context.Context, l *redislog.Log, id conversation.ID, ep conversation.Epoch) (any, error) {
		return l.Read(ctx, id, ep, 0, 100)
	}}
}

// calls are all scripts that take an epoch.
func calls() []call {
	rebuild := begin(conversation.BeginRebuild, 1, fence+2)
	rebuild.Text, rebuild.Base = "whole 😀 text", 1
	return []call{
		appendCall(piece(1, fence+1, 4, " there")),
		beginCall(begin(conversation.BeginContinue, 2, fence+2)),
		beginCall(begin(conversation.BeginRestart, 2, fence+2)),
		beginCall(rebuild),
		factCall(accepted(3)),
		factCall(completed(3)),
		stopCall(),
		readCall(),
	}
}

func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		for _, c := range calls() {
			id, ep := e.writing()
			start := e.dump(id)
			first, err := c.do(t.Context(), e.log, id, ep)
			errIs(t, c.name, err, nil)
			once := e.dump(id)
			if c.name != "read" && cmp.Equal(start, once) {
				t.Errorf("%s did nothing", c.name)
			}
			second, err := c.do(t.Context(), e.log, id, ep)
			if c.name == "fact partner.completed" || err == nil {
				errIs(t, c.name+" again", err, nil)
			}
			if d := cmp.Diff(first, second); d != "" {
				t.Errorf("%s answers otherwise the second time:\n%s", c.name, d)
			}
			same(t, c.name+" again", once, e.dump(id))
		}
	})
}

// TestLateDuplicates repeats each command after the run has ended and a next
// one has begun: a command may lie in a socket for long.
func TestLateDuplicates(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		for _, c := range calls() {
			id, ep := e.writing()
			if _, err := c.do(t.Context(), e.log, id, ep); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			a := e.active(id)
			end := completed(a.Facts + 1)
			if a.State.Open != nil {
				end.Attempt, end.Fence = a.State.Open.Attempt, a.Fence
				if _, _, err := e.log.PutFact(t.Context(), id, ep, end); err != nil {
					t.Fatal(err)
				}
			}
			ended := e.dump(id)
			_, err := c.do(t.Context(), e.log, id, ep)
			t.Logf("%s after the end: %v", c.name, err)
			same(t, c.name+" after the end", ended, e.dump(id))

			next := conversation.Begin{Run: run(3, 1), Fence: fence + 3, How: conversation.BeginRestart}
			if _, err := e.log.Begin(t.Context(), id, ep, next); err != nil {
				t.Fatalf("next run after %s: %v", c.name, err)
			}
			later := e.dump(id)
			_, err = c.do(t.Context(), e.log, id, ep)
			t.Logf("%s in the next run: %v", c.name, err)
			same(t, c.name+" in the next run", later, e.dump(id))
		}
	})
}

func TestWrongEpochOrNoLog(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		for _, c := range calls() {
			id, ep := e.writing()
			before := e.dump(id)
			for _, bad := range []conversation.Epoch{{Counter: ep.Counter + 1, Nonce: ep.Nonce}, {Counter: ep.Counter - 1, Nonce: ep.Nonce}, {Counter: ep.Counter, Nonce: ep.Nonce + "0"}, {}} {
				_, err := c.do(t.Context(), e.log, id, bad)
				errIs(t, c.name+" with epoch "+bad.String(), err, conversation.ErrLogEpoch)
			}
			same(t, c.name+" of another epoch", before, e.dump(id))
			other := conversation.NewID()
			_, err := c.do(t.Context(), e.log, other, ep)
			errIs(t, c.name+" without a log", err, conversation.ErrLogMissing)
			if ks := e.keys(other); len(ks) != 0 {
				t.Errorf("%s made keys %v without a log", c.name, ks)
			}
		}
	})
}

func TestFences(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, ep := e.writing()
		before := e.dump(id)
		for _, how := range []conversation.BeginHow{conversation.BeginContinue, conversation.BeginRestart, conversation.BeginRebuild} {
			_, err := e.log.Begin(t.Context(), id, ep, begin(how, 2, fence))
			errIs(t, "begin "+string(how)+" with an old fence", err, conversation.ErrFenced)
		}
		_, _, err := e.log.Append(t.Context(), id, ep, piece(1, fence, 4, "x"))
		errIs(t, "append with an old fence", err, conversation.ErrFenced)
		_, _, err = e.log.Append(t.Context(), id, ep, piece(1, fence+2, 4, "x"))
		errIs(t, "append with a fence that has not begun", err, conversation.ErrLogRebegin)
		_, _, err = e.log.Append(t.Context(), id, ep, piece(2, fence+1, 4, "x"))
		errIs(t, "append of another attempt", err, conversation.ErrLogRebegin)
		other := piece(1, fence+1, 4, "x")
		other.Run.No = 3
		_, _, err = e.log.Append(t.Context(), id, ep, other)
		errIs(t, "append of another run", err, conversation.ErrLogRebegin)
		same(t, "refused writes", before, e.dump(id))

		// A fact may raise the fence: whoever writes finds that it is over.
		f := accepted(3)
		f.Fence = fence + 9
		if _, _, err := e.log.PutFact(t.Context(), id, ep, f); err != nil {
			t.Fatal(err)
		}
		_, _, err = e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "x"))
		errIs(t, "append after a fact raised the fence", err, conversation.ErrFenced)
		f = accepted(4)
		f.Fence = 1
		if _, _, err := e.log.PutFact(t.Context(), id, ep, f); err != nil {
			t.Fatal(err)
		}
		if got := e.active(id).Fence; got != fence+9 {
			t.Errorf("a fact with a low fence left %d", got)
		}
	})
}

func TestAfterAWipe(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		for _, c := range calls() {
			id, ep := e.writing()
			e.flush()
			_, err := c.do(t.Context(), e.log, id, ep)
			errIs(t, c.name+" after FLUSHALL", err, conversation.ErrLogMissing)
			_, err = e.log.Active(t.Context(), id)
			errIs(t, "active after FLUSHALL", err, conversation.ErrLogMissing)
			if ks := e.keys(id); len(ks) != 0 {
				t.Errorf("%s made keys %v after a wipe", c.name, ks)
			}
		}
	})
}

// TestAnotherIncarnation: data that an older lifetime left is never read and
// never written, also by a client that has not noticed.
func TestAnotherIncarnation(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		for _, c := range calls() {
			id, ep := e.writing()
			before := e.dump(id)
			was, err := e.log.Incarnation(t.Context(), id)
			errIs(t, "incarnation", err, nil)
			e.reborn()
			_, err = c.do(t.Context(), e.log, id, ep)
			errIs(t, c.name+" in another incarnation", err, conversation.ErrLogMissing)
			_, err = e.log.Active(t.Context(), id)
			errIs(t, "active in another incarnation", err, conversation.ErrLogMissing)
			same(t, c.name+" in another incarnation", before, e.dump(id))
			now, err := e.log.Incarnation(t.Context(), id)
			if err != nil || now <= was {
				t.Errorf("incarnation %d after %d (%v)", now, was, err)
			}
			// A new log stands beside the old one.
			if _, err := e.log.Create(t.Context(), id, 1, conversation.Seed{Header: header(id)}); err != nil {
				t.Errorf("create after %s: %v", c.name, err)
			}
			if a := e.active(id); a.Top != 0 || a.Epoch == ep {
				t.Errorf("the new log stands at %+v", a)
			}
		}
	})
}

func TestRestartedRedisIsAnotherIncarnation(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"r", "m"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			e := newRealEnv(t, mode)
			id, ep := e.writing()
			was, err := e.log.Incarnation(t.Context(), id)
			errIs(t, "incarnation", err, nil)
			e.srv.Restart()
			// The first call may meet the dead connection.
			_, _, err = e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "x"))
			if err == nil {
				t.Fatal("appended to a log that is gone")
			}
			_, _, err = e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "x"))
			errIs(t, "append after a restart", err, conversation.ErrLogMissing)
			now, err := e.log.Incarnation(t.Context(), id)
			if err != nil || now <= was {
				t.Errorf("incarnation %d after %d (%v)", now, was, err)
			}
		})
	}
}

// TestOneKeyGone: whichever key vanishes alone, nobody is told a wrong text,
// and the writer learns that it has to rebuild.
func TestOneKeyGone(t *testing.T) {
	t.Parallel()
	missing := conversation.ErrLogMissing
	for _, tc := range []struct {
		key                             string
		active, read, append, cont, end error
	}{
		{"m", missing, missing, missing, missing, missing},
		{"p", missing, nil, missing, missing, nil},
		{"h", missing, nil, missing, missing, nil},
		{"t", missing, nil, missing, missing, nil},
		{"l", nil, missing, nil, nil, nil}, // the state is whole; the log has a hole that readers notice
	} {
		t.Run(tc.key, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, e *env) {
				fresh := func() (conversation.ID, conversation.Epoch) {
					id, ep := e.writing()
					e.drop(id, tc.key)
					return id, ep
				}
				id, ep := fresh()
				_, err := e.log.Active(t.Context(), id)
				errIs(t, "active", err, tc.active)
				_, err = e.log.Read(t.Context(), id, ep, 0, 100)
				errIs(t, "read", err, tc.read)
				_, _, err = e.log.Append(t.Context(), id, ep, piece(1, fence+1, 4, "x"))
				errIs(t, "append", err, tc.append)
				if tc.key == "l" {
					_, err = e.log.Read(t.Context(), id, ep, 0, 100)
					errIs(t, "read over the hole", err, missing)
					p, err := e.log.Read(t.Context(), id, ep, 2, 100)
					if err != nil || len(p.Events) != 1 || p.Events[0].Text != "x" {
						t.Errorf("read behind the hole: %+v (%v)", p, err)
					}
				}
				id, ep = fresh()
				_, err = e.log.Begin(t.Context(), id, ep, begin(conversation.BeginContinue, 2, fence+2))
				errIs(t, "continue", err, tc.cont)
				id, ep = fresh()
				_, _, err = e.log.PutFact(t.Context(), id, ep, completed(3))
				errIs(t, "end", err, tc.end)
				id, ep = fresh()
				_, err = e.log.Stop(t.Context(), id, ep, 2)
				if tc.key == "m" || tc.key == "p" {
					errIs(t, "stop", err, missing)
				}
			})
		})
	}
}

func newRealEnv(t *testing.T, mode string) *env {
	srv := testenvRedis(t)
	return newEnv(t, srv.Addr, mode, srv)
}
