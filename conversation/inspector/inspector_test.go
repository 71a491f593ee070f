package inspector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/inspector"
	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sources are everything the inspector asks. hang names those that do not
// answer: "…!" does not even heed its context.
type sources struct {
	id       conversation.ID
	rec      conversation.Record
	recErr   error
	tree     conversation.Tree
	treeErr  error
	act      conversation.Active
	actErr   error
	holder   *conversation.LockHolder
	lockErr  error
	members  []conversation.Member
	list     []conversation.Overview
	local    []conversation.RunView
	stored   []inspector.Viewer
	mine     []inspector.Viewer
	asked    conversation.OverviewFilter
	hang     string
	released chan struct{}
}

func (s *sources) wait(ctx context.Context, name string) error {
	if strings.Contains(s.hang, name+"!") {
		<-s.released
	}
	if strings.Contains(s.hang, name) {
		<-ctx.Done()
		return fmt.Errorf("dial user:password@host: %w", ctx.Err())
	}
	return nil
}

func (s *sources) Load(ctx context.Context, _ conversation.ID) (conversation.Record, error) {
	return s.rec, errors.Join(s.wait(ctx, "sql"), s.recErr)
}

func (s *sources) Members(ctx context.Context) ([]conversation.Member, error) {
	return s.members, s.wait(ctx, "nodes")
}

func (s *sources) Overview(ctx context.Context, f conversation.OverviewFilter) ([]conversation.Overview, error) {
	if s.hang == "" { // one that hangs may outlive the question
		s.asked = f
	}
	return s.list, errors.Join(s.wait(ctx, "sql"), s.recErr)
}

func (s *sources) Tree(ctx context.Context, _ conversation.ID, limit int) (conversation.Tree, error) {
	tree := s.tree
	if len(tree.Runs) > limit {
		tree.Runs, tree.More = tree.Runs[:limit], true
	}
	return tree, errors.Join(s.wait(ctx, "sql"), s.treeErr)
}

type logSide struct{ *sources }

func (s logSide) Active(ctx context.Context, _ conversation.ID) (conversation.Active, error) {
	return s.act, errors.Join(s.wait(ctx, "redis"), s.actErr)
}

func (s logSide) Incarnation(ctx context.Context, _ conversation.ID) (int64, error) {
	return 7, s.wait(ctx, "redis")
}

func (s *sources) Holder(ctx context.Context, _ conversation.ID) (*conversation.LockHolder, error) {
	return s.holder, errors.Join(s.wait(ctx, "lock"), s.lockErr)
}

type localSide struct{ *sources }

func (s localSide) Active() []conversation.RunView { return s.local }

type viewerSide struct{ *sources }

func (s viewerSide) Stored(ctx context.Context, _ conversation.ID) ([]inspector.Viewer, error) {
	return s.stored, s.wait(ctx, "viewers")
}

func (s viewerSide) Local(conversation.ID) []inspector.Viewer { return s.mine }

func (s *sources) inspector() *inspector.Inspector {
	return &inspector.Inspector{Store: s, Log: logSide{s}, Locks: s, Local: localSide{s}, Viewers: viewerSide{s}, Self: func() string { return "n1" }}
}

func (s *sources) get(t *testing.T) inspector.Report {
	t.Helper()
	got, err := s.inspector().Get(t.Context(), string(s.id))
	if err != nil {
		t.Fatal(err)
	}
	return got.(inspector.Report)
}

const secret = "what the learner said"

