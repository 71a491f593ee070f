package openai

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// verdicts are a report in one line.
func verdicts(r ProbeReport) string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.Name+"="+s.Verdict)
	}
	return strings.Join(out, " ")
}

func TestProbeFindsTheHabitsOfServers(t *testing.T) {
	t.Parallel()
	const good = "reach=ok model=ok usage=ok cap=ok temperature=ok schema=ok json=ok reasoning=ok context=ok cancel=ok"
	with := func(changes ...string) string {
		out := good
		for _, c := range changes {
			name, _, _ := strings.Cut(c, "=")
			out = strings.Replace(out, name+"=ok", c, 1)
		}
		return out
	}
	for _, tc := range []struct {
		model, preset, want string
		profile             func(Profile) bool
	}{
		{"obedient", "", good, func(p Profile) bool { return p.Structured == SchemaStrict && p.MaxContext == 0 }},
		{"obedient+quirk-drop-completion", "openai", with("model=adapted", "cap=adapted"), func(p Profile) bool { return p.CapField == CapTokens }},
		{"obedient+quirk-no-max_tokens", "", with("model=adapted"), func(p Profile) bool { return p.CapField == CapCompletion }},
		{"obedient+quirk-no-max_tokens+quirk-no-max_completion_tokens", "", with("model=adapted", "cap=missing"), func(p Profile) bool { return p.CapField == CapNone }},
		{"obedient+quirk-no-max_tokens+quirk-drop-completion", "", with("model=adapted", "cap=missing"), func(p Profile) bool { return p.CapField == CapNone }},
		{"obedient+quirk-no-temperature", "", with("model=adapted", "temperature=adapted"), func(p Profile) bool { return p.Temperature == Omit }},
		{"obedient+quirk-no-usage", "", with("model=adapted", "usage=adapted"), nil},
		{"obedient+quirk-no-stream_options", "", with("model=adapted", "usage=adapted"), func(p Profile) bool { return p.StreamUsage == Omit }},
		{"obedient+quirk-no-schema", "", with("model=adapted", "schema=adapted"), func(p Profile) bool { return p.Structured == SchemaObject }},
		{"obedient+quirk-no-response_format", "", with("model=adapted", "schema=adapted", "json=adapted"), func(p Profile) bool { return p.Structured == SchemaPrompt }},
		{"obedient+quirk-thinks", "", with("model=adapted", "reasoning=adapted"), func(p Profile) bool { return p.ReasoningOff == `reasoning_effort="none"` }},
		{"obedient+quirk-think-tags", "vllm", with("model=adapted", "reasoning=adapted"), func(p Profile) bool { return p.ThinkTags == Strip && p.ReasoningOff == thinkingOff }},
		{"obedient+quirk-ctx-3000", "ollama", with("model=adapted", "context=missing"), func(p Profile) bool { return p.MaxContext == 2048 }},
		{"obedient+quirk-refuse-3000", "", with("model=adapted"), func(p Profile) bool { return p.MaxContext == 3000 }},
	} {
		t.Run(tc.model, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{Model: tc.model, Preset: tc.preset})
			steps := 0
			got := r.Probe(t.Context(), ProbeOptions{MaxContext: 8 << 10, OnStep: func(ProbeStep) { steps++ }})
			if v := verdicts(got); v != tc.want || tc.profile != nil && !tc.profile(got.Profile) || steps != 10 {
				t.Fatalf("%s\nwant %s\n%+v\n%+v", v, tc.want, got.Steps, got.Profile)
			}
			for _, s := range got.Steps {
				if s.Detail == "" || strings.Contains(s.Detail, "127.0.0.1") {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

func TestProbeOfWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	for model, code := range map[string]fault.Code{"fault-401": fault.UpstreamRejected, "fault-404": fault.UpstreamRejected, "fault-503": fault.UpstreamUnavailable, "fault-html": fault.UpstreamInvalid} {
		r := newRig(t, Config{Model: model})
		got := r.Probe(t.Context(), ProbeOptions{})
		if got.Code != code || got.Steps[0].Verdict != ProbeFailed || got.Steps[9].Verdict != ProbeSkipped || len(r.srv.Calls()) != 1 {
			t.Errorf("%s: %s, %d calls", model, verdicts(got), len(r.srv.Calls()))
		}
	}
}

// TestProbeFindsAServerThatWritesOn has one slot, which an answer that nobody
// reads any more keeps for a while.
func TestProbeFindsAServerThatWritesOn(t *testing.T) {
	t.Parallel()
	var slot sync.Mutex
	h := fake.New(fake.Options{TokenDelay: time.Millisecond})
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slot.Lock()
		defer slot.Unlock()
		h.ServeHTTP(w, r)
		if r.Context().Err() != nil {
			wait, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 300*time.Millisecond)
			defer cancel()
			<-wait.Done()
		}
	}))
	r := newRig(t, Config{BaseURL: url + "/v1", Model: "obedient"})
	got := r.Probe(t.Context(), ProbeOptions{MaxContext: 1 << 10, CancelWithin: 100 * time.Millisecond})
	if s := got.Steps[9]; s.Verdict != ProbeMissing || got.Missing() != 1 {
		t.Fatalf("%+v", got.Steps)
	}
}
