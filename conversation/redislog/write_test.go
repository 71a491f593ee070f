package redislog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func testenvRedis(t *testing.T) *testenv.RedisServer { t.Helper(); return testenv.Redis(t) }

func TestAppendPositions(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, ep := e.writing() // "he😀", 4 units
		ctx := t.Context()
		before := e.dump(id)
		_, _, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 5, "x"))
		gapAt(t, "beyond the end", err, 4)
		_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 2, "😀 more"))
		gapAt(t, "partial overlap", err, 4)
		_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 0, "he"))
		gapAt(t, "an older piece", err, 4)
		_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 0, "HE😀"))
		gapAt(t, "other text at the same place", err, 4)
		same(t, "refused pieces", before, e.dump(id))

		seq, ts, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "ü|\n\x00é"))
		if err != nil || seq != 3 || ts < 1 {
			t.Fatalf("append: seq %d ts %d (%v)", seq, ts, err)
		}
		a := e.active(id)
		if a.State.Open == nil || a.State.Open.Text != "he😀ü|\n\x00é" || a.OpenLen != 9 || a.Top != 3 {
			t.Fatalf("open text is %+v with %d units", a.State.Open, a.OpenLen)
		}
		p, err := e.log.Read(ctx, id, ep, 0, 10)
		if err != nil || len(p.Events) != 3 {
			t.Fatalf("read: %+v (%v)", p, err)
		}
		want := conversation.Event{Seq: 3, Type: "partner.delta", Run: 2, Attempt: 1, Base: 1, At: 4, Len: 5, TS: ts, Text: "ü|\n\x00é"}
		if d := cmp.Diff(want, p.Events[2]); d != "" {
			t.Errorf("entry differs:\n%s", d)
		}
	})
}

// TestAppendRepeatAnswersItsOwnNumber: the reply of an append was lost, and a
// fact or a stop mark took the next number before the repeat.
func TestAppendRepeatAnswersItsOwnNumber(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		id, ep := e.writing()
		ctx := t.Context()
		seq, ts, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "ab"))
		errIs(t, "append", err, nil)
		if _, _, err := e.log.PutFact(ctx, id, ep, accepted(3)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.log.Stop(ctx, id, ep, 2); err != nil {
			t.Fatal(err)
		}
		before := e.dump(id)
		again, ts2, err := e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "ab"))
		if err != nil || again != seq || ts2 != ts {
			t.Errorf("repeat: %d at %d (%v), want %d at %d", again, ts2, err, seq, ts)
		}
		_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 6, "c"))
		errIs(t, "text after the stop mark", err, conversation.ErrLogStopped)
		same(t, "writing after a stop", before, e.dump(id))
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		id, ep := e.writing()
		_, err := e.log.Stop(ctx, id, ep, 3)
		errIs(t, "stop of another run", err, conversation.ErrLogNotOpen)
		b, err := e.log.Stop(ctx, id, ep, 2)
		want := conversation.Began{Epoch: ep, Base: 1, Text: "he😀", Len: 4, Stopped: true}
		if err != nil || b != want {
			t.Fatalf("stop: %+v (%v)", b, err)
		}
		a := e.active(id)
		if a.StopAt != 4 || !a.State.Open.Stopping {
			t.Errorf("active says %+v, stop at %d", a.State.Open, a.StopAt)
		}
		// A takeover keeps the mark, a restart of the text drops it.
		b, err = e.log.Begin(ctx, id, ep, begin(conversation.BeginContinue, 2, fence+2))
		if err != nil || !b.Stopped || b.Text != "he😀" {
			t.Errorf("continue after a stop: %+v (%v)", b, err)
		}
		_, _, err = e.log.Append(ctx, id, ep, piece(2, fence+2, 4, "c"))
		errIs(t, "text of the next attempt", err, conversation.ErrLogStopped)
		if _, _, err := e.log.PutFact(ctx, id, ep, completed(3)); err != nil {
			t.Fatal(err)
		}
		_, err = e.log.Stop(ctx, id, ep, 2)
		errIs(t, "stop after the end", err, conversation.ErrLogNotOpen)
		if got := e.active(id).StopAt; got != -1 {
			t.Errorf("stop mark at %d after the end", got)
		}
		if d := cmp.Diff([]string{".started", ".delta", ".stopping", ".recovering", ".resumed", ".completed"}, e.types(id, ep)); d != "" {
			t.Error(d)
		}
	})
}

