package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOpsSessions: what the commands ask, and how they show the answer.
func TestOpsSessions(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked <- r.Method + " " + r.URL.RequestURI() + " " + string(body)
		switch {
		case r.Method == http.MethodPost && strings.Contains(r.URL.Path, "down"):
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"code":"storage_unavailable","detail":"Done on this node; the others could not be told."}`)
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, `{"here":1,"told":"every node"}`)
		case r.URL.Path == sessionsPath && r.URL.RawQuery == "":
			_, _ = io.WriteString(w, `{"connections":[]}`)
		case r.URL.Path == sessionsPath:
			_, _ = io.WriteString(w, `{"connections":[{"connection":"c1","node":"n1","learner":"a b","transport":"ws"},{"connection":"c2","node":"n2","learner":"a b","transport":"sse"}]}`)
		default:
			_, _ = io.WriteString(w, `{"learner":"a b","sessions":[{"session":"h","subscriptions":{"x":"1.a.2"}}],"connections":[]}`)
		}
	}))
	t.Cleanup(srv.Close)
	for _, tc := range []struct {
		args                []string
		code                int
		asked, stdout, says string
	}{
		{[]string{"list"}, exitOK, "GET /ops/v1/sessions ", "", "no connection matches"},
		{[]string{"list", "--learner", "a b", "--transport", "ws"}, exitOK, "GET /ops/v1/sessions?learner=a+b&transport=ws ", "c2          n2    a b      sse", ""},
		{[]string{"show", "a b"}, exitOK, "GET /ops/v1/sessions/a%20b ", "sessions[0].subscriptions.x", ""},
		{[]string{"kick", "a b"}, exitOK, "POST /ops/v1/sessions/a%20b/kick ", "every node", ""},
		{[]string{"kick", "a/b", "--session", "h", "-o", "json"}, exitOK, "POST /ops/v1/sessions/a%2Fb/kick?session=h ", `"here":1`, ""},
		{[]string{"kick", "a", "--connection", "c1"}, exitOK, "POST /ops/v1/sessions/a/kick?connection=c1 ", "here", ""},
		{[]string{"kick", "down"}, exitUnavailable, "POST /ops/v1/sessions/down/kick ", "", "could not be told"},
		{[]string{"notify", "a", "--message", "Hi."}, exitOK, `POST /ops/v1/sessions/a/notify {"code":"message","message":"Hi."}`, "here", ""},
		{[]string{"notify", "a"}, exitUsage, "", "", "--message"},
		{[]string{"kick"}, exitUsage, "", "", "usage: fluentpro ops sessions kick <learner>"},
	} {
		var out, errs strings.Builder
		args := append([]string{"ops", "sessions"}, tc.args...)
		if tc.asked != "" || tc.code == exitUsage {
			args = append(args, "--url", srv.URL)
		}
		code := run(t.Context(), args, nil, &out, &errs)
		if code != tc.code || !strings.Contains(out.String(), tc.stdout) || !strings.Contains(errs.String(), tc.says) {
			t.Errorf("%v: %d\n%s\n%s", tc.args, code, out.String(), errs.String())
		}
		if tc.asked != "" {
			if got := <-asked; got != tc.asked {
				t.Errorf("%v: asked %q, want %q", tc.args, got, tc.asked)
			}
		}
	}
}
