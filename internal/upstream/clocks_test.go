package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// say is one thing that a scripted upstream does: wait, then write.
type say struct {
	after time.Duration
	text  string
}

const (
	piece   = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"
	thought = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"x\"}}]}\n\n"
	role    = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
	comment = ": wait\n\n"
	finish  = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	done    = "data: [DONE]\n\n"
)

// timed is an upstream that lives in the test's own time.
type timed struct {
	header time.Duration
	plan   []say
}

func (s timed) RoundTrip(r *http.Request) (*http.Response, error) {
	if !sleep(r.Context(), s.header) {
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: r,
		Body: &timedBody{ctx: r.Context(), plan: s.plan}}, nil
}

type timedBody struct {
	ctx  context.Context
	plan []say
}

func (b *timedBody) Read(p []byte) (int, error) {
	if len(b.plan) == 0 {
		return 0, io.EOF
	}
	next := b.plan[0]
	b.plan = b.plan[1:]
	if !sleep(b.ctx, next.after) {
		return 0, b.ctx.Err()
	}
	return copy(p, next.text), nil
}

func (b *timedBody) Close() error { return nil }

func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func repeat(n int, s ...say) (out []say) {
	for range n {
		out = append(out, s...)
	}
	return out
}

func TestClocks(t *testing.T) {
	t.Parallel()
	const never = time.Hour
	good := []say{{0, finish}, {0, done}}
	for name, tc := range map[string]struct {
		o    Options
		up   timed
		kind string // of the error, "" for a complete answer
		took time.Duration
	}{
		"no header":                      {Options{}, timed{never, nil}, "first_content", 20 * time.Second},
		"header, then silence":           {Options{}, timed{19 * time.Second, []say{{never, ""}}}, "first_content", 20 * time.Second},
		"role is no content":             {Options{}, timed{0, []say{{0, role}, {never, ""}}}, "first_content", 20 * time.Second},
		"first at 19 s":                  {Options{}, timed{0, append([]say{{19 * time.Second, piece}}, good...)}, "", 19 * time.Second},
		"first at 21 s":                  {Options{}, timed{0, append([]say{{21 * time.Second, piece}}, good...)}, "first_content", 20 * time.Second},
		"stall after text":               {Options{}, timed{0, []say{{0, piece}, {never, ""}}}, "stalled", 15 * time.Second},
		"14 s between pieces":            {Options{}, timed{0, append(repeat(5, say{14 * time.Second, piece}), good...)}, "", 70 * time.Second},
		"comments are no content":        {Options{}, timed{0, append([]say{{0, piece}}, repeat(1000, say{100 * time.Millisecond, comment})...)}, "stalled", 15 * time.Second},
		"comments before the first":      {Options{}, timed{0, repeat(1000, say{100 * time.Millisecond, comment})}, "first_content", 20 * time.Second},
		"comments are life if so set":    {Options{CommentsAreLife: true}, timed{0, append(repeat(60, say{time.Second, comment}), append([]say{{0, piece}}, good...)...)}, "", 60 * time.Second},
		"life ends with the whole":       {Options{CommentsAreLife: true}, timed{0, repeat(1000, say{time.Second, comment})}, "total", 90 * time.Second},
		"thinking is content":            {Options{}, timed{0, append(repeat(6, say{14 * time.Second, thought}), append([]say{{0, piece}}, good...)...)}, "", 84 * time.Second},
		"no end of thinking":             {Options{}, timed{0, repeat(1000, say{time.Second, thought})}, "total", 90 * time.Second},
		"finish, then silence":           {Options{}, timed{0, []say{{0, piece}, {0, finish}, {never, ""}}}, "", 2 * time.Second},
		"done, then silence":             {Options{}, timed{0, append([]say{{0, piece}}, append(good, say{never, ""})...)}, "", 20 * time.Millisecond},
		"its own limits":                 {Options{Timeouts: Timeouts{Idle: time.Second}}, timed{0, []say{{0, piece}, {2 * time.Second, piece}}}, "stalled", time.Second},
		"comments do not reset the idle": {Options{Timeouts: Timeouts{Idle: 3 * time.Second}}, timed{0, []say{{0, piece}, {2 * time.Second, comment}, {2 * time.Second, piece}}}, "stalled", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tc.o.Transport = tc.up
				begin := time.Now()
				_, call, err := read(t, t.Context(), New(tc.o), "http://x/v1")
				var ue *Error
				if tc.kind == "" && err != nil || tc.kind != "" && (!errors.As(err, &ue) || ue.Kind != tc.kind || fault.CodeOf(err) != fault.UpstreamTimeout) {
					t.Fatalf("%v %q, want %q", err, call.End, tc.kind)
				}
				if d := time.Since(begin); d != tc.took {
					t.Fatalf("took %v, want %v", d, tc.took)
				}
			})
		})
	}
}

// A store that takes its time must not look like a stalled model.
func TestSlowConsumerIsNotAStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := New(Options{Transport: timed{0, append(repeat(2, say{time.Second, piece}), say{0, finish}, say{0, done})}})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/v1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		resp, err := d.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b := make([]byte, 4096)
		for err == nil {
			_, err = resp.Body.Read(b)
			sleep(t.Context(), 16*time.Second)
		}
		if err != io.EOF {
			t.Fatal(err)
		}
	})
}

func TestCallersEndIsTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("handed over")
		for name, up := range map[string]timed{"before": {time.Hour, nil}, "within": {0, []say{{0, piece}, {time.Hour, ""}}}} {
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(time.Second, func() { cancel(why) })
			_, call, err := read(t, ctx, New(Options{Transport: up}), "http://x/v1")
			if !errors.Is(err, why) || call.End != EndCancelled {
				t.Errorf("%s: %v %q", name, err, call.End)
			}
			timer.Stop()
			cancel(nil)
		}
	})
}
