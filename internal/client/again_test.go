package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// An attach that failed because storage was away is asked for again; before,
// a viewer that came while Redis was restarting saw nothing until its socket
// broke.
func TestAFailedAttachIsAskedForAgain(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"conv.v1.json"}})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		ctx := r.Context()
		say := func(s string) { _ = c.Write(ctx, websocket.MessageText, []byte(s)) }
		for tries := 0; ; {
			_, raw, err := c.Read(ctx)
			if err != nil {
				return
			}
			var f struct{ T, Cur string }
			_ = json.Unmarshal(raw, &f)
			if f.T == "hello" {
				say(`{"t":"welcome","session":"s"}`)
			} else {
				asked <- f.T + f.Cur
			}
			if tries++; tries < 3 {
				say(`{"t":"err","c":"c","code":"storage_unavailable","retryable":true,"retry_ms":1}`)
				continue
			}
			say(`{"t":"sub_ok","c":"c","mode":"snapshot"}`)
			// From here on it is passing trouble, which mends itself.
			say(`{"t":"err","c":"c","code":"storage_unavailable","retryable":true,"retry_ms":1}`)
			say(`{"t":"snapshot","c":"c","cur":"1.a.1","state":{"conversation":{},"turns":[],"open":null}}`)
		}
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	v := NewView("c")
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	ws, err := DialWS(ctx, &Options{Bases: []string{srv.URL}, HTTP: &http.Client{Transport: tr}}, "", v)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Drop()
	if err := v.Wait(ctx, func(f *Fold) bool { return f.Cursor() == "1.a.1" }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-asked; got != "sub" {
			t.Errorf("asked with %q", got)
		}
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if len(ws.again) != 0 || len(asked) != 0 {
		t.Errorf("%d more tries wait, %d were made", len(ws.again), len(asked))
	}
}

// Whoever sees a run for the first time when it begins anew has lost nothing.
func TestAFirstSightThatIsARestart(t *testing.T) {
	t.Parallel()
	f := NewFold()
	e := Event{V: 1, Seq: 1, Cur: "1.a.1", Type: "partner.restarted", Run: 2, Attempt: 2, Base: 2}
	if got := f.Apply(e); got != Applied || len(f.Violations) != 0 {
		t.Errorf("%v, %v", got, f.Violations)
	}
	e.Seq, e.Cur = 2, "1.a.2"
	if f.Apply(e); len(f.Violations) != 1 {
		t.Errorf("the same base again: %v", f.Violations)
	}
}

func TestATapSeesEverythingThatComes(t *testing.T) {
	t.Parallel()
	v := NewView("c")
	var kinds []string
	v.OnTake(func(x Taken) { kinds = append(kinds, x.Kind+" "+x.Cur+x.Reason+x.Event.Type) })
	v.attached()
	for _, c := range []control{
		{Type: "reset", Reason: "ahead"},
		{Type: "snapshot", Cur: "1.a.1", State: json.RawMessage(`{"turns":[]}`)},
		{Type: "caught_up"},
		{Type: "goaway"},
	} {
		if err := v.control(c); err != nil {
			t.Fatal(err)
		}
	}
	v.events([]Event{{V: 1, Seq: 2, Cur: "1.a.2", Type: "x.y"}, {V: 1, Seq: 2, Cur: "1.a.2", Type: "x.y"}})
	v.asks()
	want := []string{"attach ", "reset ahead", "snapshot 1.a.1", "caught_up ", "event x.y", "event x.y", "attach 1.a.2"}
	if len(kinds) != len(want) {
		t.Fatalf("%q", kinds)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("%q, want %q", kinds[i], want[i])
		}
	}
}
