package server

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// fakeWork notes what it is asked.
type fakeWork struct{ asked []string }

func (f *fakeWork) note(what ...string) (any, error) {
	f.asked = append(f.asked, strings.Join(what, " "))
	if strings.Contains(strings.Join(what, " "), "gone") {
		return nil, fault.New(fault.NotFound, "There is no such job.")
	}
	return map[string]any{"ok": true}, nil
}

func (f *fakeWork) Queues(context.Context) (any, error) { return f.note("queues") }
func (f *fakeWork) Jobs(_ context.Context, q url.Values) (any, error) {
	return f.note("jobs", q.Encode())
}
func (f *fakeWork) Job(_ context.Context, id string) (any, error) { return f.note("job", id) }
func (f *fakeWork) RetryJob(_ context.Context, id string) (any, error) {
	return f.note("retry", id)
}
func (f *fakeWork) DropJob(_ context.Context, id string) (any, error) { return f.note("drop", id) }
func (f *fakeWork) Groups(context.Context) (any, error)               { return f.note("groups") }
func (f *fakeWork) Events(_ context.Context, q url.Values) (any, error) {
	return f.note("events", q.Encode())
}
func (f *fakeWork) Letters(_ context.Context, q url.Values) (any, error) {
	return f.note("letters", q.Encode())
}
func (f *fakeWork) ReplayLetter(_ context.Context, group, event string) (any, error) {
	return f.note("replay", group, event)
}
func (f *fakeWork) DropLetter(_ context.Context, group, event string) (any, error) {
	return f.note("bury", group, event)
}
func (f *fakeWork) VerifyEvents(_ context.Context, expect string) (any, error) {
	return f.note("verify", expect)
}

func TestOpsWork(t *testing.T) {
	t.Parallel()
	w := &fakeWork{}
	h := NewOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Inspector: fakeInspector{}, Work: w, Token: "operator-token"})
	for _, tc := range []struct {
		method, path, peer string
		status             int
		asked              string
	}{
		{"GET", "/ops/v1/jobs", "", 200, "jobs "},
		{"GET", "/ops/v1/jobs?state=dead&queue=mail&kind=k&before=9&limit=3", "", 200, "jobs before=9&kind=k&limit=3&queue=mail&state=dead"},
		{"GET", "/ops/v1/jobs?stat=dead", "", 400, ""},
		{"GET", "/ops/v1/jobs/queues", "", 200, "queues"},
		{"GET", "/ops/v1/jobs/7", "", 200, "job 7"},
		{"GET", "/ops/v1/jobs/gone", "", 404, "job gone"},
		{"POST", "/ops/v1/jobs/7/retry", "", 200, "retry 7"},
		{"POST", "/ops/v1/jobs/7/drop", "", 200, "drop 7"},
		{"POST", "/ops/v1/jobs/7/retry?now=1", "", 400, ""},
		{"GET", "/ops/v1/jobs/7/retry", "", 404, ""},
		{"DELETE", "/ops/v1/jobs/7", "", 404, ""},
		{"GET", "/ops/v1/events?kind=learner&aggregate=a&data=true", "", 200, "events aggregate=a&data=true&kind=learner"},
		{"GET", "/ops/v1/events/groups", "", 200, "groups"},
		{"GET", "/ops/v1/events/dead?group=g", "", 200, "letters group=g"},
		{"GET", "/ops/v1/events/verify?expect=3:ab", "", 200, "verify 3:ab"},
		{"POST", "/ops/v1/events/dead/g/e/replay", "", 200, "replay g e"},
		{"POST", "/ops/v1/events/dead/g/e/drop", "", 200, "bury g e"},
		{"POST", "/ops/v1/events/dead/g/gone/drop", "", 404, "bury g gone"},
		{"POST", "/ops/v1/jobs/7/drop", "10.0.0.9:1", 401, ""},
		{"GET", "/ops/v1/events", "10.0.0.9:1", 401, ""},
	} {
		w.asked = nil
		r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:8081"
		if tc.peer != "" {
			r.RemoteAddr = tc.peer
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if got := strings.Join(w.asked, "|"); rec.Code != tc.status || got != tc.asked {
			t.Errorf("%s %s: %d, asked %q, want %d, %q: %s", tc.method, tc.path, rec.Code, got, tc.status, tc.asked, rec.Body)
		}
	}
}