// writing is a conversation in good order: n2 writes run 2, all agree.
func writing() *sources {
	id := conversation.NewID()
	ep := conversation.Epoch{Counter: 3, Nonce: "k9"}
	h := conversation.Header{ID: id, Kind: conversation.KindChat, Owner: "learner-1", Title: secret, State: conversation.StateActive, Meta: json.RawMessage(`{"x":"` + secret + `"}`)}
	turns := []conversation.Turn{{N: 1, Text: secret}}
	return &sources{id: id, released: make(chan struct{}),
		rec: conversation.Record{Header: h, Fence: 6, Log: ep, Facts: 2, Turns: turns, Running: &conversation.RunRow{
			Run: conversation.Run{Conversation: id, No: 2, Purpose: "partner", Attempt: 1, Correlation: "req-1"}, State: conversation.RunRunning,
			Fence: 6, Owner: "n2", Text: secret, Updated: time.Now().UnixMicro()}},
		tree: conversation.Tree{Head: conversation.Head{Run: 2, Turn: 1}, Branches: 2, Runs: []conversation.TreeRun{
			{Run: 2, Parent: 1, ParentID: "m1", Attempt: 1, State: conversation.RunRunning, Tip: true},
			{Run: 1, Parent: 1, ParentID: "m1", Attempt: 1, State: conversation.RunCompleted, Tip: true}}},
		act: conversation.Active{Epoch: ep, Fence: 6, Top: 9, Low: 1, Facts: 2, OpenLen: 21, StopAt: -1,
			State: conversation.State{Header: h, Turns: turns, Head: conversation.Head{Run: 2, Turn: 1}, Open: &conversation.OpenReply{Run: 2, Attempt: 1, Base: 1, Text: secret}}},
		holder: &conversation.LockHolder{LockOwner: conversation.LockOwner{Node: "n2", Run: 2, Since: time.Now().UnixMilli()}, TTL: 2 * time.Second},
		members: []conversation.Member{{Node: conversation.Node{ID: "n1"}, State: "active"}, {Node: conversation.Node{ID: "n2", Instance: "i2", Addr: "a2", Version: "v"}, State: "active", AgeMicros: 200_000},
			{Node: conversation.Node{ID: "n3"}, State: "dead", AgeMicros: 100_000}},
	}
}

func names(r inspector.Report) []string {
	out := []string{}
	for _, a := range r.Anomalies {
		out = append(out, a.Name)
	}
	return out
}

func TestReportInGoodOrder(t *testing.T) {
	t.Parallel()
	s := writing()
	stop := int64(9)
	s.act.StopAt = stop
	r := s.get(t)
	if len(r.Anomalies) != 0 || len(r.Unknown) != 0 || r.State != "writing" || r.Kind != conversation.KindChat || r.Learner != "learner-1" || r.Turns != 1 || r.Node != "n1" {
		t.Errorf("report %+v", r)
	}
	if q := r.SQL; q == nil || q.Fence != 6 || q.Facts != 2 || q.LogEpoch != "3.k9" || q.Run == nil || q.Run.Node != "n2" || q.Run.Correlation != "req-1" || q.Run.Age > 60 {
		t.Errorf("sql %+v", r.SQL)
	}
	want := &inspector.LogReport{Incarnation: 7, Epoch: "3.k9", Fence: 6, First: 1, Last: 9, Cursor: "3.k9.9", Facts: 2, Head: conversation.Head{Run: 2, Turn: 1}, OpenRun: 2, Attempt: 1, Base: 1, TextLen: 21, StopAt: &stop}
	if !reflect.DeepEqual(r.Log, want) {
		t.Errorf("log %+v", r.Log)
	}
	if r.Owner == nil || !r.Owner.Alive || r.Owner.Addr != "a2" || r.Lock == nil || r.Lock.TTL != 2 {
		t.Errorf("owner %+v, lock %+v", r.Owner, r.Lock)
	}
	if r.Tree == nil || !reflect.DeepEqual(*r.Tree, s.tree) {
		t.Errorf("tree %+v", r.Tree)
	}
	b, err := json.Marshal(r)
	if err != nil || strings.Contains(string(b), secret) {
		t.Errorf("the report carries text: %s (%v)", b, err)
	}
}