func TestBegin(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		// Continue keeps the text and says so; the next attempt goes on.
		id, ep := e.writing()
		b, err := e.log.Begin(ctx, id, ep, begin(conversation.BeginContinue, 2, fence+2))
		if want := (conversation.Began{Epoch: ep, Base: 1, Text: "he😀", Len: 4}); err != nil || b != want {
			t.Fatalf("continue: %+v (%v)", b, err)
		}
		_, _, err = e.log.Append(ctx, id, ep, piece(1, fence+1, 4, "zombie"))
		errIs(t, "the old writer", err, conversation.ErrFenced)
		if _, _, err := e.log.Append(ctx, id, ep, piece(2, fence+2, 4, "!")); err != nil {
			t.Fatal(err)
		}
		// The repeat of Begin answers what the text is now.
		b, err = e.log.Begin(ctx, id, ep, begin(conversation.BeginContinue, 2, fence+2))
		if err != nil || b.Text != "he😀!" || b.Len != 5 {
			t.Errorf("begin again: %+v (%v)", b, err)
		}
		p, err := e.log.Read(ctx, id, ep, 2, 10)
		if err != nil || len(p.Events) != 3 || string(p.Events[0].Data) != `{"reason":"node_dead","attempt":2}` || p.Events[1].At != 4 || p.Events[1].Base != 1 {
			t.Errorf("after a takeover the log has %+v (%v)", p.Events, err)
		}
		// Restart takes the text back, announced, with a higher base.
		b, err = e.log.Begin(ctx, id, ep, begin(conversation.BeginRestart, 3, fence+3))
		if want := (conversation.Began{Epoch: ep, Base: 3}); err != nil || b != want {
			t.Errorf("restart: %+v (%v)", b, err)
		}
		if d := cmp.Diff([]string{".started", ".delta", ".recovering", ".resumed", ".delta", ".restarted"}, e.types(id, ep)); d != "" {
			t.Error(d)
		}
		// Continue of a run that the log does not hold.
		id, ep = e.create()
		_, err = e.log.Begin(ctx, id, ep, begin(conversation.BeginContinue, 2, fence+2))
		errIs(t, "continue of an unknown run", err, conversation.ErrLogUnknownRun)
		// Until the caller begins anew, nobody before it does.
		before := e.dump(id)
		_, err = e.log.Begin(ctx, id, ep, begin(conversation.BeginRestart, 1, fence+1))
		errIs(t, "the writer before it", err, conversation.ErrFenced)
		same(t, "the writer before it", before, e.dump(id))
		// Rebuild carries text and base in one step.
		rb := begin(conversation.BeginRebuild, 2, fence+2)
		rb.Text, rb.Base = "all 😀", 1
		b, err = e.log.Begin(ctx, id, ep, rb)
		if want := (conversation.Began{Epoch: ep, Base: 1, Text: "all 😀", Len: 6}); err != nil || b != want {
			t.Errorf("rebuild: %+v (%v)", b, err)
		}
		if _, _, err := e.log.Append(ctx, id, ep, piece(2, fence+2, 6, "x")); err != nil {
			t.Errorf("append after a rebuild: %v", err)
		}
		if d := cmp.Diff([]string{".started", ".delta", ".delta"}, e.types(id, ep)); d != "" {
			t.Error(d)
		}
		// A rebuild of nothing has no delta.
		id, ep = e.create()
		rb.Text = ""
		if b, err = e.log.Begin(ctx, id, ep, rb); err != nil || b.Len != 0 || b.Base != 1 {
			t.Errorf("empty rebuild: %+v (%v)", b, err)
		}
		if d := cmp.Diff([]string{".started"}, e.types(id, ep)); d != "" {
			t.Error(d)
		}
	})
}

