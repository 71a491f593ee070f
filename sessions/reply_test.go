package sessions_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/streaming/aisdk"
)

// rows is a Runs.
type rows struct {
	mu   sync.Mutex
	rows map[int64]conversation.RunRow
}

func (r *rows) set(no int64, state, text string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row := conversation.RunRow{State: state, Text: text, Finish: "upstream_timeout", Updated: at.UnixMicro()}
	row.MessageID = "m2"
	r.rows[no] = row
}

func (r *rows) RunState(_ context.Context, _ conversation.LearnerID, _ conversation.ID, run int64) (conversation.RunRow, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	row, ok := r.rows[run]
	if !ok {
		return row, conversation.ErrNotFound
	}
	return row, nil
}

// replyRig serves one conversation's reply at /: with ?run=1 as if that run had
// just been asked for, else whatever is open.
type replyRig struct {
	*rig
	rows *rows
	talk *talk
	srv  *httptest.Server
}

func newReplyRig(t *testing.T, change func(*sessions.Config)) *replyRig {
	t.Helper()
	x := &replyRig{rows: &rows{rows: map[int64]conversation.RunRow{}}}
	x.rig = newRig(t, func(c *sessions.Config) {
		c.Runs = x.rows
		if change != nil {
			change(c)
		}
	})
	x.talk = x.src.talk("ann")
	x.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := sessions.ReplyRequest{Conversation: string(x.talk.id), ReplayEnded: time.Minute, Encoder: &aisdk.Encoder{}, Header: aisdk.Header,
			Transport: sessions.TransportAISDK, Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
				w.WriteHeader(fault.SpecOf(fault.CodeOf(err)).Status)
			}}
		if r.URL.Query().Has("run") {
			q.Begin = func(context.Context, conversation.LearnerID) (int64, int64, error) { return 1, 1, nil }
		}
		x.m.ServeReply(w, r, q)
	}))
	t.Cleanup(x.srv.Close)
	return x
}

// ask opens the stream.
func (x *replyRig) ask(query, token string) (status int, read func() (string, error)) {
	x.t.Helper()
	req, err := http.NewRequestWithContext(x.t.Context(), http.MethodGet, x.srv.URL+query, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := x.srv.Client().Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = res.Body.Close() })
	b := bufio.NewReader(res.Body)
	return res.StatusCode, func() (string, error) {
		for {
			line, err := b.ReadString('\n')
			if err != nil {
				return "", err
			}
			if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: "); ok {
				return data, nil
			}
		}
	}
}

func (x *replyRig) wants(read func() (string, error), want ...string) {
	x.t.Helper()
	for _, w := range want {
		got, err := read()
		if err != nil || !strings.Contains(got, w) {
			x.t.Fatalf("got %q, %v, want %q", got, err, w)
		}
	}
}

// cut wants the stream to end without an end: the client must see an error.
func (x *replyRig) cut(read func() (string, error)) {
	x.t.Helper()
	if got, err := read(); err == nil || err == io.EOF {
		x.t.Fatalf("got %q, %v, want a cut", got, err)
	}
}

const done = "[DONE]"

func TestReplyFromItsQuestion(t *testing.T) {
	t.Parallel()
	x := newReplyRig(t, nil)
	x.rows.set(1, conversation.RunPending, "", time.Now())
	_, read := x.ask("?run", "ann")
	x.wants(read, `"state":"queued"`)
	x.talk.begin()
	x.wants(read, `"start"`, `"start-step"`)
	x.talk.delta("Hello")
	x.wants(read, `"text-start"`, `"Hello"`)
	x.eventually("the inspector sees it", func() bool {
		st := x.m.Status()
		return len(st) == 1 && st[0].Transport == "aisdk" && x.m.Connections() == 1
	})
	_, second := x.ask("", "ann")
	x.wants(second, `"start"`, `"start-step"`, `"text-start"`, `"Hello"`)
	x.talk.delta(" you")
	x.talk.finish(false)
	x.wants(read, `" you"`, `"text-end"`, `"finish-step"`, `"finish"`, done)
	x.wants(second, `" you"`, `"text-end"`, `"finish-step"`, `"finish"`, done)
	if got, err := read(); err != io.EOF {
		t.Errorf("after the end: %q, %v", got, err)
	}
	x.eventually("all have left", func() bool { return x.m.Connections() == 0 })
	_, third := x.ask("?run", "ann") // the question once more
	x.wants(third, `"start"`, `"start-step"`, `"text-start"`, `"Hello you"`, `"text-end"`, `"finish-step"`, `"finish"`, done)
}

func TestReplyToOneWhoComesBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	learner := conversation.Turn{N: 1, Author: conversation.Learner, Run: 1}
	answer := conversation.Turn{N: 2, ID: "m2", Author: conversation.Partner, Run: 1, Text: "Hey", Finish: "stop", At: now.UnixMilli()}
	old := answer
	old.At = now.Add(-2 * time.Minute).UnixMilli()
	for _, tc := range []struct {
		name  string
		turns []conversation.Turn
		state string
		at    time.Time
		want  string // a part of the first data, "" for 204
	}{
		{"nothing", nil, "", now, ""},
		{"an opening", []conversation.Turn{answer}, "", now, ""},
		{"ended just now", []conversation.Turn{learner, answer}, "", now, `"start"`},
		{"ended long ago", []conversation.Turn{learner, old}, "", now, ""},
		{"failed just now", []conversation.Turn{learner}, conversation.RunFailed, now, `"start"`},
		{"failed long ago", []conversation.Turn{learner}, conversation.RunFailed, now.Add(-2 * time.Minute), ""},
	} {
		x := newReplyRig(t, nil)
		x.talk.state.Turns = tc.turns
		if tc.state != "" {
			x.rows.set(1, tc.state, "He", tc.at)
		}
		status, read := x.ask("", "ann")
		if (status == http.StatusNoContent) != (tc.want == "") {
			t.Errorf("%s: status %d", tc.name, status)
		} else if tc.want != "" {
			x.wants(read, tc.want)
		}
		if tc.state == conversation.RunFailed && tc.want != "" {
			x.wants(read, `"start-step"`, `"text-start"`, `"He"`, `"text-end"`, `(upstream_timeout)`, done)
		}
	}
	x := newReplyRig(t, nil)
	for token, want := range map[string]int{"bob": 404, "nobody": 401} {
		if status, _ := x.ask("", token); status != want {
			t.Errorf("%s: status %d, want %d", token, status, want)
		}
	}
	x.src.down = true
	if status, _ := x.ask("", "ann"); status != http.StatusServiceUnavailable {
		t.Errorf("without storage: status %d", status)
	}
}

// Whatever ends a stream before its reply is seen by the client.
func TestReplyIsCutNotEnded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*replyRig){
		"close":  func(x *replyRig) { x.m.Close() },
		"drain":  func(x *replyRig) { _ = x.m.Drain(within(x.t)) },
		"logout": func(x *replyRig) { x.m.CloseLearner("ann", "") },
		"a gap": func(x *replyRig) {
			x.talk.append(conversation.Event{Type: "partner.delta", Run: 1, Base: 1, At: 99, Text: "x"})
		},
		"no life": nil,
		"expiry":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newReplyRig(t, func(c *sessions.Config) {
				c.Times.DrainSpread, c.Times.DrainGrace = 50*time.Millisecond, 10*time.Millisecond
				if name == "no life" {
					c.Times.StreamLife = 100 * time.Millisecond
				}
			})
			if name == "expiry" {
				x.keys.set("ann", time.Now().Add(time.Second))
			}
			x.talk.begin()
			x.talk.delta("He")
			_, read := x.ask("", "ann")
			x.wants(read, `"start"`, `"start-step"`, `"text-start"`, `"He"`)
			if end != nil {
				end(x)
			}
			x.cut(read)
		})
	}
}

// A drain leaves a reply the time to end.
func TestReplyEndsWhileDraining(t *testing.T) {
	t.Parallel()
	x := newReplyRig(t, func(c *sessions.Config) { c.Times.DrainSpread = time.Minute })
	x.talk.begin()
	x.talk.delta("He")
	_, read := x.ask("", "ann")
	x.wants(read, `"start"`, `"start-step"`, `"text-start"`, `"He"`)
	gone := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { gone <- x.m.Drain(ctx) }()
	x.eventually("nobody is taken any more", func() bool { status, _ := x.ask("", "ann"); return status == http.StatusServiceUnavailable })
	x.talk.finish(false)
	x.wants(read, `"text-end"`, `"finish-step"`, `"finish"`, done)
	if err := <-gone; err != nil {
		t.Error(err)
	}
}
