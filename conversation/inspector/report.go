package inspector

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// Report is everything about one conversation. Texts are given as lengths.
type Report struct {
	ID      conversation.ID   `json:"id"`
	Kind    conversation.Kind `json:"kind,omitempty"`
	Learner string            `json:"learner,omitempty"`
	State   string            `json:"state"`
	Turns   int               `json:"turns"`
	SQL     *SQLReport        `json:"sql,omitempty"`
	Log     *LogReport        `json:"log,omitempty"`
	Lock    *LockReport       `json:"lock"`
	Owner   *OwnerReport      `json:"owner"`
	Viewers []Viewer          `json:"viewers"`
	// Anomalies are named; Next says what happens by itself.
	Anomalies []Anomaly `json:"anomalies"`
	Next      string    `json:"next"`
	Unknown   []Source  `json:"unknown,omitempty"`
	// Node answered.
	Node string `json:"node"`
	// Tree is how the newest treeRuns runs hang together.
	Tree *conversation.Tree `json:"tree,omitempty"`
}

// SQLReport is what the authority says.
type SQLReport struct {
	Fence    int64      `json:"fence"`
	Facts    int64      `json:"facts"`
	LogEpoch string     `json:"log_epoch"`
	Waiting  int64      `json:"waiting_runs"`
	Run      *RunReport `json:"run"`
}

// RunReport is the run being written.
type RunReport struct {
	Run     int64   `json:"run"`
	Purpose string  `json:"purpose"`
	Attempt int64   `json:"attempt"`
	Fence   int64   `json:"fence"`
	Node    string  `json:"node"`
	Age     float64 `json:"age_s"`
	// Correlation is the id of the request that caused the run.
	Correlation string `json:"correlation_id"`
}

// LogReport is what Redis says.
type LogReport struct {
	Incarnation int64  `json:"incarnation"`
	Epoch       string `json:"epoch"`
	Fence       int64  `json:"fence"`
	First       int64  `json:"first_seq"`
	Last        int64  `json:"last_seq"`
	Cursor      string `json:"cursor"`
	Facts       int64  `json:"facts"`
	// Head is the tip of the branch that readers of the log see shown.
	Head    conversation.Head `json:"head,omitzero"`
	OpenRun int64             `json:"open_run,omitempty"`
	Attempt int64             `json:"attempt,omitempty"`
	Base    int64             `json:"base,omitempty"`
	TextLen int64             `json:"text_len,omitempty"`
	StopAt  *int64            `json:"stop_at,omitempty"`
}

// LockReport is the conversation's lock.
type LockReport struct {
	Node string  `json:"node"`
	Run  int64   `json:"run"`
	Age  float64 `json:"age_s"`
	TTL  float64 `json:"ttl_s"`
}

// OwnerReport is the node that SQL says is writing.
type OwnerReport struct {
	NodeReport
	Alive bool `json:"alive"`
}

// Anomaly is something that should not last; Name is stable.
type Anomaly struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

// treeRuns is how many runs a report shows: what somebody reads.
const treeRuns = 20

// Get reports on one conversation. It is an error only when no source knows it.
func (in *Inspector) Get(ctx context.Context, id string) (any, error) {
	cid, err := conversation.ParseID(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, in.timeout())
	defer cancel()
	var (
		wg                                                sync.WaitGroup
		rec                                               conversation.Record
		act                                               conversation.Active
		holder                                            *conversation.LockHolder
		members                                           []conversation.Member
		stored                                            []Viewer
		inc                                               int64
		tree                                              conversation.Tree
		recErr, treeErr, actErr, lockErr, memErr, viewErr error
	)
	wg.Go(func() {
		rec, recErr = bounded(ctx, func() (conversation.Record, error) { return in.Store.Load(ctx, cid) })
	})
	wg.Go(func() {
		tree, treeErr = bounded(ctx, func() (conversation.Tree, error) { return in.Store.Tree(ctx, cid, treeRuns) })
	})
	wg.Go(func() {
		act, actErr = bounded(ctx, func() (conversation.Active, error) { return in.Log.Active(ctx, cid) })
	})
	wg.Go(func() { inc, _ = bounded(ctx, func() (int64, error) { return in.Log.Incarnation(ctx, cid) }) })
	wg.Go(func() {
		holder, lockErr = bounded(ctx, func() (*conversation.LockHolder, error) { return in.Locks.Holder(ctx, cid) })
	})
	wg.Go(func() {
		members, memErr = bounded(ctx, func() ([]conversation.Member, error) { return in.Store.Members(ctx) })
	})
	wg.Go(func() {
		stored, viewErr = bounded(ctx, func() ([]Viewer, error) { return in.Viewers.Stored(ctx, cid) })
	})
	wg.Wait()
	if errors.Is(recErr, conversation.ErrNotFound) {
		return nil, recErr
	}

	r := Report{ID: cid, State: "unknown", Node: in.Self(), Viewers: []Viewer{}, Anomalies: []Anomaly{}}
	unknown := func(source string, err error) {
		if err != nil {
			r.Unknown = append(r.Unknown, Source{source, reason(err)})
		}
	}
	unknown("sql", recErr)
	if treeErr == nil {
		r.Tree = &tree
	} else if recErr == nil { // else it is said already
		unknown("tree", treeErr)
	}
	if !errors.Is(actErr, conversation.ErrLogMissing) {
		unknown("redis", actErr)
	}
	unknown("lock", lockErr)
	unknown("nodes", memErr)
	unknown("viewers", viewErr)
	byID := map[string]conversation.Member{}
	for _, m := range members {
		byID[m.ID] = m
	}
	if recErr == nil {
		in.fillSQL(&r, rec, byID)
	} else {
		in.fillLocal(&r, cid)
	}
	if actErr == nil {
		fillLog(&r, act, inc)
	}
	if holder != nil {
		r.Lock = &LockReport{Node: holder.Node, Run: holder.Run, Age: ageMillis(holder.Since), TTL: holder.TTL.Seconds()}
	}
	r.Viewers = in.viewers(cid, stored, byID, memErr == nil)
	judge(&r, rec, recErr == nil, act, actErr, lockErr == nil, memErr == nil)
	return r, nil
}