func TestFacts(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		l := e.open(redislog.Options{MaxTurns: 3})
		id, ep := e.writing() // fact 2, one turn
		before := e.dump(id)
		_, _, err := l.PutFact(ctx, id, ep, accepted(4))
		gapAt(t, "fact 4 after 2", err, 2)
		for n := range int64(3) {
			seq, _, err := l.PutFact(ctx, id, ep, accepted(n))
			if err != nil || seq != 0 {
				t.Errorf("fact %d again: seq %d (%v)", n, seq, err)
			}
		}
		same(t, "old and far facts", before, e.dump(id))
		// A fact about another run leaves the open one alone.
		other := completed(3)
		other.Run, other.Fence = 9, 0
		if _, _, err := l.PutFact(ctx, id, ep, other); err != nil {
			t.Fatal(err)
		}
		if a := e.active(id); a.State.Open == nil || a.State.Open.Text != "he😀" {
			t.Errorf("open after another run's end: %+v", a.State.Open)
		}
		// Turns are trimmed from the front.
		for n := int64(4); n < 8; n++ {
			if _, _, err := l.PutFact(ctx, id, ep, accepted(n)); err != nil {
				t.Fatal(err)
			}
		}
		a := e.active(id)
		if len(a.State.Turns) != 3 || a.State.Turns[2].N != 7 || a.Facts != 7 {
			t.Errorf("turns %+v, facts %d", a.State.Turns, a.Facts)
		}
		// Folding.
		for i, f := range []conversation.Fact{
			{Type: "partner.failed", Run: 2, Data: []byte(`{"code":"x"}`)},
			{Type: conversation.TypeScenarioReady, Data: []byte(`{"scenario":1}`)},
			{Type: conversation.TypeEnded, Data: []byte(`{"reason":"failed"}`)},
		} {
			f.N = 8 + int64(i)
			if _, _, err := l.PutFact(ctx, id, ep, f); err != nil {
				t.Fatal(err)
			}
		}
		a = e.active(id)
		if string(a.State.Failure) != `{"code":"x"}` || string(a.State.Result) != `{"scenario":1}` || a.State.Header.State != conversation.StateEnded || a.State.Open != nil {
			t.Errorf("folded state is %+v", a.State)
		}
		// The next run clears the failure.
		if _, err := l.Begin(ctx, id, ep, conversation.Begin{Run: run(3, 1), Fence: fence + 5, How: conversation.BeginRestart}); err != nil {
			t.Fatal(err)
		}
		if a = e.active(id); a.State.Failure != nil {
			t.Errorf("failure %s stays", a.State.Failure)
		}
	})
}

func TestCreate(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		id, ep := e.writing()
		before := e.dump(id)
		for _, counter := range []int64{0, 1} {
			_, err := e.log.Create(ctx, id, counter, conversation.Seed{Header: header(id)})
			errIs(t, "create with a low counter", err, conversation.ErrLogExists)
		}
		same(t, "refused create", before, e.dump(id))
		seed := conversation.Seed{Fence: 9, Facts: 4, Header: header(id), Result: []byte(`{"r":1}`), Failure: []byte(`{"f":1}`),
			Turns: []conversation.Turn{{N: 1, ID: "a", Author: conversation.Learner, Text: "x", ClientID: "c", Run: 1, At: 7}}}
		ep2, err := e.log.Create(ctx, id, 2, seed)
		if err != nil || ep2.Counter != 2 || ep2.Nonce == ep.Nonce {
			t.Fatalf("create: %+v (%v)", ep2, err)
		}
		want := conversation.Active{Epoch: ep2, Fence: 9, Low: 1, Facts: 4, StopAt: -1,
			State: conversation.State{Header: seed.Header, Turns: seed.Turns, Result: seed.Result, Failure: seed.Failure}}
		if d := cmp.Diff(want, e.active(id)); d != "" {
			t.Errorf("new log:\n%s", d)
		}
		_, err = e.log.Read(ctx, id, ep, 0, 10)
		errIs(t, "read of the old log", err, conversation.ErrLogEpoch)
		// A duplicate that arrives after a wipe makes a log of another name,
		// which nobody who knows SQL's name reads or writes.
		e.flush()
		ghost, err := e.log.Create(ctx, id, 2, seed)
		if err != nil || ghost == ep2 {
			t.Fatalf("late duplicate: %+v (%v)", ghost, err)
		}
		for _, c := range calls() {
			_, err := c.do(ctx, e.log, id, ep2)
			errIs(t, c.name+" in the ghost's log", err, conversation.ErrLogEpoch)
		}
	})
}

func TestCreateKeepsTheNewestTurns(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		l := e.open(redislog.Options{MaxTurns: 2})
		id := conversation.NewID()
		seed := conversation.Seed{Header: header(id)}
		for n := range int64(5) {
			seed.Turns = append(seed.Turns, conversation.Turn{N: n + 1})
		}
		if _, err := l.Create(t.Context(), id, 1, seed); err != nil {
			t.Fatal(err)
		}
		if a := e.active(id); len(a.State.Turns) != 2 || a.State.Turns[0].N != 4 {
			t.Errorf("got %+v", a.State.Turns)
		}
	})
}

