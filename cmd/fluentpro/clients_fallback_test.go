package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// Our own client, in Node against real processes, while the network gets worse
// within one answer: WebSocket, then nothing that upgrades, then no event
// streams either. It goes down to long polls and shows the answer exactly.
func TestClientFallsBackInMidAnswer(t *testing.T) {
	t.Parallel()
	d := newDrivers(t)
	c := newCluster(t)
	l, first := ready(t, c.a.base)
	tcp := testenv.NewProxy(t, c.a.addr()) // what is cut
	target, err := url.Parse("http://" + tcp.Addr)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, FlushInterval: -1}
	tr := &http.Transport{}
	forward.Transport = tr
	t.Cleanup(tr.CloseIdleConnections)
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	var upgrades, streams atomic.Bool // refused
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if upgrades.Load() && r.Header.Get("Upgrade") != "" || streams.Load() && strings.HasSuffix(r.URL.Path, "/events") {
			http.Error(w, "not through here", http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c.model.slow(6 * pace)
	g := d.guests(l, first, front.URL, "own")[0]
	whole := len(reply(g.tag))
	shown := 0
	connected := func(transport string) {
		t.Helper()
		g.until("connected over "+transport, func(e told) bool {
			shown = max(shown, e.Length)
			return e.Event == "status" && e.Reason == transport
		})
	}
	g.send()
	connected("websocket")
	g.reaches(whole / 10)
	upgrades.Store(true)
	tcp.DropAll()
	connected("sse")
	g.reaches(whole / 3)
	streams.Store(true)
	tcp.DropAll()
	connected("poll")
	if shown >= whole {
		t.Fatalf("all %d units were there before it polled", whole)
	}
	g.kind = "ws" // it shows every turn
	g.exact(g.ended(), true)
}
