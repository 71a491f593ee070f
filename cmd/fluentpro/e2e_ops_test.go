package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// report is the part of the inspector's answer that the tests read.
type report struct {
	ID    string
	State string
	Next  string
	Node  string
	SQL   *struct {
		Fence    int64
		LogEpoch string `json:"log_epoch"`
		Run      *struct {
			Run, Attempt, Fence int64
			Node                string
		}
	}
	Log *struct {
		Epoch, Cursor string
		Fence         int64
		First         int64 `json:"first_seq"`
		Last          int64 `json:"last_seq"`
		OpenRun       int64 `json:"open_run"`
		TextLen       int64 `json:"text_len"`
		Head          struct{ Run, Turn int64 }
	}
	Tree *struct {
		Head     struct{ Run, Turn int64 }
		Branches int64
		Runs     []struct {
			Run, Parent, After, Attempt int64
			ParentID                    string `json:"parent_id"`
			State                       string
			Tip                         bool
		}
	}
	Lock *struct {
		Node string
		Run  int64
		Age  float64 `json:"age_s"`
		TTL  float64 `json:"ttl_s"`
	}
	Owner *struct {
		ID, State string
		Alive     bool
		BeatAge   float64 `json:"heartbeat_age_s"`
	}
	Viewers []struct {
		Connection, Node, Transport, Cursor, Acked string
		NodeAlive                                  bool  `json:"node_alive"`
		Lag                                        int64 `json:"lag_events"`
	}
	Anomalies []struct{ Name, Detail string }
	Unknown   []struct{ Source, Error string }
}

func (r *report) unknown(source string) bool {
	for _, u := range r.Unknown {
		if u.Source == source {
			return true
		}
	}
	return false
}

func (r *report) anomaly(name string) bool {
	for _, a := range r.Anomalies {
		if a.Name == name {
			return true
		}
	}
	return false
}

// inspect asks a node's inspector about a conversation.
func inspect(web *http.Client, p *process, conversation string) (*report, error) {
	var r report
	if p.gone() {
		return &r, errors.New(p.name + " is gone")
	}
	return &r, opsGet(web, p, "/ops/v1/state/"+conversation, &r)
}

// opsGet reads JSON from the operators' listener; it must answer quickly,
// whatever else does not.
func opsGet(web *http.Client, p *process, path string, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ops+path, nil)
	if err != nil {
		return err
	}
	res, err := web.Do(req)
	if err != nil {
		return err
	}
	defer drainBody(res)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("inspector of %s answers %d", p.name, res.StatusCode)
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// The inspector during a takeover: it names the owner that gives no sign of
// life, the lock it holds and the viewers, and then the one who took over.
func TestE2EInspectorDuringATakeover(t *testing.T) {
	t.Parallel()
	// A paused node still takes connections, so only the lease proves it dead;
	// until then operators already see that it is silent.
	c := newCluster(t, "FLUENTPRO_LEASE=6s")
	l, conversation, tag, run, views := c.midReply()
	w := c.writer(l, conversation)
	survivor := c.other(w)
	l.node = survivor.base
	r, err := inspect(l.http, survivor, conversation)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case r.State != "writing" || r.Owner == nil || !r.Owner.Alive || r.SQL == nil || r.SQL.Run == nil || r.Log == nil || r.Lock == nil:
		t.Fatalf("in mid-reply: %+v", r)
	case r.SQL.Fence < 1 || r.Log.Fence != r.SQL.Fence || r.SQL.Run.Run != run || r.Log.OpenRun != run || r.Log.TextLen == 0:
		t.Errorf("fence %d in SQL, %d in the log; run %d in SQL, %d in the log", r.SQL.Fence, r.Log.Fence, r.SQL.Run.Run, r.Log.OpenRun)
	case r.Lock.Node != r.Owner.ID || r.Lock.Run != run || r.Lock.TTL <= 0:
		t.Errorf("the lock is %+v, the owner %s", r.Lock, r.Owner.ID)
	case r.Tree == nil || r.Tree.Head.Run != run || r.Tree.Head != r.Log.Head || r.Tree.Branches != 1 || len(r.Tree.Runs) == 0 || r.Tree.Runs[0].State != "running" || r.Tree.Runs[0].ParentID == "":
		t.Errorf("tree %+v, head %+v in the log", r.Tree, r.Log.Head)
	case r.Log.Epoch != r.SQL.LogEpoch || r.Log.Epoch == "" || !strings.HasPrefix(r.Log.Cursor, r.Log.Epoch):
		t.Errorf("epoch %q in the log, %q in SQL, cursor %q", r.Log.Epoch, r.SQL.LogEpoch, r.Log.Cursor)
	case len(r.Anomalies) != 0 || len(r.Unknown) != 0:
		t.Errorf("anomalies %+v, unknown %+v", r.Anomalies, r.Unknown)
	}
	dead, fence := r.Owner.ID, r.SQL.Fence

	w.signal(syscall.SIGSTOP)
	testenv.Eventually(t, soon, func() error {
		r, err = inspect(l.http, survivor, conversation)
		if err == nil && (r.Owner == nil || r.Owner.Alive) {
			err = errors.New("the owner counts as alive")
		}
		return err
	})
	// The lock ends with the lease at the latest, the same moment at which the
	// owner counts as dead.
	if r.Owner.ID != dead || r.Lock != nil && r.Lock.Node != dead || !r.anomaly("owner_dead") || !strings.Contains(r.Next, "claims the run") {
		t.Errorf("while the owner is silent: owner %+v, lock %+v, anomalies %+v, next %q", r.Owner, r.Lock, r.Anomalies, r.Next)
	}
	testenv.Eventually(t, soon, func() error {
		r, err = inspect(l.http, survivor, conversation)
		if err == nil && (r.Owner == nil || r.Owner.ID == dead || r.Lock == nil || r.Log == nil || r.Log.Fence != fence+1) {
			err = fmt.Errorf("no takeover yet: owner %+v, lock %+v", r.Owner, r.Lock)
		}
		return err
	})
	if r.Owner.ID != r.Node || !r.Owner.Alive || r.Lock.Node != r.Node || r.SQL.Fence != fence+1 || r.SQL.Run.Attempt != 2 {
		t.Errorf("after the takeover: owner %+v, lock %+v, SQL %+v", r.Owner, r.Lock, r.SQL)
	}
	transports := map[string]bool{}
	for _, v := range r.Viewers {
		if v.NodeAlive && v.Node == r.Node && v.Cursor != "" {
			transports[v.Transport] = true
		}
	}
	if !transports["ws"] || !transports["sse"] {
		t.Errorf("viewers %+v", r.Viewers)
	}
	w.kill()
	c.allEnd(l, conversation, tag, run, views, 2)
}