// TestTrimIsLoud: a cursor below what is kept is told so, wherever the front is.
func TestTrimIsLoud(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		l := e.open(redislog.Options{MaxEntries: 16})
		id, ep := e.writing()
		at := int64(4)
		trimmed := false
		for range 60 {
			if _, _, err := l.Append(ctx, id, ep, piece(1, fence+1, at, "ab")); err != nil {
				t.Fatal(err)
			}
			at += 2
			a := e.active(id)
			if n := a.Top - a.Low + 1; n > 18 {
				t.Fatalf("%d entries kept, want at most 18", n)
			}
			trimmed = trimmed || a.Low > 1
			for after := int64(0); after <= a.Top+1; after++ {
				p, err := l.Read(ctx, id, ep, after, 1000)
				switch {
				case after > a.Top:
					errIs(t, "ahead", err, conversation.ErrAhead)
				case after+1 < a.Low:
					errIs(t, "below the front", err, conversation.ErrTrimmed)
				case err != nil || int64(len(p.Events)) != a.Top-after:
					t.Fatalf("after %d of %d..%d: %d events (%v)", after, a.Low, a.Top, len(p.Events), err)
				}
			}
		}
		if a := e.active(id); !trimmed || a.OpenLen != at || conversation.UTF16Len(a.State.Open.Text) != at {
			t.Errorf("trimmed %v; open text has %d units, want %d", trimmed, a.OpenLen, at)
		}
		p, err := l.Read(ctx, id, ep, e.active(id).Top-5, 2)
		if err != nil || len(p.Events) != 2 || p.Top != e.active(id).Top {
			t.Errorf("a bounded read gave %+v (%v)", p, err)
		}
	})
}

// TestEveryKeyHasATerm: nothing that a conversation leaves stays for ever.
func TestEveryKeyHasATerm(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		terms := func(what string, id conversation.ID) {
			t.Helper()
			ks := e.keys(id)
			for _, k := range ks {
				if ttl := e.rdb.TTL(ctx, k).Val(); ttl < 23*time.Hour || ttl > 24*time.Hour {
					t.Errorf("after %s key %s has the term %v", what, k[strings.LastIndexByte(k, ':'):], ttl)
				}
			}
		}
		// A conversation without turns, whose first entry is a fact.
		id := conversation.NewID()
		ep, err := e.log.Create(ctx, id, 1, conversation.Seed{Facts: 1, Header: header(id)})
		errIs(t, "create", err, nil)
		terms("create", id)
		if _, _, err := e.log.PutFact(ctx, id, ep, conversation.Fact{N: 2, Type: "practice.note", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		terms("a first fact", id)
		if _, _, err := e.log.PutFact(ctx, id, ep, accepted(3)); err != nil {
			t.Fatal(err)
		}
		terms("a first turn", id)
		id, _ = e.writing()
		terms("a first text", id)
	})
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	e := newRealEnv(t, "r")
	l := redislog.New(e.rdb, e.reg, redislog.Options{Mode: "r", Timeout: 100 * time.Millisecond})
	id, ep := e.writing()
	if _, err := l.Active(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	e.srv.Pause()
	for _, c := range calls() {
		begun := time.Now()
		_, err := c.do(t.Context(), l, id, ep)
		errIs(t, c.name+" while Redis hangs", err, conversation.ErrLogDown)
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("%s took %v", c.name, d)
		}
	}
	e.srv.Resume()
	e.srv.Kill()
	for _, c := range calls() {
		_, err := c.do(t.Context(), l, id, ep)
		errIs(t, c.name+" without Redis", err, conversation.ErrLogDown)
	}
}

func TestDetectMode(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		want := "m"
		if e.srv != nil {
			want = "r"
		}
		got, err := redislog.DetectMode(t.Context(), e.rdb)
		if err != nil || got != want {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
		if e.srv == nil {
			return
		}
		// A Redis that hides INFO from us.
		e.do("ACL", "SETUSER", "default", "-info")
		if got, err = redislog.DetectMode(t.Context(), e.rdb); err != nil || got != "m" {
			t.Errorf("without INFO: %q (%v)", got, err)
		}
		e.srv.Kill()
		if got, err = redislog.DetectMode(t.Context(), e.rdb); err == nil {
			t.Errorf("without Redis: %q and no error", got)
		}
	})
}
