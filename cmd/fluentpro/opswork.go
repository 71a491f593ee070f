package main

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/domains/jobs"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// opsWork shows jobs and events to operators.
type opsWork struct{ back *backroom }

func badFilter(name, want string) error {
	return fault.Newf(fault.BadRequest, "The filter %s must be %s.", name, want)
}

// number reads a filter between 1 and most; 0 when it is not given.
func number(q url.Values, name string, most int64) (int64, error) {
	if q.Get(name) == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, badFilter(name, "a whole number from 1 to "+strconv.FormatInt(most, 10))
	}
	return n, nil
}

func instant(q url.Values, name string) (time.Time, error) {
	if q.Get(name) == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, q.Get(name))
	if err != nil {
		return time.Time{}, badFilter(name, "a time as 2026-01-02T15:04:05Z")
	}
	return t, nil
}

// Queues implements server.Work.
func (w opsWork) Queues(ctx context.Context) (any, error) {
	list, err := w.back.queue.Queues(ctx)
	type row struct {
		Queue   string  `json:"queue"`
		Workers int     `json:"workers_here"`
		Ready   int64   `json:"available"`
		Later   int64   `json:"scheduled"`
		Running int64   `json:"running"`
		Again   int64   `json:"retrying"`
		Done    int64   `json:"done"`
		Dead    int64   `json:"dead"`
		Waiting float64 `json:"waiting_seconds"`
	}
	rows := make([]row, 0, len(list))
	for _, q := range list {
		c := q.Counts
		rows = append(rows, row{q.Queue, q.Workers, c[jobs.Available], c[jobs.Scheduled], c[jobs.Running], c[jobs.Retrying], c[jobs.Done], c[jobs.Dead], q.Waiting})
	}
	return map[string]any{"queues": rows}, err
}

// Jobs implements server.Work.
func (w opsWork) Jobs(ctx context.Context, q url.Values) (any, error) {
	f := jobs.Filter{State: jobs.State(q.Get("state")), Queue: q.Get("queue"), Kind: q.Get("kind")}
	ok := f.State == ""
	words := make([]string, len(jobs.States))
	for i, s := range jobs.States {
		ok, words[i] = ok || s == f.State, string(s)
	}
	if !ok {
		return nil, badFilter("state", "one of "+strings.Join(words, ", "))
	}
	limit, err := number(q, "limit", jobs.MaxList)
	if err != nil {
		return nil, err
	}
	if f.Before, err = number(q, "before", 1<<62); err != nil {
		return nil, err
	}
	f.Limit = int(limit)
	rows, err := w.back.queue.List(ctx, f)
	if rows == nil {
		rows = []jobs.Row{}
	}
	return map[string]any{"jobs": rows}, err
}

func (w opsWork) one(ctx context.Context, id string, do func(context.Context, int64) (jobs.Row, error)) (any, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 {
		return nil, fault.New(fault.NotFound, "There is no such job.")
	}
	return do(ctx, n)
}

// Job implements server.Work.
func (w opsWork) Job(ctx context.Context, id string) (any, error) {
	return w.one(ctx, id, w.back.queue.Get)
}

// RetryJob implements server.Work.
func (w opsWork) RetryJob(ctx context.Context, id string) (any, error) {
	return w.one(ctx, id, w.back.queue.Retry)
}

// DropJob implements server.Work.
func (w opsWork) DropJob(ctx context.Context, id string) (any, error) {
	return w.one(ctx, id, w.back.queue.Drop)
}

// Groups implements server.Work.
func (w opsWork) Groups(ctx context.Context) (any, error) {
	lags, err := w.back.trail.Lags(ctx, events.WantsOf(w.back.groups))
	if lags == nil {
		lags = []events.Lag{}
	}
	return map[string]any{"groups": lags}, err
}

// Events implements server.Work. What events say is told only if asked for:
// it may be a learner's own words.
func (w opsWork) Events(ctx context.Context, q url.Values) (any, error) {
	eq := events.Query{Aggregate: events.Aggregate{Kind: q.Get("kind"), ID: q.Get("aggregate")}, Type: q.Get("type")}
	if eq.Aggregate.ID != "" && eq.Aggregate.Kind == "" {
		return nil, badFilter("aggregate", "given with its kind")
	}
	limit, err := number(q, "limit", events.MaxRead)
	if err != nil {
		return nil, err
	}
	if eq.Limit = int(limit); limit == 0 {
		eq.Limit = 50
	}
	after, err := number(q, "after", 1<<62)
	if err != nil {
		return nil, err
	}
	eq.AfterPosition, eq.AfterSequence = after, after
	if eq.Since, err = instant(q, "since"); err != nil {
		return nil, err
	}
	if eq.Until, err = instant(q, "until"); err != nil {
		return nil, err
	}
	whole := q.Get("data") == "true"
	if !whole && q.Get("data") != "" && q.Get("data") != "false" {
		return nil, badFilter("data", "true or false")
	}
	list, err := w.back.trail.Read(ctx, eq)
	if err != nil {
		return nil, err
	}
	out := make([]eventView, len(list))
	for i, e := range list {
		out[i] = viewEvent(e)
		if whole {
			out[i].Data = e.Data
		}
	}
	return map[string]any{"events": out}, nil
}

// eventView is an event as operators read it.
type eventView struct {
	Position    int64  `json:"position"`
	At          string `json:"at"`
	Type        string `json:"type"`
	Version     int    `json:"version"`
	Kind        string `json:"kind"`
	Aggregate   string `json:"aggregate"`
	Sequence    int64  `json:"sequence"`
	Actor       string `json:"actor"`
	Correlation string `json:"correlation_id,omitempty"`
	ID          string `json:"id"`
	Data        any    `json:"data,omitempty"`
}

func viewEvent(e events.Event) eventView {
	return eventView{e.Position, e.At.Format(time.RFC3339Nano), e.Type, e.Version, e.Aggregate.Kind, e.Aggregate.ID, e.Sequence, e.Actor, e.Correlation, e.ID, nil}
}

// Letters implements server.Work.
func (w opsWork) Letters(ctx context.Context, q url.Values) (any, error) {
	limit, err := number(q, "limit", events.MaxRead)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 50
	}
	list, err := w.back.trail.Letters(ctx, q.Get("group"), int(limit))
	type row struct {
		Group   string `json:"group"`
		Event   string `json:"event"`
		Outcome string `json:"outcome"`
		Tries   int    `json:"tries"`
		At      string `json:"at"`
		Type    string `json:"type"`
		About   string `json:"aggregate"`
		Reason  string `json:"reason"`
	}
	rows := make([]row, 0, len(list))
	for _, l := range list {
		rows = append(rows, row{l.Group, l.Event.ID, string(l.Outcome), l.Tries, l.At.Format(time.RFC3339), l.Event.Type,
			l.Event.Aggregate.Kind + "/" + l.Event.Aggregate.ID, l.Reason})
	}
	return map[string]any{"letters": rows}, err
}

// ReplayLetter implements server.Work.
func (w opsWork) ReplayLetter(ctx context.Context, group, event string) (any, error) {
	return map[string]any{"group": group, "event": event, "outcome": events.Replay}, w.back.trail.Reopen(ctx, group, event)
}

// DropLetter implements server.Work.
func (w opsWork) DropLetter(ctx context.Context, group, event string) (any, error) {
	return map[string]any{"group": group, "event": event, "outcome": events.Dropped}, w.back.trail.Drop(ctx, group, event)
}

// VerifyEvents implements server.Work.
func (w opsWork) VerifyEvents(ctx context.Context, expect string) (any, error) {
	return w.back.trail.Verify(ctx, expect)
}
