package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
)

// fakeOpen is one learner on two nodes; an operator's wishes are noted.
type fakeOpen struct{ wishes []string }

var openHere = sessions.Connection{ID: "c1", Node: "n1", User: "ann", Session: "hash", Transport: "ws", Client: "web/1"}

func (f *fakeOpen) Open() []sessions.Connection { return []sessions.Connection{openHere} }

func (f *fakeOpen) Of(_ context.Context, l conversation.LearnerID) ([]sessions.Session, []sessions.Connection, error) {
	if l == "down" {
		return nil, nil, fault.New(fault.StorageUnavailable, "The session store does not answer.")
	}
	if l != "ann" {
		return nil, nil, nil
	}
	there := openHere
	there.ID, there.Node, there.Transport = "c2", "n2", "sse"
	return []sessions.Session{{ID: "hash", User: "ann", Node: "n1", Holder: "c1", Created: time.Unix(1e9, 0), LastSeen: time.Unix(1e9, 0),
		Subs: map[conversation.ID]string{annsID: "1.a.2"}}}, []sessions.Connection{openHere, there}, nil
}

func (f *fakeOpen) Kick(_ context.Context, l conversation.LearnerID, session, conn string) (int, error) {
	f.wishes = append(f.wishes, "kick "+string(l)+" "+session+" "+conn)
	if l == "down" {
		return 1, fault.New(fault.StorageUnavailable, "Done on this node; the others could not be told.")
	}
	return 1, nil
}

func (f *fakeOpen) Notify(_ context.Context, l conversation.LearnerID, n sessions.Notice) (int, error) {
	f.wishes = append(f.wishes, "notify "+string(l)+" "+n.Code+" "+n.Message+string(n.Data))
	return 2, nil
}

func TestOpsSessions(t *testing.T) {
	t.Parallel()
	open := &fakeOpen{}
	h := NewOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Inspector: fakeInspector{}, Connections: open, Token: "operator-token"})
	for _, tc := range []struct {
		method, path, body, peer, origin string
		status                           int
		want, not, wish                  string
	}{
		{"GET", "/ops/v1/sessions", "", "", "", 200, `"connection":"c1"`, `"c2"`, ""},
		{"GET", "/ops/v1/sessions?learner=ann", "", "", "", 200, `"connection":"c2"`, "", ""},
		{"GET", "/ops/v1/sessions?learner=ann&transport=ws", "", "", "", 200, `"connection":"c1"`, `"c2"`, ""},
		{"GET", "/ops/v1/sessions?client=other", "", "", "", 200, `{"connections":[]}`, "", ""},
		{"GET", "/ops/v1/sessions?leaner=ann", "", "", "", 400, "bad_request", "", ""},
		{"GET", "/ops/v1/sessions?learner=down", "", "", "", 503, "storage_unavailable", "", ""},
		{"GET", "/ops/v1/sessions/ann", "", "", "", 200, `"subscriptions":{"` + annsID + `":"1.a.2"}`, "", ""},
		{"GET", "/ops/v1/sessions/nobody", "", "", "", 200, `"sessions":[],"connections":[]`, "", ""},
		{"POST", "/ops/v1/sessions/ann/kick?session=hash", "", "", "", 200, `"here":1`, "", "kick ann hash "},
		{"POST", "/ops/v1/sessions/ann/kick?connection=c2", "", "", "", 200, `"here":1`, "", "kick ann  c2"},
		{"POST", "/ops/v1/sessions/down/kick", "", "", "", 503, "storage_unavailable", "", "kick down  "},
		{"POST", "/ops/v1/sessions/ann/kick?conn=c2", "", "", "", 400, "bad_request", "", ""},
		{"POST", "/ops/v1/sessions/ann/notify", `{"code":"soon","message":"At ten.","data":{"at":10}}`, "", "", 200, `"here":2`, "", `notify ann soon At ten.{"at":10}`},
		{"POST", "/ops/v1/sessions/ann/notify", `{"kode":"soon"}`, "", "", 400, "bad_request", "", ""},
		{"POST", "/ops/v1/sessions/ann/notify", `nonsense`, "", "", 400, "bad_request", "", ""},
		{"POST", "/ops/v1/sessions/ann/notify", `{"code":"x","message":"` + strings.Repeat("x", 20<<10) + `"}`, "", "", 400, "bad_request", "", ""},
		{"GET", "/ops/v1/sessions/ann/kick", "", "", "", 404, "not_found", "", ""},
		{"POST", "/ops/v1/sessions/ann/kick", "", "10.0.0.9:1", "", 401, "unauthenticated", "", ""},
		{"POST", "/ops/v1/sessions/ann/kick", "", "", "http://evil.example", 401, "unauthenticated", "", ""},
	} {
		open.wishes = nil
		r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, strings.NewReader(tc.body))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:9000"
		if tc.peer != "" {
			r.RemoteAddr = tc.peer
		}
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Body.String(); w.Code != tc.status || !strings.Contains(got, tc.want) || tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%s %s: %d %.300s", tc.method, tc.path, w.Code, got)
		}
		if got := strings.Join(open.wishes, "; "); got != tc.wish {
			t.Errorf("%s %s: did %q, want %q", tc.method, tc.path, got, tc.wish)
		}
	}
	bare := NewOps(OpsDeps{Logger: slog.New(slog.DiscardHandler), Inspector: fakeInspector{}})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ops/v1/sessions", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost:9000"
	w := httptest.NewRecorder()
	if bare.ServeHTTP(w, r); w.Code != 404 {
		t.Errorf("without connections: %d", w.Code)
	}
}
