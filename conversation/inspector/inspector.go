// Package inspector tells an operator, read-only and without a word of
// learner text, what is going on in a conversation: who writes, under which
// lock and fence, where the log stands, how its branches hang together, who
// watches and how far behind, what looks wrong, and what the system will do about it by itself. It asks every
// source at once with a deadline each, so that it answers with what it knows
// while Redis or SQL hangs.
package inspector

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// Store is what the inspector reads of the authority.
type Store interface {
	Load(ctx context.Context, id conversation.ID) (conversation.Record, error)
	Members(ctx context.Context) ([]conversation.Member, error)
	Overview(ctx context.Context, f conversation.OverviewFilter) ([]conversation.Overview, error)
	Tree(ctx context.Context, id conversation.ID, limit int) (conversation.Tree, error)
}

// Log is what it reads of the live side.
type Log interface {
	Active(ctx context.Context, id conversation.ID) (conversation.Active, error)
	Incarnation(ctx context.Context, id conversation.ID) (int64, error)
}

// Locks reads lock holders.
type Locks interface {
	Holder(ctx context.Context, id conversation.ID) (*conversation.LockHolder, error)
}

// Local is what this node does itself, known without asking anybody.
type Local interface {
	Active() []conversation.RunView
}

// Viewer is one attachment of a connection, on any node.
type Viewer struct {
	Conn      string  `json:"connection"`
	Node      string  `json:"node"`
	NodeAlive bool    `json:"node_alive"`
	Session   string  `json:"session,omitempty"`
	Learner   string  `json:"learner"`
	Transport string  `json:"transport"`
	Cursor    string  `json:"cursor"`
	Acked     string  `json:"acked,omitempty"`
	Lag       int64   `json:"lag_events"`
	Age       float64 `json:"age_s"`
}

// Viewers lists who watches: the stored list of all nodes, and this node's own.
type Viewers interface {
	Stored(ctx context.Context, id conversation.ID) ([]Viewer, error)
	Local(id conversation.ID) []Viewer
}

// Inspector answers operators. It is safe for concurrent use.
type Inspector struct {
	Store   Store
	Log     Log
	Locks   Locks
	Local   Local
	Viewers Viewers
	// Self is this node's id.
	Self func() string
	// Stale is the age of a heartbeat after which a node counts as dead [3s].
	Stale time.Duration
	// Timeout of each source [400ms].
	Timeout time.Duration
}

func (in *Inspector) timeout() time.Duration {
	if in.Timeout > 0 {
		return in.Timeout
	}
	return 400 * time.Millisecond
}

// Listing is the answer to List.
type Listing struct {
	Node          string                  `json:"node"`
	Conversations []conversation.Overview `json:"conversations"`
	Next          string                  `json:"next,omitempty"`
	Nodes         []NodeReport            `json:"nodes"`
	// Unknown names the sources that did not answer; what they hold is missing.
	Unknown []Source `json:"unknown,omitempty"`
}

// Source is one that did not answer.
type Source struct {
	Source string `json:"source"`
	Error  string `json:"error"`
}

// NodeReport is a process of the cluster.
type NodeReport struct {
	ID       string  `json:"id"`
	Instance string  `json:"instance"`
	Addr     string  `json:"addr"`
	Version  string  `json:"version"`
	State    string  `json:"state"`
	BeatAge  float64 `json:"heartbeat_age_s"`
}

// List answers with the conversations that the filter selects: state
// (writing, waiting, idle, ended), kind, learner, node, before, limit. While
// SQL hangs it lists what this node is writing.
func (in *Inspector) List(ctx context.Context, filter url.Values) (any, error) {
	f := conversation.OverviewFilter{State: filter.Get("state"), Kind: conversation.Kind(filter.Get("kind")),
		Owner: conversation.LearnerID(filter.Get("learner")), Node: filter.Get("node"), Before: filter.Get("before"), Limit: 50}
	for key := range filter {
		switch key {
		case "state", "kind", "learner", "node", "before", "limit":
		default:
			return nil, fault.Newf(fault.BadRequest, "Unknown filter. Known are state, kind, learner, node, before, limit.")
		}
	}
	switch f.State {
	case "", "writing", "waiting", "idle", "ended":
	default:
		return nil, fault.New(fault.BadRequest, "Unknown state. Known are writing, waiting, idle, ended.")
	}
	if s := filter.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 500 {
			return nil, fault.New(fault.BadRequest, "limit is a number from 1 to 500.")
		}
		f.Limit = n
	}
	out := Listing{Node: in.Self(), Conversations: []conversation.Overview{}, Nodes: []NodeReport{}}
	var wg sync.WaitGroup
	var convErr, nodeErr error
	ctx, cancel := context.WithTimeout(ctx, in.timeout())
	defer cancel()
	var members []conversation.Member
	var list []conversation.Overview
	wg.Go(func() {
		list, convErr = bounded(ctx, func() ([]conversation.Overview, error) { return in.Store.Overview(ctx, f) })
	})
	wg.Go(func() {
		members, nodeErr = bounded(ctx, func() ([]conversation.Member, error) { return in.Store.Members(ctx) })
	})
	wg.Wait()
	if convErr != nil {
		out.Unknown = append(out.Unknown, Source{"sql", reason(convErr)})
		list = in.localList(f)
	}
	if list != nil {
		out.Conversations = list
	}
	if len(list) == f.Limit {
		out.Next = string(list[len(list)-1].ID)
	}
	if nodeErr != nil {
		out.Unknown = append(out.Unknown, Source{"nodes", reason(nodeErr)})
	} else {
		for _, m := range members {
			out.Nodes = append(out.Nodes, nodeReport(m))
		}
	}
	return out, nil
}

// localList is what this node knows without asking: the runs it writes. It
// does not know whose and what kind they are, so a filter for that finds none.
func (in *Inspector) localList(f conversation.OverviewFilter) []conversation.Overview {
	var out []conversation.Overview
	if f.State != "" && f.State != "writing" || f.Node != "" && f.Node != in.Self() || f.Kind != "" || f.Owner != "" {
		return nil
	}
	for _, r := range in.Local.Active() {
		if f.Before != "" && string(r.ID) >= f.Before {
			continue
		}
		out = append(out, conversation.Overview{ID: r.ID, State: "writing", Run: r.Run, Attempt: r.Attempt, Node: in.Self(), Fence: r.Fence, Age: time.Since(r.Since).Seconds()})
	}
	slices.SortFunc(out, func(a, b conversation.Overview) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return out[:min(len(out), f.Limit)]
}

func nodeReport(m conversation.Member) NodeReport {
	return NodeReport{ID: m.ID, Instance: m.Instance, Addr: m.Addr, Version: m.Version, State: m.State, BeatAge: float64(m.AgeMicros) / 1e6}
}

// bounded returns when ctx ends even where fn does not heed it.
func bounded[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1) // fn may outlive us: it never waits for a reader
	go func() {
		v, err := fn()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// reason is what an operator needs of a failure: driver texts may hold hosts
// and users, which the log has.
func reason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, conversation.ErrLogMissing):
		return "there is no log"
	case errors.Is(err, conversation.ErrLogDown):
		return "redis does not answer"
	}
	return "failed"
}
