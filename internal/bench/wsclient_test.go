package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A real server is the judge of the client's frames.
func TestSocketSpeaksToARealServer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 40_000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"conv.v1.json"}})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			_, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			switch string(msg) {
			case "ping":
				// The pong is read by CloseRead's reader, or here by Ping itself.
				ctx := c.CloseRead(r.Context())
				if err := c.Ping(ctx); err != nil {
					t.Errorf("no pong: %v", err)
				}
				_ = c.Close(4001, "bye")
				return
			case "long":
				msg = []byte(long)
			}
			if err := c.Write(r.Context(), websocket.MessageText, msg); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	if _, err := dialWS(t.Context(), srv.URL+"/", "wrong", 512); err == nil || !strings.Contains(err.Error(), "401") {
		t.Fatalf("a refusal reads %v", err)
	}
	c, err := dialWS(t.Context(), srv.URL+"/", "token", 512)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, want := range []string{"", "short", strings.Repeat("x", 125), strings.Repeat("y", 126), strings.Repeat("z", 5000)} {
		if err := c.text(want); err != nil {
			t.Fatal(err)
		}
		if got, err := c.read(); err != nil || string(got) != want {
			t.Fatalf("%d bytes came back as %d, %v", len(want), len(got), err)
		}
	}
	if err := c.text("long"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.read(); err != nil || string(got) != long {
		t.Fatalf("a long frame came as %d bytes, %v", len(got), err)
	}
	if err := c.text("ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.read(); err == nil || !strings.Contains(err.Error(), "4001") || !strings.Contains(err.Error(), io.EOF.Error()) {
		t.Fatalf("the end reads %v", err)
	}
}
