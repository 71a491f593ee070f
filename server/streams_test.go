package server

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// gin 1.11 broke the upgrade, and any middleware that wraps the writer could
// break streaming: both are proved through the whole chain on a real socket.
func TestStreamsPassTheChain(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := newFixture(t, func(d *Deps) {
		d.WebSocket = func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"conv.v1.json"}})
			if err != nil {
				return
			}
			defer func() { _ = c.CloseNow() }()
			_ = c.Write(r.Context(), websocket.MessageText, []byte("hello"))
		}
		d.Events = func(w http.ResponseWriter, _ *http.Request, _ string) {
			rc := http.NewResponseController(w)
			w.Header().Set("Content-Type", "text/event-stream")
			_ = rc.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(w, "retry: 1000\n\n")
			if err := rc.Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			_ = rc.SetWriteDeadline(time.Time{})
			<-release
			_, _ = io.WriteString(w, "data: 2\n\n")
		}
	})
	ts := httptest.NewUnstartedServer(f)
	ts.Config = HTTPServer(f, f.log)
	ts.Start()
	t.Cleanup(ts.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()

	c, res, err := websocket.Dial(ctx, ts.URL+Prefix+"/ws", &websocket.DialOptions{
		HTTPClient: ts.Client(), Subprotocols: []string{"conv.v1.json"}, HTTPHeader: http.Header{"Origin": {ts.URL}, "Cookie": {"fp_access=tok-ann"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if _, msg, err := c.Read(ctx); err != nil || string(msg) != "hello" || c.Subprotocol() != "conv.v1.json" || res.StatusCode != 101 {
		t.Fatalf("got %q %v", msg, err)
	}
	if _, res, err := websocket.Dial(ctx, ts.URL+Prefix+"/ws", &websocket.DialOptions{
		HTTPClient: ts.Client(), HTTPHeader: http.Header{"Origin": {"https://evil.example"}, "Cookie": {"fp_access=tok-ann"}}}); err == nil || res.StatusCode != 403 {
		t.Fatalf("a foreign page is let in: %v", err)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.URL+Prefix+"/conversations/"+annsID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer tok-ann")
	sse, err := ts.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sse.Body.Close() }()
	r := bufio.NewReader(sse.Body)
	if line, err := r.ReadString('\n'); err != nil || line != "retry: 1000\n" {
		t.Fatalf("the first line did not come at once: %q %v", line, err)
	}
	close(release)
	rest, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(rest), "data: 2") {
		t.Fatalf("got %q %v", rest, err)
	}
	if sse.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("headers: %v", sse.Header)
	}
}
