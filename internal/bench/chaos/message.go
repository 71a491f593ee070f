package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/client"
)

// conv is one conversation of a stage, with its viewers.
type conv struct {
	no       int
	name, id string
	learner  *learner
	viewers  []*viewer
	said     int
	runs     []int64 // of the messages accepted so far; one goroutine at a time
}

// text of a message; its reply is a function of the tag.
func text(cid string) string { return "[tag " + cid + "] Could we go on, please?" }

// nextCID is an id that no other message of the run has. It is the tag too.
func (st *stage) nextCID(c *conv) string {
	c.said++
	return fmt.Sprintf("%s%s-%d", st.prefix, c.name, c.said)
}

// say sends a message until it is acknowledged, with the same id each time,
// beginning at the given node. It returns the run that answers.
func (st *stage) say(ctx context.Context, c *conv, first int) (int64, error) {
	cid := st.nextCID(c)
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for try := 0; ; try++ {
		acc, err := st.try(ctx, c, cid, text(cid), st.nodes[(first+try)%len(st.nodes)], (c.no+c.said)%4 == 3)
		if err == nil {
			c.runs = append(c.runs, acc.Run)
			return acc.Run, nil
		}
		if r := (*refused)(nil); errors.As(err, &r) && r.status < 500 && r.code != "queue_full" && r.code != "rate_limited" {
			return 0, err
		}
		if perr := pause(ctx, time.Duration(min(try+1, 20))*10*time.Millisecond); perr != nil {
			return 0, fmt.Errorf("message %s was never acknowledged, last: %w", cid, err)
		}
	}
}

// try sends once and writes down what came of it.
func (st *stage) try(ctx context.Context, c *conv, cid, body string, n *node, socket bool) (acc client.Accepted, err error) {
	id := st.rec.NextID()
	who := c.name + "-l"
	st.rec.Add(history.Record{K: history.Invoke, P: who, U: c.learner.user(), N: n.name, Op: "submit", ID: id, Conv: c.id, CID: cid, H: history.Hash(body), Len: int64(st.tokens)})
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if socket {
		acc, err = st.sendWS(once, c, cid, body, n)
	} else {
		err = call(once, st.web, "http://"+n.calls.addr, c.learner.token(), "POST", "/conversations/"+c.id+"/messages", object{"client_id": cid, "text": body}, &acc)
	}
	out := history.Record{K: history.OK, P: who, N: n.name, Op: "submit", ID: id, Conv: c.id, CID: cid, Turn: acc.Turn, Run: acc.Run, Dup: acc.Duplicate}
	var no *refused
	var problem *client.Problem
	switch {
	case err == nil:
	case errors.As(err, &no) && no.status < 500:
		out.K, out.Code = history.Fail, no.code
	case errors.As(err, &problem) && definite(problem.Code):
		out.K, out.Code = history.Fail, problem.Code
		err = &refused{422, problem.Code, "send"}
	case errors.As(err, &no):
		out.K, out.Code = history.Info, no.code
	default:
		out.K, out.Code = history.Info, reason(err)
	}
	st.rec.Add(out)
	return acc, err
}

// definite are refusals that a socket tells; whatever else it says leaves the
// outcome open.
func definite(code string) bool {
	switch code {
	case "idempotency_mismatch", "invalid", "bad_request", "queue_full", "run_active", "rate_limited":
		return true
	}
	return false
}

func (st *stage) sendWS(ctx context.Context, c *conv, cid, body string, n *node) (client.Accepted, error) {
	o := &client.Options{Bases: []string{"http://" + n.calls.addr}, Token: c.learner.token, HTTP: st.web}
	ws, err := client.DialWS(ctx, o, "")
	if err != nil {
		return client.Accepted{}, err
	}
	defer ws.Drop()
	return ws.Send(ctx, c.id, cid, body, "")
}

// answered waits until every viewer of the conversation has seen a run end.
func (st *stage) answered(ctx context.Context, c *conv, run int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("two minutes have passed"))
	defer cancel()
	for _, v := range c.viewers {
		if err := v.view.WaitEnded(ctx, run); err != nil {
			return fmt.Errorf("%s, run %d: %w", v.name, run, err)
		}
	}
	return nil
}

// look reads the conversation as a page that opens does, and writes it down.
func (st *stage) look(ctx context.Context, c *conv, n *node) error {
	id := st.rec.NextID()
	st.rec.Add(history.Record{K: history.Invoke, P: c.name + "-r", N: n.name, Op: "read", ID: id, Conv: c.id})
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.learner.read(once, st.web, "http://"+n.calls.addr, c.id)
	out := history.Record{K: history.OK, P: c.name + "-r", N: n.name, Op: "read", ID: id, Conv: c.id}
	if err != nil {
		out.K, out.Code = history.Fail, reason(err)
	}
	st.rec.Add(out)
	return err
}