func ageMillis(ms int64) float64 { return float64(time.Now().UnixMilli()-ms) / 1e3 }

func (in *Inspector) fillSQL(r *Report, rec conversation.Record, byID map[string]conversation.Member) {
	r.Kind, r.Learner, r.Turns = rec.Header.Kind, string(rec.Header.Owner), len(rec.Turns)
	r.State = "idle"
	if rec.Header.State == conversation.StateEnded {
		r.State = "ended"
	}
	r.SQL = &SQLReport{Fence: rec.Fence, Facts: rec.Facts, LogEpoch: rec.Log.String(), Waiting: rec.Waiting}
	if rec.Waiting > 0 {
		r.State = "waiting"
	}
	run := rec.Running
	if run == nil {
		return
	}
	r.State = "writing"
	r.SQL.Run = &RunReport{Run: run.No, Purpose: run.Purpose, Attempt: run.Attempt, Fence: run.Fence, Node: run.Owner,
		Age: ageMillis(run.Updated / 1000), Correlation: run.Correlation}
	m, ok := byID[run.Owner]
	if !ok {
		m.ID, m.State = run.Owner, "unknown"
	}
	r.Owner = &OwnerReport{NodeReport: nodeReport(m), Alive: in.alive(m)}
}

// alive is a guess for people: the sweeper has its own, stricter rules. A node
// that is alone with its database does not beat.
func (in *Inspector) alive(m conversation.Member) bool {
	stale := in.Stale
	if stale <= 0 {
		stale = 3 * time.Second
	}
	return m.ID == in.Self() || (m.State == "active" || m.State == "draining") && m.AgeMicros < stale.Microseconds()
}

// fillLocal says what this node knows while SQL hangs.
func (in *Inspector) fillLocal(r *Report, id conversation.ID) {
	for _, a := range in.Local.Active() {
		if a.ID == id {
			r.State = "writing"
			r.Owner = &OwnerReport{NodeReport: NodeReport{ID: in.Self(), State: "active"}, Alive: true}
		}
	}
}

func fillLog(r *Report, a conversation.Active, inc int64) {
	l := &LogReport{Incarnation: inc, Epoch: a.Epoch.String(), Fence: a.Fence, First: a.Low, Last: a.Top,
		Cursor: conversation.Cursor{Epoch: a.Epoch, Seq: a.Top}.String(), Facts: a.Facts, Head: a.State.Head}
	if o := a.State.Open; o != nil {
		l.OpenRun, l.Attempt, l.Base, l.TextLen = o.Run, o.Attempt, o.Base, a.OpenLen
	}
	if a.StopAt >= 0 {
		l.StopAt = &a.StopAt
	}
	r.Log = l
	if r.SQL == nil {
		r.Kind, r.Learner, r.Turns = a.State.Header.Kind, string(a.State.Header.Owner), len(a.State.Turns)
	}
}

// viewers joins the stored list with this node's own, which is fresher.
func (in *Inspector) viewers(id conversation.ID, stored []Viewer, byID map[string]conversation.Member, known bool) []Viewer {
	out := []Viewer{}
	seen := map[string]bool{}
	for _, v := range in.Viewers.Local(id) {
		v.NodeAlive = true
		seen[v.Conn] = true
		out = append(out, v)
	}
	for _, v := range stored {
		if seen[v.Conn] || v.Node == in.Self() {
			continue
		}
		m, ok := byID[v.Node]
		v.NodeAlive = !known || ok && in.alive(m)
		out = append(out, v)
	}
	return out
}
