package sqlstore_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

func TestNameLog(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("Hello.")
		e.accept(id, "a")
		counter, seed, err := e.NameLog(e.ctx(), id, 0, 0)
		if err != nil || counter != 1 || seed.Facts != 3 || len(seed.Turns) != 2 || seed.Header.Owner != owner || string(seed.Header.Meta) != `{"card":1}` {
			t.Fatalf("name: %d %+v (%v)", counter, seed, err)
		}
		if rec := e.load(id); !rec.Log.Zero() || rec.Log.Counter != 1 {
			t.Errorf("half a name reads as %+v", rec.Log)
		}
		_, _, err = e.NameLog(e.ctx(), id, 0, 0)
		is(t, "name again", err, conversation.ErrLogRenamed)
		ep := conversation.Epoch{Counter: 1, Nonce: "aa"}
		is(t, "nonce", e.RecordNonce(e.ctx(), id, ep, 0), nil)
		is(t, "the same nonce again", e.RecordNonce(e.ctx(), id, ep, 0), nil)
		is(t, "another nonce", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: 1, Nonce: "bb"}, 0), conversation.ErrLogRenamed)
		is(t, "another counter", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: 2, Nonce: "aa"}, 0), conversation.ErrLogRenamed)
		if rec := e.load(id); rec.Log != ep {
			t.Errorf("name %+v, want %+v", rec.Log, ep)
		}
		// A claim between the two steps takes the name away.
		_, _, err = e.NameLog(e.ctx(), id, 1, 0)
		is(t, "name 2", err, nil)
		cl := e.claim(id, "n1", "n1")
		is(t, "nonce of a reader after a claim", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: 2, Nonce: "cc"}, 0), conversation.ErrLogRenamed)
		is(t, "nonce of a claimant for a reader's log", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: 2, Nonce: "cc"}, cl.Fence), conversation.ErrLogRenamed)
		_, _, err = e.NameLog(e.ctx(), id, 2, 0)
		is(t, "name by an old fence", err, conversation.ErrLogRenamed)
		c, seed, err := e.NameLog(e.ctx(), id, 2, cl.Fence)
		if err != nil || c != 3 || seed.Fence != cl.Fence {
			t.Errorf("name by the owner: %d %+v (%v)", c, seed, err)
		}
		is(t, "its nonce", e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: 3, Nonce: "dd"}, cl.Fence), nil)
		_, _, err = e.NameLog(e.ctx(), conversation.NewID(), 0, 0)
		is(t, "unknown conversation", err, conversation.ErrNotFound)
	})
}

func TestTenNameALogAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		errs := parallel(10, func(i int) error {
			c, _, err := e.NameLog(e.ctx(), id, 0, 0)
			if err != nil {
				return err
			}
			return e.RecordNonce(e.ctx(), id, conversation.Epoch{Counter: c, Nonce: fmt.Sprint("n", i)}, 0)
		})
		if n := won(t, errs, conversation.ErrLogRenamed); n != 1 {
			t.Errorf("%d named the log", n)
		}
		if rec := e.load(id); rec.Log.Counter != 1 || rec.Log.Zero() {
			t.Errorf("name %+v", rec.Log)
		}
	})
}

func TestFacts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id, other := e.chat("Hello."), e.chat("")
		e.accept(id, "a")
		all := e.gapless(id)
		page, err := e.Facts(e.ctx(), id, 1, 1)
		if err != nil || len(page) != 1 || page[0].N != 2 || page[0].Turn == nil || page[0].Turn.Text != "Hello." {
			t.Errorf("page %+v (%v)", page, err)
		}
		if f := all[2]; f.Turn == nil || f.Turn.ClientID != "a" || f.Turn.Author != conversation.Learner || f.Turn.Run != 2 || f.Turn.At == 0 {
			t.Errorf("fact %+v", f)
		}
		if f := all[0]; f.Turn != nil || string(f.Data) != `{"kind":"chat","title":"talk"}` || f.TS == 0 {
			t.Errorf("fact %+v", f)
		}
		if page, err := e.Facts(e.ctx(), id, 3, 10); err != nil || len(page) != 0 {
			t.Errorf("beyond the last: %+v (%v)", page, err)
		}
		counts, err := e.FactCounts(e.ctx(), []conversation.ID{id, other, conversation.NewID()})
		if err != nil || len(counts) != 2 || counts[id] != 3 || counts[other] != 1 {
			t.Errorf("counts %v (%v)", counts, err)
		}
		if counts, err := e.FactCounts(e.ctx(), nil); err != nil || len(counts) != 0 {
			t.Errorf("counts of nothing %v (%v)", counts, err)
		}
	})
}

// TestIncarnations: nodes meet a new Redis at the same moment.
func TestIncarnations(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		for round := range 3 {
			got := make([]int64, 20)
			errs := parallel(20, func(i int) error { // ten identities, each seen by two nodes
				var err error
				got[i], err = e.Incarnation(e.ctx(), fmt.Sprint("redis-", round, "-", i/2))
				return err
			})
			if won(t, errs, nil) != 20 {
				t.Fatalf("errors %v", errs)
			}
			seen := map[int64]int{}
			for i, n := range got {
				if n != got[i^1] {
					t.Errorf("one identity has the numbers %d and %d", n, got[i^1])
				}
				if n <= int64(round*10) {
					t.Errorf("number %d is not above the older ones", n)
				}
				seen[n]++
			}
			if len(seen) != 10 {
				t.Errorf("%d numbers for 10 identities", len(seen))
			}
		}
		if n, err := e.Incarnation(e.ctx(), "redis-0-0"); err != nil || n > 10 {
			t.Errorf("an old identity has %d now (%v)", n, err)
		}
	})
}

func TestListPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		var made []conversation.ID
		for range 5 {
			made = append(made, e.chat(""))
		}
		slices.Reverse(made)
		if _, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: owner, Kind: conversation.KindScenario, ClientID: "s"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: stranger, Kind: conversation.KindChat, ClientID: "s"}); err != nil {
			t.Fatal(err)
		}
		var got []conversation.ID
		before := ""
		for {
			page, err := e.List(e.ctx(), owner, conversation.KindChat, before, 2)
			if err != nil || len(page) > 2 {
				t.Fatalf("page %+v (%v)", page, err)
			}
			if len(page) == 0 {
				break
			}
			for _, h := range page {
				got = append(got, h.ID)
				if h.Owner != owner || h.Title != "talk" || h.State != conversation.StateActive || h.CreatedAt == 0 {
					t.Errorf("header %+v", h)
				}
			}
			before = string(page[len(page)-1].ID)
		}
		if !slices.Equal(got, made) {
			t.Errorf("got %v, want %v", got, made)
		}
		if page, err := e.List(e.ctx(), "nobody", conversation.KindChat, "", 10); err != nil || len(page) != 0 {
			t.Errorf("nobody has %+v (%v)", page, err)
		}
	})
}

func TestForeignAndErasedReadAsUnknown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		id := e.chat("")
		e.accept(id, "a")
		_, err := e.RunState(e.ctx(), stranger, id, 1)
		is(t, "foreign run", err, conversation.ErrNotFound)
		_, err = e.RunState(e.ctx(), owner, id, 2)
		is(t, "unknown run", err, conversation.ErrNotFound)
		_, err = e.Load(e.ctx(), conversation.NewID())
		is(t, "unknown conversation", err, conversation.ErrNotFound)
		e.sql("UPDATE conversations SET deleted_at = 1 WHERE id = ?", id)
		_, err = e.Load(e.ctx(), id)
		is(t, "erased conversation", err, conversation.ErrNotFound)
		_, err = e.RunState(e.ctx(), owner, id, 1)
		is(t, "run of an erased conversation", err, conversation.ErrNotFound)
		_, _, err = e.Accept(e.ctx(), conversation.SendInput{Conversation: id, Learner: owner, ClientID: "b", Text: "b"}, 4, "", nil)
		is(t, "message to an erased conversation", err, conversation.ErrNotFound)
		_, _, err = e.NameLog(e.ctx(), id, 0, 0)
		is(t, "log of an erased conversation", err, conversation.ErrNotFound)
		if page, err := e.List(e.ctx(), owner, conversation.KindChat, "", 10); err != nil || len(page) != 0 {
			t.Errorf("an erased conversation is listed: %+v (%v)", page, err)
		}
	})
}

func TestOverview(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		idle := e.chat("Hello.")
		waiting := e.chat("")
		e.accept(waiting, "a")
		writing := e.chat("")
		e.accept(writing, "a")
		e.accept(writing, "b")
		e.claim(writing, "n1", "n1")
		rec, _, err := e.Create(e.ctx(), conversation.CreateInput{Owner: stranger, Kind: conversation.KindScenario, ClientID: "s", Run: true})
		is(t, "create", err, nil)
		ended := rec.Header.ID
		if _, err := e.Finish(e.ctx(), conversation.Finishing{ID: ended, Run: 1, State: conversation.RunStopped}, nil); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name string
			f    conversation.OverviewFilter
			want []conversation.ID
		}{
			{"all", conversation.OverviewFilter{}, []conversation.ID{ended, writing, waiting, idle}},
			{"limit", conversation.OverviewFilter{Limit: 2}, []conversation.ID{ended, writing}},
			{"before", conversation.OverviewFilter{Limit: 2, Before: string(writing)}, []conversation.ID{waiting, idle}},
			{"writing", conversation.OverviewFilter{State: "writing"}, []conversation.ID{writing}},
			{"waiting", conversation.OverviewFilter{State: "waiting"}, []conversation.ID{waiting}},
			{"idle", conversation.OverviewFilter{State: "idle"}, []conversation.ID{idle}},
			{"ended", conversation.OverviewFilter{State: "ended"}, []conversation.ID{ended}},
			{"kind", conversation.OverviewFilter{Kind: conversation.KindScenario}, []conversation.ID{ended}},
			{"owner", conversation.OverviewFilter{Owner: owner}, []conversation.ID{writing, waiting, idle}},
			{"node", conversation.OverviewFilter{Node: "n1"}, []conversation.ID{writing}},
			{"both", conversation.OverviewFilter{Node: "n1", State: "waiting"}, nil},
		} {
			list, err := e.Overview(e.ctx(), tc.f)
			var got []conversation.ID
			for _, o := range list {
				got = append(got, o.ID)
				if o.Age < 0 || o.Age > 3600 {
					t.Errorf("%s: age %v", tc.name, o.Age)
				}
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%s: got %v (%v), want %v", tc.name, got, err, tc.want)
			}
		}
		list, _ := e.Overview(e.ctx(), conversation.OverviewFilter{Node: "n1"})
		if o := list[0]; o.Run != 1 || o.Attempt != 1 || o.Fence != 1 || o.Turns != 2 || o.Owner != owner || o.Kind != conversation.KindChat {
			t.Errorf("overview %+v", o)
		}
	})
}
