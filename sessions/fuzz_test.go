package sessions_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/sessions"
)

// recorder is an answer on HTTP/2, with deadlines, which a stream wants.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetWriteDeadline(time.Time) error { return nil }

// FuzzLastEventID sends whatever header and query with a request for a stream.
// The answer is a stream of our own lines or a problem, and nothing of the
// input comes back as a field.
func FuzzLastEventID(f *testing.F) {
	for _, s := range []string{"", "1.abc.2", "1.abc.99", "2.abc.1", "x", "1.abc.2\nid: 7", "1.abc.2\r\ndata: x", "\x00", strings.Repeat("9", 5000), "💥", "-1", "now"} {
		f.Add(s, s)
		f.Add("", s)
	}
	r := newRig(f, nil)
	talk := r.src.talk("ann")
	talk.begin()
	talk.delta("some text")
	talk.finish(true) // so that every stream ends by itself
	line := regexp.MustCompile(`^(|: fluentpro|retry: \d+|id: [A-Za-z0-9._-]{1,64}|event: hb|data: \{.*\})$`)
	f.Fuzz(func(t *testing.T, header, query string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0
		req.Header.Set("Authorization", "Bearer ann")
		if header != "" {
			req.Header["Last-Event-ID"] = []string{header}
		}
		q := req.URL.Query()
		q.Set("cursor", query)
		req.URL.RawQuery = q.Encode()
		w := recorder{httptest.NewRecorder()}
		r.m.ServeSSE(w, req, string(talk.id))
		body := w.Body.String()
		switch w.Code {
		case http.StatusOK:
			if !strings.HasPrefix(body, "retry: ") || !strings.HasSuffix(body, "\n\n") {
				t.Fatalf("got %q", body)
			}
			for _, l := range strings.Split(body, "\n") {
				if !line.MatchString(l) {
					t.Fatalf("line %q", l)
				}
			}
		case http.StatusNoContent:
			if body != "" {
				t.Fatalf("got %q", body)
			}
		default:
			t.Fatalf("status %d: %s", w.Code, body)
		}
	})
}

// FuzzCredentials offers whatever Authorization, subprotocols, cookie and
// Origin. Nothing panics; nobody gets in but by a token that is known.
func FuzzCredentials(f *testing.F) {
	f.Add("Bearer ann", "conv.v1.json", "", "")
	f.Add("", "conv.v1.json, base64url.bearer.conv.YW5u", "", "")
	f.Add("", "conv.v1.json, ticket.conv."+strings.Repeat("a", 43), "", "")
	f.Add("", "ticket.conv.,base64url.bearer.conv.,,", "fp_access=ann; fp_access=bob", "http://example.com")
	f.Add("bearer  ann ", "", "fp_access=ann", "https://example.com:443")
	f.Add("Basic YW5u", "\x00", "fp_access=\"ann\"", "null")
	f.Add("", "", "fp_access=ann", "https://user@example.com#x?y")
	r := newRig(f, nil)
	f.Fuzz(func(t *testing.T, auth, protocols, cookie, origin string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/api/v2/ws", nil)
		for k, v := range map[string]string{"Authorization": auth, "Sec-WebSocket-Protocol": protocols, "Cookie": cookie, "Origin": origin} {
			if v != "" {
				req.Header[http.CanonicalHeaderKey(k)] = []string{v}
			}
		}
		known := sessions.Admitted(r.m, req)
		has := strings.Contains(auth, "ann") || strings.Contains(auth, "bob") || strings.Contains(protocols, "YW5u") || strings.Contains(protocols, "Ym9i") ||
			origin != "" && (strings.Contains(cookie, "fp_access=") && (strings.Contains(cookie, "ann") || strings.Contains(cookie, "bob")))
		if known && !has {
			t.Fatalf("admitted %q %q %q %q", auth, protocols, cookie, origin)
		}
		if norm, ok := sessions.NormalOrigin(origin); ok {
			if again, ok := sessions.NormalOrigin(norm); !ok || again != norm || norm != strings.ToLower(norm) || strings.ContainsAny(norm, "@?#* \r\n") {
				t.Fatalf("origin %q reads as %q and then as %q", origin, norm, again)
			}
		}
	})
}

// FuzzTicket redeems whatever text: only what was issued opens anything, and
// only once.
func FuzzTicket(f *testing.F) {
	r := newRig(f, nil)
	for _, s := range []string{"", "x", strings.Repeat("a", 43), strings.Repeat("_", 43), strings.Repeat("a", 44), "%00", "../../x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := sessions.Redeem(context.Background(), r.m, text); err == nil {
			t.Fatalf("%q stands for %+v", text, id)
		}
		good, _, err := r.m.IssueTicket(context.Background(), sessions.Identity{LearnerID: "ann"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sessions.Redeem(context.Background(), r.m, good+text); (err == nil) != (text == "") {
			t.Fatalf("with %q behind it: %v", text, err)
		}
		if text != "" {
			if id, err := sessions.Redeem(context.Background(), r.m, good); err != nil || id.LearnerID != "ann" {
				t.Fatalf("the good one: %v", err)
			}
		}
		if _, err := sessions.Redeem(context.Background(), r.m, good); err == nil {
			t.Fatal("a ticket was good twice")
		}
	})
}
