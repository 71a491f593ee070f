package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// Connections is who is connected; sessions.Manager is one.
type Connections interface {
	// Open are the connections of this node, Of everything of a learner on all
	// nodes.
	Open() []sessions.Connection
	Of(ctx context.Context, learner conversation.LearnerID) ([]sessions.Session, []sessions.Connection, error)
	// Kick ends connections on all nodes, Notify tells them something; both
	// return how many that were here.
	Kick(ctx context.Context, learner conversation.LearnerID, session, conn string) (int, error)
	Notify(ctx context.Context, learner conversation.LearnerID, n sessions.Notice) (int, error)
}

// visitView is a session as operators see it.
type visitView struct {
	Session  string            `json:"session"`
	Client   string            `json:"client,omitempty"`
	Node     string            `json:"node"`
	Holder   string            `json:"connection"`
	Created  string            `json:"created"`
	LastSeen string            `json:"last_seen"`
	Subs     map[string]string `json:"subscriptions"`
}

func (o *ops) sessionRoutes(mux *opsMux) {
	if o.Connections == nil {
		return
	}
	mux.HandleFunc("GET /ops/v1/sessions", o.listSessions)
	mux.HandleFunc("GET /ops/v1/sessions/{learner}", o.showSessions)
	mux.HandleFunc("POST /ops/v1/sessions/{learner}/kick", o.kick)
	mux.HandleFunc("POST /ops/v1/sessions/{learner}/notify", o.notify)
}

// known refuses a filter that would be ignored: it would seem to have worked.
func known(q url.Values, names ...string) error {
	for name := range q {
		ok := false
		for _, n := range names {
			ok = ok || n == name
		}
		if !ok {
			return fault.New(fault.BadRequest, "Unknown filter.")
		}
	}
	return nil
}

func (o *ops) listSessions(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := known(q, "learner", "transport", "client"); err != nil {
		o.answer(w, r, nil, err)
		return
	}
	var all []sessions.Connection
	var err error
	if l := q.Get("learner"); l != "" {
		_, all, err = o.Connections.Of(r.Context(), conversation.LearnerID(l))
	} else {
		all = o.Connections.Open()
	}
	out := []sessions.Connection{}
	for _, c := range all {
		if t, cl := q.Get("transport"), q.Get("client"); (t == "" || c.Transport == t) && (cl == "" || c.Client == cl) {
			out = append(out, c)
		}
	}
	o.answer(w, r, map[string]any{"connections": out}, err)
}

func (o *ops) showSessions(w http.ResponseWriter, r *http.Request) {
	learner := r.PathValue("learner")
	visits, conns, err := o.Connections.Of(r.Context(), conversation.LearnerID(learner))
	out := struct {
		Learner     string                `json:"learner"`
		Sessions    []visitView           `json:"sessions"`
		Connections []sessions.Connection `json:"connections"`
	}{learner, []visitView{}, append([]sessions.Connection{}, conns...)}
	for _, v := range visits {
		subs := map[string]string{}
		for c, cur := range v.Subs {
			subs[string(c)] = cur
		}
		out.Sessions = append(out.Sessions, visitView{v.ID, v.Client, v.Node, v.Holder,
			v.Created.UTC().Format(time.RFC3339), v.LastSeen.UTC().Format(time.RFC3339), subs})
	}
	o.answer(w, r, out, err)
}

func (o *ops) kick(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := known(q, "session", "connection"); err != nil {
		o.answer(w, r, nil, err)
		return
	}
	n, err := o.Connections.Kick(r.Context(), conversation.LearnerID(r.PathValue("learner")), q.Get("session"), q.Get("connection"))
	o.answer(w, r, map[string]any{"here": n, "told": "every node"}, err)
}

// maxOpsBody bounds what operators send.
const maxOpsBody = 16 << 10

func (o *ops) notify(w http.ResponseWriter, r *http.Request) {
	var n sessions.Notice
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOpsBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		o.answer(w, r, nil, fault.New(fault.BadRequest, "Send code, and perhaps message and data, as JSON."))
		return
	}
	count, err := o.Connections.Notify(r.Context(), conversation.LearnerID(r.PathValue("learner")), n)
	o.answer(w, r, map[string]any{"here": count, "told": "every node"}, err)
}
