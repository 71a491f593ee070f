package sessions_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/sessions"
)

// stream opens an event stream and returns its lines.
func (r *rig) stream(id conversation.ID, h http.Header) (lines <-chan string, stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL+"/api/v2/conversations/"+string(id)+"/events", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ann")
	for k, v := range h {
		req.Header[k] = v
	}
	res, err := r.srv.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		r.t.Fatalf("status %d, %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	out := make(chan string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		sc := bufio.NewScanner(res.Body)
		for sc.Scan() {
			out <- sc.Text()
		}
	}()
	stop = func() { cancel(); _ = res.Body.Close(); <-done }
	r.t.Cleanup(stop)
	return out, stop
}

func (r *rig) wantLines(lines <-chan string, want ...string) {
	r.t.Helper()
	deadline := time.After(patience)
	for n, w := range want {
		select {
		case got, ok := <-lines:
			if !ok || got != w {
				r.t.Fatalf("line %d: got %q (open %v), want %q", n, got, ok, w)
			}
		case <-deadline:
			r.t.Fatalf("line %d never came, want %q", n, w)
		}
	}
}

// wantRetry reads the reconnection time, which is 1 s ± 50 %.
func (r *rig) wantRetry(lines <-chan string) int {
	r.t.Helper()
	select {
	case l := <-lines:
		ms, err := strconv.Atoi(strings.TrimPrefix(l, "retry: "))
		if err != nil || !strings.HasPrefix(l, "retry: ") || ms < 500 || ms >= 1500 {
			r.t.Fatalf("the stream begins with %q", l)
		}
		return ms
	case <-time.After(10 * time.Second):
		r.t.Fatal("the stream does not begin")
	}
	return 0
}

// Viewers of a killed node come back when their stream has said, not all at
// once.
func TestStreamsComeAgainApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	told := map[int]bool{}
	for range 8 {
		lines, stop := r.stream(talk.id, nil)
		told[r.wantRetry(lines)] = true
		stop()
	}
	if len(told) == 1 {
		t.Errorf("all were told to come again after %v ms", told)
	}
}

const deltaData = `data: {"v":1,"seq":4,"cur":"1.abc.4","type":"partner.delta","run":1,"attempt":1,"base":1,"ts":1,"data":{"at":0,"text":"Good"}}`

func TestStreamReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	talk.begin()
	// The header wins over the query, as in a browser that reconnects.
	lines, stop := r.stream(talk.id, http.Header{"Last-Event-Id": {"1.abc.3"}})
	r.wantRetry(lines)
	r.wantLines(lines, "", ": fluentpro", "", "id: 1.abc.3", "", `data: {"v":1,"type":"caught_up","cur":"1.abc.3"}`, "")
	talk.delta("Good")
	r.wantLines(lines, "id: 1.abc.4", deltaData, "")
	r.eventually("it is shown", func() bool {
		st := r.m.Status()
		return len(st) == 1 && st[0].Transport == "sse" && st[0].Cursor == "1.abc.4" && st[0].User == "ann"
	})
	stop()
	r.eventually("the feed is closed", func() bool { return talk.watchers() == 0 && r.m.Connections() == 0 })
	if got := talk.cursors(); len(got) != 1 || got[0] != "1.abc.3" {
		t.Fatalf("asked for %v", got)
	}
}

func TestStreamSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	for _, tc := range []struct {
		cursor string
		reset  bool
	}{{"", false}, {"7.zzz.1", true}, {"<script>", true}} {
		lines, stop := r.stream(talk.id, http.Header{"Last-Event-Id": {tc.cursor}})
		r.wantRetry(lines)
		r.wantLines(lines, "", ": fluentpro", "")
		if tc.reset {
			if l := <-lines; !strings.HasPrefix(l, `data: {"v":1,"type":"reset","reason":"`) {
				t.Fatalf("got %q", l)
			}
			r.wantLines(lines, "")
		}
		r.wantLines(lines, "id: 1.abc.1")
		l := strings.TrimPrefix(<-lines, "data: ")
		var snap struct {
			V     int
			Type  string
			Cur   string
			State conversation.State
		}
		if err := json.Unmarshal([]byte(l), &snap); err != nil || snap.V != 1 || snap.Type != "snapshot" || snap.Cur != "1.abc.1" || snap.State.Header.ID != talk.id {
			t.Fatalf("got %q, %v", l, err)
		}
		stop()
	}
}

func TestStreamStatuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk, foreign := r.src.talk("ann"), r.src.talk("bob")
	talk.begin()
	talk.finish(true)
	own := []string{r.srv.URL}
	native := []string{"text/event-stream"}
	ann := []string{"Bearer ann"}
	for _, tc := range []struct {
		name   string
		id     conversation.ID
		h      http.Header
		status int
		body   string
	}{
		{"ended and caught up", talk.id, http.Header{"Authorization": ann, "Last-Event-Id": {"1.abc.5"}}, 204, ""},
		{"ended, something left", talk.id, http.Header{"Authorization": ann, "Last-Event-Id": {"1.abc.4"}}, 200, "conversation.ended"},
		{"ended, from the start", talk.id, http.Header{"Authorization": ann}, 200, "snapshot"},
		{"foreign", foreign.id, http.Header{"Authorization": ann}, 404, "not_found"},
		{"foreign, native", foreign.id, http.Header{"Authorization": ann, "Accept": native}, 404, "not_found"},
		{"garbage", "zzz", http.Header{"Authorization": ann}, 404, "not_found"},
		{"no token", talk.id, nil, 401, "unauthenticated"},
		{"no token, fetch", talk.id, http.Header{"Accept": native, "X-Conv-Client": {"web/1"}}, 401, "unauthenticated"},
		{"no token, native", talk.id, http.Header{"Accept": native}, 200, `"code":"unauthenticated"`},
		{"cookie", talk.id, http.Header{"Cookie": {"fp_access=ann"}, "Sec-Fetch-Site": {"same-origin"}}, 200, "snapshot"},
		{"cookie, own origin", talk.id, http.Header{"Cookie": {"fp_access=ann"}, "Origin": own}, 200, "snapshot"},
		{"cookie, foreign origin", talk.id, http.Header{"Cookie": {"fp_access=ann"}, "Origin": {"https://evil.example"}}, 403, "foreign_origin"},
		{"cookie, foreign origin, native", talk.id, http.Header{"Cookie": {"fp_access=ann"}, "Origin": {"https://evil.example"}, "Accept": native}, 403, "foreign_origin"},
		{"cookie, cross-site", talk.id, http.Header{"Cookie": {"fp_access=ann"}, "Sec-Fetch-Site": {"cross-site"}}, 403, "foreign_origin"},
	} {
		res, body := r.get("/api/v2/conversations/"+string(tc.id)+"/events", tc.h)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.body) {
			t.Errorf("%s: got %d %q, want %d with %q", tc.name, res.StatusCode, body, tc.status, tc.body)
		}
		if res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: content type %q", tc.name, res.Header.Get("Content-Type"))
		}
	}
	r.src.mu.Lock()
	r.src.down = true
	r.src.mu.Unlock()
	if res, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": ann}); res.StatusCode != 503 || strings.Contains(body, "10.0.0.7") {
		t.Errorf("storage down: %d %q", res.StatusCode, body)
	}
	res, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": ann, "Accept": native})
	if res.StatusCode != 200 || !strings.HasPrefix(body, "retry: ") || !strings.Contains(body, `"code":"storage_unavailable"`) {
		t.Errorf("storage down, native: %d %q", res.StatusCode, body)
	}
	r.src.mu.Lock()
	r.src.down = false
	r.src.mu.Unlock()
}

func TestStreamLife(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *sessions.Config) {
		c.Times.Heartbeat, c.Times.StreamLife = 30*time.Millisecond, 200*time.Millisecond
	})
	talk := r.src.talk("ann")
	lines, _ := r.stream(talk.id, nil)
	beats := 0
	for l := range lines { // ends by itself, cleanly
		if l == "event: hb" {
			beats++
			if d := <-lines; !strings.HasPrefix(d, `data: {"ts":1`) {
				t.Fatalf("got %q", d)
			}
		}
	}
	if beats < 2 {
		t.Fatalf("%d heartbeats", beats)
	}
	r.keys.set("ann:short", time.Now().Add(80*time.Millisecond))
	_, body := r.get("/api/v2/conversations/"+string(talk.id)+"/events", http.Header{"Authorization": {"Bearer ann:short"}})
	if !strings.Contains(body, `"type":"error","code":"token_expired"`) {
		t.Fatalf("ended with %q", body)
	}
}

