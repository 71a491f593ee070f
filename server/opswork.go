package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/fluentpro/fluentpro/internal/correlation"
)

// Work is jobs and domain events as operators see and steer them.
type Work interface {
	// Queues counts jobs, Jobs lists those that the filter names, Job is one.
	Queues(ctx context.Context) (any, error)
	Jobs(ctx context.Context, filter url.Values) (any, error)
	Job(ctx context.Context, id string) (any, error)
	RetryJob(ctx context.Context, id string) (any, error)
	DropJob(ctx context.Context, id string) (any, error)
	// Groups tells how far behind each group is, Events reads the trail,
	// Letters lists what groups could not handle.
	Groups(ctx context.Context) (any, error)
	Events(ctx context.Context, filter url.Values) (any, error)
	Letters(ctx context.Context, filter url.Values) (any, error)
	ReplayLetter(ctx context.Context, group, event string) (any, error)
	DropLetter(ctx context.Context, group, event string) (any, error)
	// VerifyEvents walks the trail's chains.
	VerifyEvents(ctx context.Context, expect string) (any, error)
}

func (o *ops) workRoutes(mux *opsMux) {
	w := o.Work
	if w == nil {
		return
	}
	read := func(path string, names []string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET /ops/v1/"+path, func(rw http.ResponseWriter, r *http.Request) {
			err := known(r.URL.Query(), names...)
			var v any
			if err == nil {
				v, err = fn(r)
			}
			o.answer(rw, r, v, err)
		})
	}
	do := func(path, what string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc("POST /ops/v1/"+path, func(rw http.ResponseWriter, r *http.Request) {
			err := known(r.URL.Query())
			var v any
			if err == nil {
				v, err = fn(r)
			}
			if err == nil {
				o.Logger.LogAttrs(r.Context(), slog.LevelInfo, "an operator steers", slog.String("what", what), slog.String("path", r.URL.Path),
					slog.String("request_id", correlation.From(r.Context())))
			}
			o.answer(rw, r, v, err)
		})
	}
	read("jobs", []string{"state", "queue", "kind", "before", "limit"}, func(r *http.Request) (any, error) { return w.Jobs(r.Context(), r.URL.Query()) })
	read("jobs/queues", nil, func(r *http.Request) (any, error) { return w.Queues(r.Context()) })
	read("jobs/{id}", nil, func(r *http.Request) (any, error) { return w.Job(r.Context(), r.PathValue("id")) })
	do("jobs/{id}/retry", "retried a job", func(r *http.Request) (any, error) { return w.RetryJob(r.Context(), r.PathValue("id")) })
	do("jobs/{id}/drop", "dropped a job", func(r *http.Request) (any, error) { return w.DropJob(r.Context(), r.PathValue("id")) })
	read("events", []string{"kind", "aggregate", "type", "since", "until", "after", "limit", "data"},
		func(r *http.Request) (any, error) { return w.Events(r.Context(), r.URL.Query()) })
	read("events/groups", nil, func(r *http.Request) (any, error) { return w.Groups(r.Context()) })
	read("events/dead", []string{"group", "limit"}, func(r *http.Request) (any, error) { return w.Letters(r.Context(), r.URL.Query()) })
	read("events/verify", []string{"expect"}, func(r *http.Request) (any, error) { return w.VerifyEvents(r.Context(), r.URL.Query().Get("expect")) })
	do("events/dead/{group}/{event}/replay", "replayed an event", func(r *http.Request) (any, error) {
		return w.ReplayLetter(r.Context(), r.PathValue("group"), r.PathValue("event"))
	})
	do("events/dead/{group}/{event}/drop", "dropped an event", func(r *http.Request) (any, error) {
		return w.DropLetter(r.Context(), r.PathValue("group"), r.PathValue("event"))
	})
}
