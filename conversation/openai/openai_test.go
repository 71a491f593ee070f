package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a client of a scripted server with a memory of its call records.
type rig struct {
	*Client
	srv     *fake.Server
	mu      sync.Mutex
	records []CallRecord
}

func (r *rig) record() CallRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) == 0 {
		return CallRecord{}
	}
	return r.records[len(r.records)-1]
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	srv, err := fake.Listen(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{srv: srv}
	if cfg.BaseURL == "" {
		cfg.BaseURL = srv.URL
	}
	cfg.APIKey = "sk-very-secret-key-1234567890"
	if cfg.RetryBase == 0 {
		cfg.RetryBase = time.Millisecond
	}
	cfg.OnCall = func(c CallRecord) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.records = append(r.records, c)
	}
	if r.Client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Client.Close()
		if err := srv.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// say runs one prompt and returns what was emitted.
func (r *rig) say(t testing.TB, ctx context.Context, p conversation.Prompt) (string, conversation.Finish, error) {
	t.Helper()
	var b strings.Builder
	if p.Messages == nil {
		p.Messages = []conversation.Message{{Role: "system", Content: "You are a partner."}, {Role: "user", Content: "secret learner text"}}
	}
	fin, err := r.Generate(ctx, p, func(s string) error {
		if !utf8.ValidString(s) || s == "" {
			t.Errorf("emitted %q", s)
		}
		b.WriteString(s)
		return nil
	})
	if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "127.0.0.1")) {
		t.Errorf("error tells too much: %v", err)
	}
	return b.String(), fin, err
}

var short = upstream.Timeouts{FirstContent: 400 * time.Millisecond, Idle: 300 * time.Millisecond, Total: 5 * time.Second, Tail: 100 * time.Millisecond}

