package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/client"
)

// viewer follows one conversation, each attach over another transport and at
// another node, and writes down everything it is sent.
type viewer struct {
	st   *stage
	name string
	conv *conv
	view *client.View
	rng  *rand.Rand
	http *http.Client
	// over are the transports it takes; node and tr are of the present attach.
	over []client.Transport
	node *node
	tr   client.Transport
	// token is asked for at each attach; login names a login of its own.
	token func() string
	login string
}

func (st *stage) newViewer(c *conv, i int, over ...client.Transport) *viewer {
	v := &viewer{st: st, conv: c, token: c.learner.token, name: fmt.Sprintf("%s-v%d", c.name, i), view: client.NewView(c.id), over: over,
		rng:  rand.New(rand.NewPCG(st.seed, uint64(len(c.name))<<32|uint64(c.no)<<8|uint64(i))), //nolint:gosec // repeatable on purpose
		http: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}}}
	v.view.OnTake(v.take)
	return v
}

// take writes one line for everything that came. It is called under the
// view's lock, by the goroutine that reads.
func (v *viewer) take(t client.Taken) {
	r := history.Record{K: history.Recv, P: v.name, N: v.node.name, Over: string(v.tr), Conv: v.conv.id, Ev: t.Kind}
	switch t.Kind {
	case "attach":
		r.K, r.Ev, r.Cur, r.U, r.Login = history.Open, "", t.Cur, v.conv.learner.user(), v.login
	case "event":
		e := t.Event
		r.Ev, r.Seq, r.Run, r.Attempt, r.Base, r.TS = e.Type, e.Seq, e.Run, e.Attempt, e.Base, e.TS
		if e.From != e.Seq {
			r.From = e.From
		}
		r.Epoch, _ = splitCursor(e.Cur)
		eventData(&r, e)
	case "snapshot":
		r.Cur = t.Cur
		r.Epoch, r.Seq = splitCursor(t.Cur)
		var s client.State
		if err := json.Unmarshal(t.State, &s); err != nil {
			r.Code = "unreadable"
			break
		}
		r.Turns = turnsOf(s.Turns)
		if o := s.Open; o != nil {
			r.Reply = &history.Reply{Run: o.Run, Attempt: o.Attempt, Base: o.Base, Txt: o.Text}
		}
	case "reset":
		r.Code = t.Reason
	case "error":
		r.Code = t.Code
	}
	v.st.rec.Add(r)
}

// eventData copies what the checker needs of an event's data.
func eventData(r *history.Record, e client.Event) {
	var d struct {
		At     int64
		Text   string
		Finish string
		N      int64
	}
	if json.Unmarshal(e.Data, &d) != nil {
		r.Code = "unreadable"
		return
	}
	r.H = history.Hash(string(e.Data))
	switch {
	case strings.HasSuffix(e.Type, ".delta"):
		r.At, r.Txt, r.Len = d.At, d.Text, int64(len(d.Text))
	case strings.HasSuffix(e.Type, ".completed"), strings.HasSuffix(e.Type, ".stopped"), strings.HasSuffix(e.Type, ".failed"):
		r.Txt, r.Finish, r.Turn = d.Text, d.Finish, d.N
	}
}

func splitCursor(cur string) (epoch string, seq int64) {
	i := strings.LastIndexByte(cur, '.')
	if i < 0 {
		return cur, 0
	}
	if _, err := fmt.Sscanf(cur[i+1:], "%d", &seq); err != nil {
		return cur, 0
	}
	return cur[:i], seq
}

func turnsOf(list []client.Turn) []history.Turn {
	out := make([]history.Turn, len(list))
	for i, t := range list {
		out[i] = history.Turn{N: t.N, Author: t.Author, CID: t.ClientID, Run: t.Run, Finish: t.Finish, H: history.Hash(t.Text), Len: int64(len(t.Text))}
	}
	return out
}

// follow attaches again and again until ctx ends.
func (v *viewer) follow(ctx context.Context) {
	defer v.http.CloseIdleConnections()
	session := ""
	for fails := 0; ctx.Err() == nil; {
		v.pick()
		o := &client.Options{Bases: []string{"http://" + v.node.viewers.addr}, Token: v.token, HTTP: v.http}
		begun := time.Now()
		var err error
		switch v.tr {
		case client.OverWS:
			session, err = v.socket(ctx, o, session)
		case client.OverSSE:
			err = client.Stream(ctx, o, v.view)
		default:
			for polls := 0; err == nil && polls < 20 && ctx.Err() == nil; polls++ {
				err = client.Poll(ctx, o, v.view, 2*time.Second)
			}
		}
		code := "closed"
		if err != nil {
			code = reason(err)
		}
		v.st.rec.Add(history.Record{K: history.Close, P: v.name, N: v.node.name, Over: string(v.tr), Conv: v.conv.id, Code: code})
		if fails++; time.Since(begun) > time.Second {
			fails = 0
		}
		_ = pause(ctx, time.Duration(v.rng.Int64N(int64(20*time.Millisecond)<<min(fails, 5)))) // the loop sees the end
	}
}

// pick chooses node and transport of the next attach. The view's lock is what
// orders it before the next take.
func (v *viewer) pick() {
	n, tr := v.st.nodes[v.rng.IntN(len(v.st.nodes))], v.over[v.rng.IntN(len(v.over))]
	v.view.Look(func(*client.Fold) { v.node, v.tr = n, tr })
}

func (v *viewer) socket(ctx context.Context, o *client.Options, session string) (string, error) {
	dial, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialWS(dial, o, session, v.view)
	if err != nil {
		return session, err
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
		c.Drop()
	}
	return c.Welcome.Session, c.Err()
}

// reason names an error in few words without addresses.
func reason(err error) string {
	if code := client.CodeOf(err); code != "" {
		return code
	}
	if n := client.CloseCode(err); n > 0 {
		return fmt.Sprintf("close_%d", n)
	}
	switch {
	case errors.Is(err, client.ErrResume):
		return "resume"
	case errors.Is(err, client.ErrEnded):
		return "ended"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "context"
	}
	return "broken"
}

// show writes what the client's own fold shows in the end, and every breach it
// found: the second opinion beside the checker's screen.
func (v *viewer) show() {
	r := history.Record{K: history.Show, P: v.name, Conv: v.conv.id}
	for _, b := range v.view.Violations() {
		v.st.rec.Add(history.Record{K: history.Breach, P: v.name, Conv: v.conv.id, Run: b.Run, Seq: b.Seq, Code: b.Kind, Arg: b.Kind + ": " + b.Detail})
	}
	v.view.Look(func(f *client.Fold) {
		for no, run := range f.Runs {
			if run.Ended != "" {
				r.Turns = append(r.Turns, history.Turn{Author: "partner", Run: no, Finish: run.Finish, H: history.Hash(run.Text()), Len: run.Len()})
			}
		}
	})
	sort.Slice(r.Turns, func(i, j int) bool { return r.Turns[i].Run < r.Turns[j].Run })
	v.st.rec.Add(r)
}

// shows is how much text of a run is on the screen, and of which attempt.
func (v *viewer) shows(run int64) (length, attempt int64) {
	v.view.Look(func(f *client.Fold) {
		if r := f.Runs[run]; r != nil {
			length, attempt = r.Len(), r.Attempt
		}
	})
	return length, attempt
}