func TestAnomalies(t *testing.T) {
	t.Parallel()
	idle := func(s *sources) { s.rec.Running, s.act.State.Open, s.holder = nil, nil, nil }
	for _, tc := range []struct {
		name   string
		change func(s *sources)
		want   []string
		state  string
		next   string
	}{
		{"in order", func(*sources) {}, nil, "writing", "owner writes on"},
		{"idle", idle, nil, "idle", "waits for its learner"},
		{"waiting", func(s *sources) { idle(s); s.rec.Waiting = 1 }, nil, "waiting", "claims the waiting run"},
		{"ended", func(s *sources) { idle(s); s.rec.Header.State = conversation.StateEnded }, nil, "ended", "has ended"},
		{"no log yet", func(s *sources) { idle(s); s.actErr = conversation.ErrLogMissing }, nil, "idle", "waits for its learner"},
		{"stale owner", func(s *sources) { s.members[1].AgeMicros = 4e6 }, []string{"owner_dead"}, "writing", "another node claims"},
		{"buried owner", func(s *sources) { s.members[1].State = "dead" }, []string{"owner_dead"}, "writing", "another node claims"},
		{"forgotten owner", func(s *sources) { s.members = s.members[:1] }, []string{"owner_dead"}, "writing", "another node claims"},
		{"draining owner", func(s *sources) { s.members[1].State = "draining" }, nil, "writing", "owner writes on"},
		{"alone with its database", func(s *sources) {
			s.rec.Running.Owner, s.holder.Node, s.members[0].AgeMicros = "n1", "n1", 1e12
		}, nil, "writing", "owner writes on"},
		{"no lock", func(s *sources) { s.holder = nil }, []string{"running_without_lock"}, "writing", ""},
		{"another's lock", func(s *sources) { s.holder.Node = "n1" }, []string{"lock_of_another_node"}, "writing", ""},
		{"orphan lock", func(s *sources) {
			h := *s.holder
			idle(s)
			h.Since -= 10_000
			s.holder = &h
		}, []string{"orphan_lock"}, "idle", ""},
		{"a lock just released", func(s *sources) { h := s.holder; idle(s); s.holder = h }, nil, "idle", ""},
		{"log lost", func(s *sources) { s.actErr = conversation.ErrLogMissing }, []string{"log_missing_while_writing"}, "writing", "makes a new log"},
		{"another log", func(s *sources) { s.act.Epoch.Nonce = "other" }, []string{"log_not_named_by_sql"}, "writing", "new log from SQL"},
		{"facts behind", func(s *sources) { s.rec.Facts = 5 }, []string{"facts_behind"}, "writing", "brings the missing facts"},
		{"fence ahead", func(s *sources) { s.act.Fence = 7 }, []string{"fence_ahead_of_sql"}, "writing", ""},
		{"open text without a run", func(s *sources) { s.rec.Running, s.holder = nil, nil }, []string{"open_text_without_run"}, "idle", ""},
		{"the end not yet in the log", func(s *sources) { s.rec.Running, s.holder, s.rec.Facts = nil, nil, 3 }, []string{"facts_behind"}, "idle", ""},
		{"takeover not begun", func(s *sources) { s.rec.Fence, s.rec.Running.Fence = 7, 7 }, []string{"takeover_not_begun"}, "writing", ""},
		{"stuck", func(s *sources) { s.rec.Running.Updated -= 121e6 }, []string{"stuck_run"}, "writing", ""},
		{"lagging viewer", func(s *sources) {
			s.stored = []inspector.Viewer{{Conn: "c", Node: "n2", Lag: 501}, {Conn: "d", Node: "n2", Lag: 500}}
		}, []string{"viewer_lags"}, "writing", ""},
		{"viewer of a dead node", func(s *sources) { s.stored = []inspector.Viewer{{Conn: "c", Node: "n3"}} }, []string{"viewer_of_dead_node"}, "writing", ""},
		{"viewer of an unknown node", func(s *sources) { s.stored = []inspector.Viewer{{Conn: "c", Node: "zz"}} }, []string{"viewer_of_dead_node"}, "writing", ""},
		{"several", func(s *sources) { s.members[1].State, s.holder, s.rec.Facts = "dead", nil, 3 }, []string{"owner_dead", "running_without_lock", "facts_behind"}, "writing", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := writing()
			tc.change(s)
			r := s.get(t)
			if !slices.Equal(names(r), append([]string{}, tc.want...)) || r.State != tc.state || !strings.Contains(r.Next, tc.next) || r.Next == "" {
				t.Errorf("got %v in state %s, next %q; want %v in %s, next …%s…", r.Anomalies, r.State, r.Next, tc.want, tc.state, tc.next)
			}
		})
	}
}

