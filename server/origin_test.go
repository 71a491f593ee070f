package server

import (
	"net/http"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	const (
		cookie = "Cookie: " + AccessCookie + "=tok-ann"
		self   = "Origin: http://127.0.0.1:8080"
		app    = "Origin: https://app.example"
	)
	configured := []string{"https://app.example"}
	for _, c := range []struct {
		name    string
		origins []string
		headers []string
		ok      bool
	}{
		{"own page with cookie", nil, []string{cookie, self}, true},
		{"own page with cookie and fetch metadata", nil, []string{cookie, self, "Sec-Fetch-Site: same-origin"}, true},
		{"own page by localhost", nil, []string{cookie, "Host: localhost:8080", "Origin: http://localhost:8080"}, true},
		{"app with bearer, no origin", nil, []string{ann}, true},
		{"configured origin", configured, []string{cookie, app, "Host: app.example"}, true},
		{"W1 evil", nil, []string{cookie, "Origin: https://evil.example"}, false},
		{"W1 evil with bearer", nil, []string{ann, "Origin: https://evil.example"}, false},
		{"W2 null", nil, []string{cookie, "Origin: null"}, false},
		{"W3 http for https", configured, []string{cookie, "Origin: http://app.example", "Host: app.example"}, false},
		{"W4 suffix", configured, []string{cookie, "Origin: https://app.example.evil.example"}, false},
		{"W5 user info", configured, []string{cookie, "Origin: https://app.example@evil.example"}, false},
		{"W6 two origins", nil, []string{cookie, self, "Origin: https://evil.example"}, false},
		{"W7 cookie without origin", nil, []string{cookie}, false},
		{"W8 rebound name", nil, []string{cookie, "Host: evil.example", "Origin: http://evil.example"}, false},
		{"W9 port spelled out", configured, []string{cookie, "Origin: https://app.example:443", "Host: app.example"}, false},
		{"W9 capitals", configured, []string{cookie, "Origin: https://APP.EXAMPLE", "Host: app.example"}, false},
		{"W9 trailing dot", configured, []string{cookie, "Origin: https://app.example.", "Host: app.example"}, false},
		{"W11 cross-site metadata", nil, []string{cookie, self, "Sec-Fetch-Site: cross-site"}, false},
		{"W11 same-site metadata", nil, []string{cookie, self, "Sec-Fetch-Site: same-site"}, false},
		{"other port", nil, []string{cookie, "Origin: http://127.0.0.1:9999"}, false},
		{"https claimed by a stranger", nil, []string{cookie, "X-Forwarded-Proto: https", "Origin: https://127.0.0.1:8080"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(d *Deps) { d.Origins = c.origins })
			post := f.call(t, "POST", Prefix+"/scenario-requests", `{}`, c.headers...)
			ws := f.call(t, "GET", Prefix+"/ws", "", append(c.headers, "Upgrade: websocket", "Connection: Upgrade")...)
			get := f.call(t, "GET", Prefix+"/scenarios", "", c.headers...)
			if get.Code != http.StatusOK {
				t.Errorf("reading is refused: %d", get.Code)
			}
			if !c.ok {
				wantProblem(t, post, fault.ForeignOrigin)
				wantProblem(t, ws, fault.ForeignOrigin)
				if len(f.practice.seen) != 0 {
					t.Fatal("the request got through")
				}
				return
			}
			if post.Code != http.StatusAccepted || ws.Code != http.StatusTeapot {
				t.Fatalf("refused: %d %s, ws %d", post.Code, post.Body, ws.Code)
			}
		})
	}
}

func TestTrustedProxySpeaksForHTTPS(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(d *Deps) { d.TrustedProxies = []string{"192.0.2.1"} }) // httptest's peer
	w := f.call(t, "POST", Prefix+"/scenario-requests", `{}`, "Cookie: "+AccessCookie+"=tok-ann",
		"X-Forwarded-Proto: https", "Origin: https://127.0.0.1:8080")
	if w.Code != http.StatusAccepted || w.Header().Get("Strict-Transport-Security") == "" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	for _, bad := range []string{"0.0.0.0/0", "::/0", "proxy.example", "10.0.0.0/99"} {
		if _, err := New(Deps{Logger: f.log, Authenticator: fakeAuth{}, TrustedProxies: []string{bad}}); err == nil {
			t.Errorf("trusted proxy %q is taken", bad)
		}
	}
	for _, bad := range []string{"*", "https://*/", "https://app.example/", "HTTPS://app.example", "app.example", "ftp://x"} {
		if _, err := New(Deps{Logger: f.log, Authenticator: fakeAuth{}, Origins: []string{bad}}); err == nil {
			t.Errorf("origin %q is taken", bad)
		}
	}
}