func TestFaultModels(t *testing.T) {
	t.Parallel()
	full := fake.Checkable(fake.Tag("secret learner text"), 8)
	for _, tc := range []struct {
		model   string
		tokens  int // whole tokens of text that are shown
		finish  string
		code    fault.Code
		retries int
		end     upstream.End
	}{
		{"checkable-8", 8, "stop", "", 0, upstream.EndDone},
		{"fault-silent", 0, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-headers", 0, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-comments", 0, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-comments-first-1000", 8, "stop", "", 0, upstream.EndDone},
		{"fault-slow-first-1000", 0, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-slow-first-50", 8, "stop", "", 0, upstream.EndDone},
		{"fault-stall-5", 5, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-stall-comments-5", 5, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-cut-5", 5, "", fault.UpstreamTruncated, 0, upstream.EndTruncated},
		{"fault-cut-0", 0, "", fault.UpstreamTruncated, 1, upstream.EndTruncated},
		{"fault-rst-5", 5, "", fault.UpstreamTruncated, 0, upstream.EndTruncated},
		{"fault-no-done", 8, "stop", "", 0, upstream.EndFinish},
		{"fault-no-finish", 8, "", fault.UpstreamTruncated, 0, upstream.EndTruncated},
		{"fault-done-open", 8, "stop", "", 0, upstream.EndDone},
		{"fault-finish-open", 8, "stop", "", 0, upstream.EndFinish},
		{"fault-utf8-split", 8, "stop", "", 0, upstream.EndDone},
		{"fault-error-midstream-5", 5, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-error-midstream-0", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-error-space-5", 5, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-error-late-5", 5, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-error-event-5", 5, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-error-noline-5", 5, "", fault.UpstreamTimeout, 0, upstream.EndTimeout},
		{"fault-finish-error-5", 5, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-filter-5", 5, "content_filter", "", 0, upstream.EndDone},
		{"fault-filter-0", 0, "", fault.UpstreamFiltered, 0, upstream.EndDone},
		{"fault-refusal", 0, "", fault.UpstreamFiltered, 0, upstream.EndDone},
		{"fault-reasoning-4", 8, "stop", "", 0, upstream.EndDone},
		{"fault-starved", 0, "", fault.UpstreamTruncated, 0, upstream.EndDone},
		{"fault-empty", 0, "", fault.UpstreamInvalid, 1, upstream.EndDone},
		{"fault-200-error", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-json", 8, "stop", "", 0, upstream.EndFinish},
		{"fault-html", 0, "", fault.UpstreamInvalid, 1, upstream.EndInvalid},
		{"fault-502-html", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-garbage", 0, "", fault.UpstreamInvalid, 1, upstream.EndInvalid},
		{"fault-garbage-2", 2, "", fault.UpstreamInvalid, 0, upstream.EndInvalid},
		{"fault-redirect", 0, "", fault.UpstreamRejected, 0, upstream.EndError},
		{"fault-429", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-429-0", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-429--1", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-429-3600", 0, "", fault.UpstreamUnavailable, 0, upstream.EndError},
		{"fault-429-1ms", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-408", 0, "", fault.UpstreamTimeout, 1, upstream.EndError},
		{"fault-409", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-500", 0, "", fault.UpstreamUnavailable, 1, upstream.EndError},
		{"fault-504", 0, "", fault.UpstreamTimeout, 1, upstream.EndError},
		{"fault-400", 0, "", fault.UpstreamRejected, 0, upstream.EndError},
		{"fault-401", 0, "", fault.UpstreamRejected, 0, upstream.EndError},
		{"fault-404", 0, "", fault.UpstreamRejected, 0, upstream.EndError},
		{"fault-empty-choices", 8, "stop", "", 0, upstream.EndDone},
		{"fault-nulls", 8, "stop", "", 0, upstream.EndDone},
		{"fault-index-1", 8, "stop", "", 0, upstream.EndDone},
		{"fault-double-finish", 8, "stop", "", 0, upstream.EndDone},
		{"fault-after-finish", 8, "stop", "", 0, upstream.EndDone},
		{"fault-crlf", 8, "stop", "", 0, upstream.EndDone},
		{"fault-multiline", 8, "stop", "", 0, upstream.EndDone},
		{"fault-nospace", 8, "stop", "", 0, upstream.EndDone},
		{"fault-noblank", 8, "stop", "", 0, upstream.EndDone},
		{"fault-long-line", 0, "", fault.UpstreamInvalid, 0, upstream.EndInvalid},
		{"fault-flood", 8, "stop", "", 0, upstream.EndDone},
		{"fault-gzip-bomb", 0, "", fault.UpstreamInvalid, 0, upstream.EndInvalid},
	} {
		t.Run(tc.model, func(t *testing.T) {
			t.Parallel()
			model := tc.model
			if strings.HasPrefix(model, "fault") {
				model = "checkable-8+" + model
			}
			r := newRig(t, Config{Model: model, Profile: Profile{Timeouts: short}, MaxRetries: 1})
			text, fin, err := r.say(t, t.Context(), conversation.Prompt{Correlation: "corr-1", Purpose: "partner", Version: "p1"})
			if want := prefixOf(full, tc.tokens); text != want || fin.Reason != tc.finish && err == nil || fault.CodeOf(err) != tc.code {
				t.Fatalf("%q %+v %v; want %q %q %q", text, fin, err, want, tc.finish, tc.code)
			}
			rec := r.record()
			if rec.Retries != tc.retries || rec.End != string(tc.end) || rec.Code != string(tc.code) || rec.Correlation != "corr-1" {
				t.Fatalf("record %+v; want %d retries, end %q", rec, tc.retries, tc.end)
			}
			if got := r.srv.Calls()[0].RequestID; got != "corr-1" {
				t.Errorf("upstream saw request id %q", got)
			}
		})
	}
}

func prefixOf(s string, tokens int) string {
	at := 0
	for ; tokens > 0; tokens-- {
		at += strings.IndexByte(s[at:], ' ') + 1
	}
	return s[:at]
}

func TestFixturesThroughTheClient(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../internal/upstream/testdata/streams/*.stream")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			top, body, _ := bytes.Cut(b, []byte("\n---\n"))
			head := map[string]string{}
			for _, l := range strings.Split(string(top), "\n") {
				k, v, _ := strings.Cut(l, ":")
				head[k] = strings.TrimPrefix(v, " ")
			}
			status, _ := strconv.Atoi(head["status"])
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", head["content-type"])
				w.WriteHeader(status)
				_, _ = w.Write(body)
			}))
			defer srv.Close()
			r := newRig(t, Config{BaseURL: srv.URL, Model: "m", MaxRetries: -1})
			text, fin, err := r.say(t, t.Context(), conversation.Prompt{})
			if text != head["text"] || string(fault.CodeOf(err)) != head["code"] || err == nil && fin.Reason != head["finish"] {
				t.Fatalf("%q %q %v; want %q %q %q", text, fin.Reason, err, head["text"], head["finish"], head["code"])
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(nil)
	srv.Close()
	r := newRig(t, Config{BaseURL: srv.URL, Model: "m"})
	_, _, err := r.say(t, t.Context(), conversation.Prompt{})
	if fault.CodeOf(err) != fault.UpstreamUnavailable || r.record().Retries != 2 {
		t.Fatalf("%v, %+v", err, r.record())
	}
}

func TestRetryAfterReachesTheCaller(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "fault-429-3600"})
	_, _, err := r.say(t, t.Context(), conversation.Prompt{})
	if got := fault.Of(err).RetryAfterMS; got != 3_600_000 {
		t.Fatalf("%d ms (%v)", got, err)
	}
}

func TestRetriesOnceThenAnswers(t *testing.T) {
	t.Parallel()
	for _, f := range [...]string{"fault-500-once", "fault-cut-0-once", "fault-429-0-once", "fault-html-once"} {
		r := newRig(t, Config{Model: "checkable-4+" + f})
		text, fin, err := r.say(t, t.Context(), conversation.Prompt{})
		if err != nil || text != fake.Checkable(fake.Tag("secret learner text"), 4) || fin.Reason != "stop" || r.record().Retries != 1 {
			t.Errorf("%s: %q %+v %v", f, text, fin, err)
		}
	}
}

func TestCancelClosesTheUpstreamAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "checkable-50+fault-stall-2"})
	why := errors.New("the learner pressed stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	n := 0
	_, err := r.Generate(ctx, conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}}, func(string) error {
		if n++; n == 2 {
			cancel(why)
		}
		return nil
	})
	if !errors.Is(err, why) {
		t.Fatalf("%v", err)
	}
	eventually(t, func() bool { return r.srv.Calls()[0].End == fake.EndCancelled })
	if rec := r.record(); rec.Code != "cancelled" || rec.End != string(upstream.EndCancelled) {
		t.Fatalf("%+v", rec)
	}
}

func TestCancelBeforeTheFirstByteAndInTheWait(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Model: "fault-silent"}, {Model: "fault-500", RetryBase: time.Hour}} {
		r := newRig(t, cfg)
		why := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := r.Generate(ctx, conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}}, func(string) error { return nil })
			done <- err
		}()
		eventually(t, func() bool { return len(r.srv.Calls()) == 1 })
		cancel(why)
		if err := <-done; !errors.Is(err, why) {
			t.Errorf("%s: %v", cfg.Model, err)
		}
	}
}

func TestEmitErrorEndsTheCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "checkable-50+fault-stall-2"})
	_, err := r.Generate(t.Context(), conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}}, func(string) error { return conversation.ErrFenced })
	if !errors.Is(err, conversation.ErrFenced) {
		t.Fatal(err)
	}
	eventually(t, func() bool { return r.srv.Calls()[0].End == fake.EndCancelled })
	if len(r.srv.Calls()) != 1 || r.record().Code != "emit" {
		t.Fatalf("%+v", r.record())
	}
}

func TestContinuation(t *testing.T) {
	t.Parallel()
	full := fake.Checkable(fake.Tag("secret learner text"), 12)
	for _, strategy := range [...]string{ContinuePrefix, ContinueInstruct, ContinueAuto} {
		for cut := 1; cut < len(full); cut += 7 {
			r := newRig(t, Config{Model: "checkable-12", Profile: Profile{Continue: strategy}})
			text, fin, err := r.say(t, t.Context(), conversation.Prompt{Kept: full[:cut]})
			if err != nil || fin.Reason != "stop" {
				t.Fatalf("%s at %d: %v", strategy, cut, err)
			}
			whole, want := full[:cut]+text, full
			if strategy != ContinuePrefix {
				// Words alone cannot tell whether a word was cut in two.
				whole, want = strings.ReplaceAll(whole, " ", ""), strings.ReplaceAll(want, " ", "")
			}
			if whole != want {
				t.Fatalf("%s at %d: %q", strategy, cut, text)
			}
		}
	}
}

func TestAutoLearnsTheScriptedServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "checkable-6"})
	if _, _, err := r.say(t, t.Context(), conversation.Prompt{}); err != nil {
		t.Fatal(err)
	}
	full := fake.Checkable(fake.Tag("secret learner text"), 6)
	text, _, err := r.say(t, t.Context(), conversation.Prompt{Kept: full[:13]})
	if err != nil || full[:13]+text != full || r.record().Strategy != ContinuePrefix {
		t.Fatalf("%q %v %+v", text, err, r.record())
	}
}

func TestScenarioOverTheWire(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Model: "scripted"})
	pieces := 0
	var b strings.Builder
	fin, err := r.Generate(t.Context(), conversation.Prompt{
		Purpose: "scenario", Schema: json.RawMessage(`{"type":"object"}`), SchemaName: "scenario",
		Messages: []conversation.Message{{Role: "user", Content: `{"industry":"insurance","job_role":"Claims handler","partner":"customers","situation":"phone_calls","level":"A2"}`}},
	}, func(s string) error { pieces++; b.WriteString(s); return nil })
	if err != nil || fin.Reason != "stop" || pieces < 100 || !json.Valid([]byte(b.String())) || !strings.Contains(b.String(), "Claims handler") {
		t.Fatalf("%d pieces, %+v %v: %s", pieces, fin, err, b.String())
	}
	if rec := r.record(); rec.Estimated || rec.OutputTokens < 100 || rec.PromptTokens == 0 || rec.ModelServed != "scripted" || rec.FirstToken <= 0 || rec.RequestID == "" {
		t.Fatalf("%+v", rec)
	}
}

func TestConnectionsAreReusedAndNothingLeaks(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	h := fake.New(fake.Options{})
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	r := newRig(t, Config{BaseURL: srv.URL + "/v1", Model: "checkable-5"})
	for range 20 {
		if _, _, err := r.say(t, t.Context(), conversation.Prompt{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n > 2 {
		t.Errorf("%d connections for 20 answers", n)
	}
}

func TestRetryBudget(t *testing.T) {
	t.Parallel()
	var b budget
	taken := 0
	for range 100 {
		b.call()
		if b.take() {
			taken++
		}
	}
	if taken < budgetFloor || taken > budgetFloor+25 {
		t.Fatalf("%d retries for 100 calls", taken)
	}
}

func TestNewRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{BaseURL: "", Model: "m"}, {BaseURL: "ftp://x/v1", Model: "m"}, {BaseURL: "http://u:p@x/v1", Model: "m"},
		{BaseURL: "http://x/v1?key=1", Model: "m"}, {BaseURL: "http://x/v1"}, {BaseURL: "http://x/v1", Model: "m", Profile: Profile{Continue: "magic"}},
		{BaseURL: "http://x/v1", Model: "m", Profile: Profile{CapField: "max_tokens"}}, {BaseURL: "http://x/v1", Model: "m", Preset: "gpt"},
		{BaseURL: "http://x/v1", Model: "m", Profile: Profile{Reasoning: Off}},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("did not happen in 5 s")
		}
	}
}