func TestViewers(t *testing.T) {
	t.Parallel()
	s := writing()
	s.mine = []inspector.Viewer{{Conn: "a", Node: "n1", Cursor: "fresh"}}
	s.stored = []inspector.Viewer{{Conn: "a", Node: "n1", Cursor: "old"}, {Conn: "gone", Node: "n1"}, {Conn: "b", Node: "n2"}}
	r := s.get(t)
	if len(r.Viewers) != 2 || r.Viewers[0].Cursor != "fresh" || !r.Viewers[0].NodeAlive || r.Viewers[1].Conn != "b" || !r.Viewers[1].NodeAlive {
		t.Errorf("viewers %+v", r.Viewers)
	}
}

// TestSourcesThatHang: the answer comes in time with what is known, names what
// is not, and accuses nobody for want of an answer.
func TestSourcesThatHang(t *testing.T) {
	t.Parallel()
	for _, hang := range []string{"redis", "lock", "nodes", "viewers", "sql", "redis lock viewers", "sql nodes", "sql redis lock nodes viewers", "redis!", "sql! nodes! redis! lock! viewers!"} {
		t.Run(hang, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := writing()
				s.hang = hang
				s.stored = []inspector.Viewer{{Conn: "b", Node: "n2"}}
				s.local = []conversation.RunView{{ID: s.id, Run: 2, Attempt: 1, Fence: 6, Since: time.Now()}}
				begun := time.Now()
				r := s.get(t)
				if d := time.Since(begun); d != 400*time.Millisecond {
					t.Errorf("it took %v", d)
				}
				var unknown, want []string
				for _, u := range r.Unknown {
					unknown = append(unknown, u.Source)
					if u.Error != "no answer in time" {
						t.Errorf("%s: %q", u.Source, u.Error)
					}
				}
				for _, name := range []string{"sql", "redis", "lock", "nodes", "viewers"} {
					if strings.Contains(hang, name) {
						want = append(want, name)
					}
				}
				if !slices.Equal(unknown, want) || len(r.Anomalies) != 0 {
					t.Errorf("unknown %v, want %v; anomalies %v", unknown, want, r.Anomalies)
				}
				// This node knows what it writes itself.
				if r.State != "writing" || r.Owner == nil || r.Next == "" {
					t.Errorf("state %s, owner %+v", r.State, r.Owner)
				}
				if strings.Contains(hang, "sql") != (r.SQL == nil) || (r.SQL == nil) != (r.Tree == nil) || strings.Contains(hang, "redis") != (r.Log == nil) || strings.Contains(hang, "lock") != (r.Lock == nil) {
					t.Errorf("report %+v", r)
				}
				if r.Log != nil && (r.Learner != "learner-1" || r.Turns != 1) {
					t.Errorf("without SQL the log tells: %+v", r)
				}
				close(s.released)
				synctest.Wait()
			})
		})
	}
}

// TestTreeAlone: a tree that cannot be read is named, and costs nothing else.
func TestTreeAlone(t *testing.T) {
	t.Parallel()
	s := writing()
	s.treeErr = errors.New("pq: out of memory for bob")
	r := s.get(t)
	if want := []inspector.Source{{Source: "tree", Error: "failed"}}; !slices.Equal(r.Unknown, want) || r.Tree != nil || r.SQL == nil || r.State != "writing" {
		t.Errorf("unknown %+v, tree %+v, sql %+v", r.Unknown, r.Tree, r.SQL)
	}
	s = writing()
	s.tree.Runs = make([]conversation.TreeRun, 1000)
	if r := s.get(t); r.Tree == nil || len(r.Tree.Runs) > 50 || !r.Tree.More {
		t.Errorf("a long talk is shown whole: %d runs", len(r.Tree.Runs))
	}
}

func TestReasonsHideDriverTexts(t *testing.T) {
	t.Parallel()
	s := writing()
	s.recErr = errors.New("pq: password authentication failed for user bob")
	s.actErr = fmt.Errorf("%w: dial tcp 10.0.0.1:6379", conversation.ErrLogDown)
	s.lockErr = fmt.Errorf("%w: dial tcp 10.0.0.1:6379", conversation.ErrLogDown)
	r := s.get(t)
	want := []inspector.Source{{Source: "sql", Error: "failed"}, {Source: "redis", Error: "redis does not answer"}, {Source: "lock", Error: "redis does not answer"}}
	if !slices.Equal(r.Unknown, want) {
		t.Errorf("unknown %+v", r.Unknown)
	}
}

