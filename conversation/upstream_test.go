package conversation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// spoken gives the rig's messages the roles that an upstream knows.
type spoken struct{ conversation.Model }

func (s spoken) Generate(ctx context.Context, p conversation.Prompt, emit func(string) error) (conversation.Finish, error) {
	for i := range p.Messages {
		p.Messages[i].Role = map[string]string{"partner": "assistant", "learner": "user"}[p.Messages[i].Role]
	}
	return s.Model.Generate(ctx, p, emit)
}

// TestNoTruncatedReplyIsStoredAsComplete has talks over the real client with
// upstreams that break off: for good, and once.
func TestNoTruncatedReplyIsStoredAsComplete(t *testing.T) {
	t.Parallel()
	srv, err := fake.Listen(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, f := range [...]string{"cut-3", "rst-3", "stall-2", "no-finish", "error-late-2"} {
		for _, once := range [...]string{"", "-once"} {
			t.Run(f+once, func(t *testing.T) {
				t.Parallel()
				c, err := openai.New(openai.Config{BaseURL: srv.URL, Model: "checkable-12+fault-" + f + once, MaxRetries: -1, Scripted: true,
					Profile: openai.Profile{Timeouts: upstream.Timeouts{FirstContent: 2 * time.Second, Idle: 100 * time.Millisecond}}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.Close)
				n := newNode(t, sqldbtest.SQLite(t), testenv.Miniredis(t).Addr(), spoken{c}, rigOptions{checkpoint: true, solo: true, mode: "m"})
				for i := range 2 {
					id := newChat(t, n)
					tag := fmt.Sprintf("t%d", i)
					send(t, n, id, "c", "[tag "+tag+"]")
					var st conversation.State
					eventually(t, "the reply has ended", func() bool {
						st = snapshot(t, n, id)
						return st.Failure != nil || lastTurn(st).N == 3
					})
					full, last := fake.Checkable(tag, 12), lastTurn(st)
					switch {
					case last.N == 3 && last.Finish == "stop" && last.Text != full:
						t.Errorf("stored as complete: %q", last.Text)
					case once != "" && last.Finish != "stop":
						t.Errorf("ended with %q and %s, although only one call failed", last.Finish, st.Failure)
					case once == "" && f != "no-finish" && st.Failure == nil:
						t.Errorf("no call was complete, and the reply is: %+v", last)
					}
				}
			})
		}
	}
}