type page struct {
	Events []struct {
		Seq, From int64
		Type      string
	}
	Cur  string
	More bool
	Code string
}

func (r *rig) log(id conversation.ID, query string) (int, page) {
	r.t.Helper()
	res, body := r.get("/api/v2/conversations/"+string(id)+"/log?"+query, http.Header{"Authorization": {"Bearer ann"}})
	var p page
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		r.t.Fatalf("%d %q: %v", res.StatusCode, body, err)
	}
	return res.StatusCode, p
}

func TestLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk, foreign := r.src.talk("ann"), r.src.talk("bob")
	talk.begin()
	talk.delta("a")
	talk.delta("b")
	talk.finish(false) // seq 6
	for _, tc := range []struct {
		query  string
		status int
		seqs   string
		cur    string
		more   bool
		code   string
	}{
		{"after=1.abc.0", 200, "1 2 3 4-5 6", "1.abc.6", false, ""},
		{"after=1.abc.3", 200, "4-5 6", "1.abc.6", false, ""},
		{"after=1.abc.1&limit=2", 200, "2 3", "1.abc.3", true, ""},
		{"after=1.abc.6", 200, "", "1.abc.6", false, ""},
		{"after=1.abc.6&wait=0", 200, "", "1.abc.6", false, ""},
		{"after=1.abc.5", 200, "6", "1.abc.6", false, ""},
		{"", 410, "", "", false, "cursor_gone"},
		{"after=1.abc.7", 410, "", "", false, "cursor_gone"},
		{"after=2.abc.3", 410, "", "", false, "cursor_gone"},
		{"after=nonsense", 410, "", "", false, "cursor_gone"},
		{"after=1.abc.1&limit=0", 422, "", "", false, "invalid"},
		{"after=1.abc.1&limit=1001", 422, "", "", false, "invalid"},
		{"after=1.abc.1&limit=x", 422, "", "", false, "invalid"},
		{"after=1.abc.1&wait=26", 422, "", "", false, "invalid"},
		{"after=1.abc.1&wait=-1", 422, "", "", false, "invalid"},
	} {
		status, p := r.log(talk.id, tc.query)
		var seqs []string
		for _, e := range p.Events {
			s := fmt.Sprint(e.Seq)
			if e.From != 0 {
				s = fmt.Sprintf("%d-%d", e.From, e.Seq)
			}
			seqs = append(seqs, s)
		}
		if status != tc.status || strings.Join(seqs, " ") != tc.seqs || p.Cur != tc.cur || p.More != tc.more || p.Code != tc.code {
			t.Errorf("%q: got %d %v %+v", tc.query, status, seqs, p)
		}
	}
	if status, p := r.log(foreign.id, "after=1.abc.0"); status != 404 || p.Code != "not_found" {
		t.Errorf("foreign: %d %+v", status, p)
	}
	if res, _ := r.get("/api/v2/conversations/"+string(talk.id)+"/log?after=1.abc.0", nil); res.StatusCode != 401 {
		t.Errorf("no token: %d", res.StatusCode)
	}
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	talk := r.src.talk("ann")
	talk.begin()
	got := make(chan page, 1)
	go func() {
		_, p := r.log(talk.id, "after=1.abc.3&wait=20")
		got <- p
	}()
	r.eventually("it waits", func() bool { st := r.m.Status(); return len(st) == 1 && st[0].Transport == "poll" })
	begun := time.Now()
	talk.delta("now")
	if p := <-got; len(p.Events) != 1 || p.Events[0].Seq != 4 || p.Cur != "1.abc.4" || time.Since(begun) > 5*time.Second {
		t.Fatalf("got %+v after %v", p, time.Since(begun))
	}
	if status, p := r.log(talk.id, "after=1.abc.4&wait=1"); status != 200 || len(p.Events) != 0 || p.Cur != "1.abc.4" {
		t.Fatalf("got %d %+v", status, p)
	}
}