func TestUnknownConversation(t *testing.T) {
	t.Parallel()
	s := writing()
	s.recErr = conversation.ErrNotFound
	for _, id := range []string{string(s.id), "", "x", "../../etc"} {
		if _, err := s.inspector().Get(t.Context(), id); !errors.Is(err, conversation.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func list(t *testing.T, s *sources, query string) (inspector.Listing, error) {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.inspector().List(t.Context(), q)
	l, _ := got.(inspector.Listing)
	return l, err
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]conversation.OverviewFilter{
		"":                         {Limit: 50},
		"limit=500":                {Limit: 500},
		"state=writing&node=n1":    {State: "writing", Node: "n1", Limit: 50},
		"kind=chat&learner=l&":     {Kind: "chat", Owner: "l", Limit: 50},
		"before=x&limit=1":         {Before: "x", Limit: 1},
		"state=&limit=":            {Limit: 50},
		"learner=%27%3B+DROP+TABL": {Owner: "'; DROP TABL", Limit: 50},
	} {
		s := writing()
		if _, err := list(t, s, query); err != nil || s.asked != want {
			t.Errorf("%q asks %+v (%v), want %+v", query, s.asked, err, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=-1", "limit=x", "limit=1e2", "state=sleeping", "state=WRITING", "nod=n1", "text=hello", "owner=x"} {
		if _, err := list(t, writing(), query); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%q: %v", query, err)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s := writing()
	s.list = []conversation.Overview{{ID: "c"}, {ID: "b"}}
	l, err := list(t, s, "limit=2")
	if err != nil || l.Next != "b" || len(l.Conversations) != 2 || len(l.Nodes) != 3 || l.Node != "n1" || len(l.Unknown) != 0 {
		t.Errorf("page %+v (%v)", l, err)
	}
	if l, err = list(t, s, "limit=3"); err != nil || l.Next != "" {
		t.Errorf("last page %+v (%v)", l, err)
	}
	s.list = nil
	l, _ = list(t, s, "")
	if b, _ := json.Marshal(l); !strings.Contains(string(b), `"conversations":[]`) {
		t.Errorf("empty list %s", b)
	}
}

func TestListWhileSQLHangs(t *testing.T) {
	t.Parallel()
	for _, hang := range []string{"sql nodes", "sql! nodes!", "sql"} {
		t.Run(hang, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := writing()
				s.hang = hang
				for _, id := range []conversation.ID{"a", "c", "b"} {
					s.local = append(s.local, conversation.RunView{ID: id, Run: 2, Attempt: 1, Fence: 6, Since: time.Now().Add(-3 * time.Second)})
				}
				for query, want := range map[string]string{
					"": "c b a", "state=writing": "c b a", "node=n1": "c b a", "limit=2": "c b", "before=c": "b a", "before=b&limit=1": "a",
					"state=idle": "", "node=n2": "", "learner=l": "", "kind=chat": "",
				} {
					begun := time.Now()
					l, err := list(t, s, query)
					if err != nil {
						t.Fatal(err)
					}
					var got []string
					for _, o := range l.Conversations {
						got = append(got, string(o.ID))
						if o.State != "writing" || o.Node != "n1" || o.Age < 3 || o.Fence != 6 {
							t.Errorf("entry %+v", o)
						}
					}
					if strings.Join(got, " ") != want {
						t.Errorf("%q lists %v, want %s", query, got, want)
					}
					var unknown []string
					for _, u := range l.Unknown {
						unknown = append(unknown, u.Source)
					}
					wantUnknown := []string{"sql"}
					if strings.Contains(hang, "nodes") {
						wantUnknown = append(wantUnknown, "nodes")
					}
					if !slices.Equal(unknown, wantUnknown) || time.Since(begun) > 400*time.Millisecond {
						t.Errorf("%q: unknown %v after %v", query, unknown, time.Since(begun))
					}
				}
				close(s.released)
				synctest.Wait()
			})
		})
	}
}
