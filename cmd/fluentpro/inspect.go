package main

import (
	"context"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/inspector"
	"github.com/fluentpro/fluentpro/server"
	"github.com/fluentpro/fluentpro/sessions"
)

func (a *App) inspector(store sessions.Store) server.Inspector {
	return &inspector.Inspector{Store: a.front.store, Log: a.front.log, Locks: a.front.locks, Local: a.runner,
		Viewers: viewers{a.sessions, store}, Stale: a.cfg.Lease, Self: func() string { return a.members.Self().ID }}
}

// viewers shows the inspector who watches.
type viewers struct {
	sessions *sessions.Manager
	store    sessions.Store
}

func (v viewers) Stored(ctx context.Context, id conversation.ID) ([]inspector.Viewer, error) {
	vs, err := v.store.ListViewers(ctx, id)
	return viewersOf(vs, id), err
}

func (v viewers) Local(id conversation.ID) []inspector.Viewer {
	return viewersOf(v.sessions.Status(), id)
}

func viewersOf(vs []sessions.Viewer, id conversation.ID) []inspector.Viewer {
	var out []inspector.Viewer
	for _, w := range vs {
		if w.Conversation == id {
			out = append(out, inspector.Viewer{Conn: w.Conn, Node: w.Node, Session: w.Session, Learner: string(w.User), Transport: w.Transport,
				Cursor: w.Cursor, Acked: w.Acked, Lag: w.Lag, Age: float64(time.Now().UnixMilli()-w.Since) / 1e3})
		}
	}
	return out
}
