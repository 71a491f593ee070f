package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// operators stands in for the operators' listener of a node.
func operators(t *testing.T) (addr string, asked chan url.URL) {
	t.Helper()
	asked = make(chan url.URL, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- *r.URL
		if r.Header.Get("Authorization") != "Bearer 0123456789abcdef" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthenticated","detail":"Send the operator token as a bearer token."}`))
			return
		}
		switch r.URL.Path {
		case statePath:
			_, _ = w.Write([]byte(`{"conversations":[
				{"id":"c1","state":"generating","owner":{"node":"n1","alive":true},"viewers":[{"id":"v1"}],"anomalies":[]},
				{"id":"c2","state":"idle\u001b[31m","owner":null,"lag":3,"anomalies":[{"name":"owner_dead","next":"takeover"}]}
			],"next":"abc","sources":{"redis":"timeout","sql":"ok"},"nodes":[{"id":"n1","age_s":2.9130000000000003},{"id":"n2"}]}`))
		case statePath + "/c1":
			_, _ = w.Write([]byte(`{"id":"c1","lock":{"held":true,"age_ms":12},"viewers":[{"cursor":"1.a.5","lag":2}],"anomalies":["x","y"]}`))
		case statePath + "/html":
			_, _ = w.Write([]byte(`<html>`))
		case statePath + "/moved":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case statePath + "/list":
			_, _ = w.Write([]byte(`[1,2]`))
		case statePath + "/word":
			_, _ = w.Write([]byte(`"x"`))
		case statePath + "/slow":
			<-r.Context().Done()
		case statePath + "/gone":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"storage_unavailable","title":"Storage does not answer"}`))
		case statePath + "/taken":
			w.WriteHeader(http.StatusConflict)
		case statePath + "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":"not_found","detail":"Not found."}`))
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), asked
}

func TestOpsStateList(t *testing.T) {
	t.Parallel()
	addr, asked := operators(t)
	env := []string{"FLUENTPRO_OPS_LISTEN=" + addr, "FLUENTPRO_OPS_TOKEN=0123456789abcdef"}
	code, stdout, stderr := cli(t, env, "ops state list --state generating --limit 5 --filter owner=n1 --filter owner=n2")
	if code != exitOK {
		t.Fatalf("%d %s", code, stderr)
	}
	if u := <-asked; u.RawQuery != "limit=5&owner=n1&owner=n2&state=generating" {
		t.Errorf("asked %s", u.RawQuery)
	}
	want := "" +
		"ID  STATE       OWNER.NODE  OWNER.ALIVE  VIEWERS  ANOMALIES   OWNER  LAG\n" +
		"c1  generating  n1          yes          v1       -           -      -\n" +
		"c2  idle·[31m   -           -            -        owner_dead  -      3\n"
	if stdout != want {
		t.Errorf("got\n%swant\n%s", stdout, want)
	}
	if want := "next: abc\nsources: redis=timeout sql=ok\nnodes: id=n1 age_s=2.913\nnodes: id=n2\n"; stderr != want {
		t.Errorf("notes: got\n%swant\n%s", stderr, want)
	}
	_, stdout, _ = cli(t, env, "ops state list --no-headers")
	if strings.Contains(stdout, "STATE") || strings.Contains(stdout, "\x1b") {
		t.Errorf("got %s", stdout)
	}
	_, stdout, _ = cli(t, env, "ops state list -o json")
	if !strings.Contains(stdout, `"next":"abc"`) {
		t.Errorf("got %s", stdout)
	}
}

func TestOpsStateGet(t *testing.T) {
	t.Parallel()
	addr, _ := operators(t)
	code, stdout, stderr := cli(t, []string{"FLUENTPRO_OPS_TOKEN=0123456789abcdef"}, "ops state get c1 --url http://"+addr+"/")
	want := "id                 c1\nlock.held          yes\nlock.age_ms        12\nviewers[0].cursor  1.a.5\nviewers[0].lag     2\nanomalies          x,y\n"
	if code != exitOK || stdout != want {
		t.Fatalf("%d %s\ngot\n%swant\n%s", code, stderr, stdout, want)
	}
}

func TestOpsExitCodes(t *testing.T) {
	t.Parallel()
	addr, _ := operators(t)
	token := []string{"FLUENTPRO_OPS_TOKEN=0123456789abcdef"}
	for _, tc := range []struct {
		env  []string
		args string
		code int
		says string
	}{
		{token, "nosuch", exitNotFound, "Not found."},
		{token, "nosuch -o json", exitNotFound, `{"code":"not_found","exit_code":3,"message":"Not found."}`},
		{nil, "c1", exitNotAllowed, "FLUENTPRO_OPS_TOKEN"},
		{token, "gone", exitUnavailable, "Storage does not answer"},
		{token, "taken", exitConflict, "Conflict"},
		{token, "broken", exitFailure, "Internal Server Error"},
		{token, "html", exitFailure, "is that the operators' listener"},
		{token, "moved", exitFailure, "Found"},
		{token, "word", exitFailure, "neither an object nor a list"},
		{token, "slow --timeout 30ms", exitTimeout, "no answer"},
		{[]string{"FLUENTPRO_LEASE=x"}, "c1", exitUsage, "FLUENTPRO_LEASE"},
	} {
		code, stdout, stderr := cli(t, tc.env, "ops state get --url http://"+addr+" "+tc.args)
		if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: code %d (want %d), stdout %q, stderr %q", tc.args, code, tc.code, stdout, stderr)
		}
	}
	if code, stdout, _ := cli(t, token, "ops state get list --url http://"+addr); code != exitOK || !strings.Contains(stdout, "1,2") {
		t.Errorf("a list: %d %s", code, stdout)
	}
	if code, _, _ := cli(t, token, "ops state list --url http://127.0.0.1:1"); code != exitUnavailable {
		t.Errorf("no server: %d", code)
	}
}

func TestTablePaintsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	d, err := parseDoc([]byte(`{"items":[{"id":"a","anomalies":["x"]},{"id":"b","anomalies":[]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := d.rows()
	var b strings.Builder
	table{headers: true, color: true}.list(&b, rows)
	lines := strings.Split(b.String(), "\n")
	if !strings.HasPrefix(lines[0], "\x1b[1m") || !strings.HasPrefix(lines[1], "\x1b[31m") || strings.Contains(lines[2], "\x1b") {
		t.Errorf("got %q", lines)
	}
	if _, err := parseDoc([]byte(strings.Repeat("[", 100))); err == nil {
		t.Error("a bottomless document is read")
	}
}