// The inspector answers while Redis hangs and while SQL hangs, with what it
// knows, and says what it does not.
func TestE2EInspectorWhileStoresHang(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u, err := url.Parse(c.sql)
	if err != nil {
		t.Fatal(err)
	}
	pg := testenv.NewProxy(t, u.Host)
	u.Host = pg.Addr
	c.a.kill() // its place is taken by one that reaches SQL through the proxy
	c.a = c.node("a2", "FLUENTPRO_DATABASE_URL="+u.String())
	l, conversation := ready(t, c.a.base)
	v := l.watch(client.OverWS, conversation, c.a.base)
	until(t, v, "the conversation", func(f *client.Fold) bool { return f.Cursor() != "" })
	c.model.slow(2 * pace)
	tag := newTag()
	run := l.say(conversation, tag).Run
	reaches(t, v, run, 100)

	c.redis.Pause()
	r := answersQuickly(t, l, c.a, conversation)
	if !r.unknown("redis") || !r.unknown("lock") || r.unknown("sql") || r.State != "writing" || r.Owner == nil {
		t.Errorf("while Redis hangs: state %s, owner %+v, unknown %+v", r.State, r.Owner, r.Unknown)
	}
	if len(r.Viewers) == 0 {
		t.Error("while Redis hangs the node forgets its own viewers")
	}
	c.redis.Resume()
	// The node asks a Redis that was away again after a pause of its own; only
	// then is SQL the one store that is silent.
	testenv.Eventually(t, soon, func() error {
		r, err := inspect(l.http, c.a, conversation)
		if err == nil && len(r.Unknown) > 0 {
			err = fmt.Errorf("after the hang: unknown %+v", r.Unknown)
		}
		return err
	})

	pg.Stall()
	r = answersQuickly(t, l, c.a, conversation)
	if !r.unknown("sql") || !r.unknown("nodes") || r.unknown("redis") || r.Log == nil || r.Log.TextLen == 0 {
		t.Errorf("while SQL hangs: log %+v, unknown %+v", r.Log, r.Unknown)
	}
	var list struct {
		Node    string
		Unknown []struct{ Source string }
	}
	if err := opsGet(l.http, c.a, "/ops/v1/state", &list); err != nil || len(list.Unknown) == 0 {
		t.Errorf("the list while SQL hangs: %+v, %v", list, err)
	}
	pg.Resume()
	ends(t, "ws", v, run, reply(tag))
	l.answeredOnce(conversation, tag, run)
	testenv.Eventually(t, soon, func() error {
		r, err := inspect(l.http, c.a, conversation)
		if err == nil && (len(r.Unknown) > 0 || r.State != "idle") {
			err = fmt.Errorf("state %s, unknown %+v", r.State, r.Unknown)
		}
		return err
	})
}

// answersQuickly asks the inspector, whose sources have 400 ms each.
func answersQuickly(t *testing.T, l *learner, p *process, conversation string) *report {
	t.Helper()
	begun := time.Now()
	r, err := inspect(l.http, p, conversation)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the inspector took %v", took)
	}
	return r
}
