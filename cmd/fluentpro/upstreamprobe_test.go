package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// command runs the program in a home of its own.
func runCommand(t *testing.T, env []string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, append([]string{"HOME=" + t.TempDir()}, env...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func fakeUpstream(t *testing.T) string {
	t.Helper()
	srv, err := fake.Listen(fake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.URL
}

func TestUpstreamProbe(t *testing.T) {
	t.Parallel()
	url := fakeUpstream(t)
	for _, tc := range []struct {
		model string
		code  int
		want  string
	}{
		{"obedient", exitOK, "preset: generic"},
		{"obedient+quirk-no-temperature", exitOK, "temperature: omit"},
		{"obedient+quirk-ctx-3000", exitFailure, "max_context: 2048"},
		{"obedient+quirk-thinks", exitOK, `reasoning_off: 'reasoning_effort="none"'`},
		{"fault-401", exitNotAllowed, ""},
		{"fault-503", exitUnavailable, ""},
	} {
		env := []string{"FLUENTPRO_UPSTREAM_BASE_URL=" + url, "FLUENTPRO_UPSTREAM_MODEL=" + tc.model}
		code, out, errs := runCommand(t, env, "upstream", "probe", "-o", "yaml", "--max-context", "8192")
		if code != tc.code || !strings.Contains(out, tc.want) || code != exitOK && errs == "" {
			t.Errorf("%s: exit %d, %q, %q", tc.model, code, out, errs)
			continue
		}
		if out == "" {
			continue
		}
		// What is printed can be pasted.
		file := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := configs.Load(configs.Input{Env: env, Flags: map[string]string{"config": file}}); err != nil {
			t.Errorf("%s: %v\n%s", tc.model, err, out)
		}
	}
	code, out, _ := runCommand(t, []string{"FLUENTPRO_UPSTREAM_BASE_URL=" + url, "FLUENTPRO_UPSTREAM_MODEL=obedient"}, "upstream", "probe", "-o", "json", "--max-context", "1024")
	var report struct {
		Steps    []openai.ProbeStep
		Settings map[string]string
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK || len(report.Steps) != 10 || report.Settings["upstream.preset"] != "generic" {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, out, errs := runCommand(t, nil, "upstream", "probe"); code != exitUsage || out != "" || !strings.Contains(errs, "FLUENTPRO_UPSTREAM_BASE_URL") {
		t.Errorf("without an upstream: exit %d, %q", code, errs)
	}
}

func TestUpstreamList(t *testing.T) {
	t.Parallel()
	code, out, _ := runCommand(t, []string{"FLUENTPRO_UPSTREAM_BASE_URL=http://gpu:11434/v1", "FLUENTPRO_UPSTREAM_MODEL=llama", "FLUENTPRO_UPSTREAM_MAX_CONTEXT=9999",
		"FLUENTPRO_UPSTREAM_FALLBACK_BASE_URL=https://api.openai.com/v1", "FLUENTPRO_UPSTREAM_FALLBACK_MODEL=gpt-4.1-mini"}, "upstream", "list", "-o", "json")
	var got struct {
		Upstreams []struct {
			Upstream, Host, Model string
			Settings              map[string]string
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || len(got.Upstreams) != 12 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if u := got.Upstreams[0]; u.Settings["preset"] != "ollama" || u.Settings["max_context"] != "9999" || u.Host != "gpu:11434" {
		t.Errorf("%+v", u)
	}
	if u := got.Upstreams[1]; u.Upstream != "fallback" || u.Settings["preset"] != "openai" {
		t.Errorf("%+v", u)
	}
	if code, out, errs := runCommand(t, nil, "upstream", "list"); code != exitOK || strings.Count(out, "\n") != 11 || !strings.Contains(errs, "scripted") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestOpsCallsRing(t *testing.T) {
	t.Parallel()
	var r callRing
	for i := range keptCalls + 10 {
		r.add(openai.CallRecord{Purpose: []string{"partner", "scenario"}[i%2], Retries: i})
	}
	list := func(q map[string][]string) []callView {
		t.Helper()
		v, err := r.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return v.(map[string]any)["calls"].([]callView)
	}
	if got := list(nil); len(got) != defaultCalls || got[0].Retries != keptCalls+9 || got[1].Retries != keptCalls+8 {
		t.Fatalf("%d calls, newest %d", len(got), got[0].Retries)
	}
	if got := list(map[string][]string{"purpose": {"scenario"}, "limit": {"512"}}); len(got) != keptCalls/2 || got[0].Purpose != "scenario" || got[len(got)-1].Retries != 11 {
		t.Fatalf("%d calls, oldest %d", len(got), got[len(got)-1].Retries)
	}
	for _, q := range []map[string][]string{{"limit": {"0"}}, {"limit": {"x"}}, {"text": {"x"}}} {
		if _, err := r.List(t.Context(), q); err == nil {
			t.Errorf("%v is taken", q)
		}
	}
}
