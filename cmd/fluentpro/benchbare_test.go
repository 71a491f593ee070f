package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestTheBareRelayCarriesEveryToken(t *testing.T) {
	t.Parallel()
	up, err := fake.Listen(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Close() }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	relay := &bareRelay{client: client, upstream: up.URL, model: "checkable-30"}
	srv := httptest.NewServer(http.HandlerFunc(relay.serve))
	defer srv.Close()
	ws, resp, err := websocket.Dial(t.Context(), srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	if resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	want := fake.Checkable(fake.Tag("Please go on."), 30)
	for range 2 {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("go")); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		frames := 0
		for {
			_, msg, err := ws.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(msg) == 0 {
				break
			}
			got.Write(msg)
			frames++
		}
		if got.String() != want || frames != 30 {
			t.Fatalf("%d frames: %q", frames, got.String())
		}
	}
}

func TestBenchRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"bench", "relay", "--database-url", "postgres://x", "--learners", "0"},
		{"bench", "relay", "--database-url", "postgres://x", "--window", "1h"},
		{"bench", "idle", "--database-url", "postgres://x", "--connections", "1"},
		{"bench", "kill", "--database-url", "postgres://x", "--kills", "0"},
		{"bench", "relay"}, // no database
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, nil, &out, &errs); code != exitUsage || out.String() != "" {
			t.Errorf("%v: code %d, %s", args, code, errs.String())
		}
	}
}
