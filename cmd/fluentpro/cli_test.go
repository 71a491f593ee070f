package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeBinary()
		os.Exit(code)
	}))
}

// cli runs one command line; words are split at spaces.
func cli(t *testing.T, env []string, line string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), strings.Fields(line), env, &out, &talk)
	return code, out.String(), talk.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		line           string
		code           int
		stdout, stderr string
	}{
		{"--help", exitOK, "Exit codes:", ""},
		{"help", exitOK, "healthcheck  ask", ""},
		{"help config print", exitOK, "-o table|json|yaml", ""},
		{"help nonsense", exitUsage, "", `"nonsense" is not a command`},
		{"serve -h", exitOK, "--upstream-script-first-token", ""},
		{"config --help", exitOK, "check", ""},
		{"config", exitUsage, "", "Usage: fluentpro config"},
		{"nonsense", exitUsage, "", `"nonsense" is not a command`},
		{"config nonsense", exitUsage, "", "of fluentpro config"},
		{"--nonsense", exitUsage, "", "not defined"},
		{"config check --listen=a --listen=b", exitUsage, "", "given twice"},
		{"config print -o xml", exitUsage, "", "is none of"},
		{"ops state get", exitUsage, "", "usage: fluentpro ops state get <conversation>"},
		{"ops state get a b", exitUsage, "", "usage:"},
		{"ops state list --filter x", exitUsage, "", "name=value"},
		{"ops state list --limit -1", exitUsage, "", "negative"},
		{"ops state list --url ://x", exitUsage, "", "not an address"},
		{"ops state list --ops-listen off", exitUsage, "", "--url"},
		{"completion tcsh", exitUsage, "", "none of bash"},
		{"upstream fake --tokens-per-second -1", exitUsage, "", "negative"},
		{"\xff", exitUsage, "", "UTF-8"},
		{"version", exitOK, "fluentpro ", ""},
	} {
		code, stdout, stderr := cli(t, nil, tc.line)
		if code != tc.code || !strings.Contains(stdout, tc.stdout) || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%q: code %d (want %d)\nstdout %s\nstderr %s", tc.line, code, tc.code, stdout, stderr)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	env := []string{"OPENAI_API_KEY=sk-hunter2", "FLUENTPRO_OPS_TOKEN=hunter2hunter2hunter2"}
	var visit func(cmd *command, path []string)
	visit = func(cmd *command, path []string) {
		if cmd.hidden || cmd.anyArgs {
			return
		}
		if cmd.short == "" {
			t.Errorf("%v has no description", path)
		}
		code, stdout, stderr := cli(t, env, strings.Join(append(path, "--help"), " "))
		if code != exitOK || !strings.HasPrefix(stdout, "fluentpro") || stderr != "" || strings.Contains(stdout, "hunter2") {
			t.Errorf("%v --help: code %d, stdout %q, stderr %q", path, code, stdout, stderr)
		}
		for _, s := range cmd.subs {
			visit(s, append(slices.Clone(path), s.name))
		}
	}
	visit(commands(), nil)
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	code, stdout, _ := cli(t, nil, "config check")
	if code != exitOK || !strings.Contains(stdout, "profile development") {
		t.Errorf("good: %d %s", code, stdout)
	}
	code, _, stderr := cli(t, []string{"FLUENTPRO_LEASE=10", "FLUENTPRO_PROFILE=production"}, "config check")
	if code != exitUsage || !strings.Contains(stderr, "FLUENTPRO_LEASE ") || !strings.Contains(stderr, "FLUENTPRO_REDIS_URL ") {
		t.Errorf("bad: %d %s", code, stderr)
	}
	env := []string{"FLUENTPRO_LISTN=x"}
	if code, _, stderr = cli(t, env, "config check"); code != exitOK || !strings.Contains(stderr, "did you mean FLUENTPRO_LISTEN?") {
		t.Errorf("warning: %d %s", code, stderr)
	}
	if code, _, _ = cli(t, env, "config check --strict"); code != exitUsage {
		t.Errorf("strict: %d", code)
	}
	if code, _, stderr = cli(t, []string{"FLUENTPRO_PROFILE=production"}, "serve"); code != exitUsage || !strings.Contains(stderr, "FLUENTPRO_DATABASE_URL must name") {
		t.Errorf("serve: %d %s", code, stderr)
	}
}

func TestConfigPrintMasksAndRoundTrips(t *testing.T) {
	t.Parallel()
	env := []string{"FLUENTPRO_UPSTREAM_API_KEY=hunter2", "FLUENTPRO_DATABASE_URL=postgres://u:hunter2@h/d", "FLUENTPRO_LEASE=7s", "FLUENTPRO_PUBLIC_ORIGINS=https://a.example,https://b.example"}
	for _, format := range []string{"table", "json", "yaml"} {
		code, stdout, _ := cli(t, env, "config print -o "+format+" --log-level debug")
		if code != exitOK || strings.Contains(stdout, "hunter2") || !strings.Contains(stdout, "flag --log-level") || !strings.Contains(stdout, "7s") {
			t.Errorf("%s: %d %s", format, code, stdout)
		}
		if format != "yaml" {
			continue
		}
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := configs.Load(configs.Input{Env: []string{"FLUENTPRO_CONFIG=" + file}})
		if err != nil || c.Lease != 7*time.Second || len(c.PublicOrigins) != 2 {
			t.Errorf("the printed file does not load: %v\n%s", err, stdout)
		}
	}
	code, stdout, _ := cli(t, []string{"FLUENTPRO_LEASE=10"}, "config print")
	if code != exitUsage || !strings.Contains(stdout, "heartbeat") {
		t.Errorf("with a mistake: %d %s", code, stdout)
	}
	var values []configs.Value
	_, stdout, _ = cli(t, nil, "config env -o json")
	if err := json.Unmarshal([]byte(stdout), &values); err != nil || len(values) < 25 {
		t.Errorf("env as JSON: %v, %d values", err, len(values))
	}
	if _, stdout, _ = cli(t, nil, "config env"); !strings.Contains(stdout, "FLUENTPRO_UPSTREAM_API_KEY_FILE") {
		t.Errorf("env: %s", stdout)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, env []string) {
		code, stdout, stderr := cli(t, env, "migrate status")
		if code != exitConflict || !strings.Contains(stderr, "behind") || strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("before: %d %s %s", code, stdout, stderr)
		}
		for range 2 {
			if code, _, stderr = cli(t, env, "migrate up"); code != exitOK {
				t.Fatalf("up: %d %s", code, stderr)
			}
		}
		if code, _, stderr = cli(t, env, "migrate status"); code != exitOK {
			t.Errorf("after: %d %s", code, stderr)
		}
	}
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); check(t, []string{"FLUENTPRO_DATA_DIR=" + t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		check(t, []string{"FLUENTPRO_DATABASE_URL=" + sqldbtest.PostgresURL(t)})
	})
	code, _, stderr := cli(t, []string{"FLUENTPRO_DATABASE_URL=postgres://u:hunter2@127.0.0.1:1/d?connect_timeout=1"}, "migrate up")
	if code != exitUnavailable || strings.Contains(stderr, "hunter2") {
		t.Errorf("no server: %d %s", code, stderr)
	}
	if code, _, _ = cli(t, []string{"FLUENTPRO_LEASE=x"}, "migrate up"); code != exitUsage {
		t.Errorf("bad configuration: %d", code)
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/livez" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	env := []string{"FLUENTPRO_LISTEN=0.0.0.0:" + port, "FLUENTPRO_LEASE=nonsense", "HTTP_PROXY=http://127.0.0.1:1"}
	if code, _, stderr := cli(t, env, "healthcheck"); code != exitOK {
		t.Errorf("alive: %d %s", code, stderr)
	}
	status = http.StatusServiceUnavailable
	if code, _, stderr := cli(t, env, "healthcheck"); code != exitFailure || !strings.Contains(stderr, "503") {
		t.Errorf("not well: %d %s", code, stderr)
	}
	for _, line := range []string{"healthcheck --url http://127.0.0.1:1/livez", "healthcheck --url ://", "healthcheck --url " + srv.URL + "/other"} {
		if code, _, _ := cli(t, env, line); code != exitFailure {
			t.Errorf("%s: %d, want 1", line, code)
		}
	}
}

func TestVersionIsJSON(t *testing.T) {
	t.Parallel()
	code, stdout, _ := cli(t, nil, "version -o json")
	var v map[string]any
	if err := json.Unmarshal([]byte(stdout), &v); code != exitOK || err != nil || v["go"] == "" || v["version"] == "" {
		t.Fatalf("%d %v %s", code, err, stdout)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		words []string
		want  string
	}{
		{[]string{"c"}, "completion config"},
		{[]string{"config", ""}, "check env print"},
		{[]string{"ops", "state", "l"}, "list"},
		{[]string{"ops", "state", "list", "--no"}, "--no-color --no-headers"},
		{[]string{"--lis"}, "--listen"},
		{[]string{"completion", ""}, "bash fish zsh"},
		{[]string{"__"}, ""},
	} {
		var out bytes.Buffer
		run(t.Context(), append([]string{"__complete"}, tc.words...), nil, &out, &out)
		if got := strings.Join(strings.Fields(out.String()), " "); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.words, got, tc.want)
		}
	}
	var all bytes.Buffer
	run(t.Context(), []string{"__complete"}, nil, &all, &all)
	if words := strings.Fields(all.String()); !slices.IsSorted(words) || !slices.Contains(words, "serve") || slices.Contains(words, "__complete") {
		t.Errorf("nothing typed yet: %q", words)
	}
	// Every shell that is here reads its script.
	for shell, args := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		code, script, _ := cli(t, nil, "completion "+shell)
		if code != exitOK || !strings.Contains(script, "__complete") {
			t.Errorf("%s: %d %s", shell, code, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), shell, append(args, file)...).CombinedOutput(); err != nil {
			t.Errorf("%s refuses its script: %v %s", shell, err, out)
		}
	}
}

func TestUpstreamFakeServesAndStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	port := testenv.FreePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	done := make(chan int, 1)
	var out, talk bytes.Buffer
	go func() {
		done <- run(ctx, []string{"upstream", "fake", "--listen", addr, "--first-token", "0s", "--tokens-per-second", "0"}, nil, &out, &talk)
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	testenv.Eventually(t, 10*time.Second, func() error {
		resp, err := client.Get("http://" + addr + "/v1/models")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	resp, err := client.Post("http://"+addr+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"checkable-3","stream":true,"messages":[{"role":"user","content":"[tag abc] hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	_, _ = body.ReadFrom(resp.Body)
	_ = resp.Body.Close()
	if !strings.Contains(body.String(), "abc.2") || !strings.Contains(body.String(), "[DONE]") {
		t.Errorf("the answer is not whole: %s", body.String())
	}
	if code, _, stderr := cli(t, nil, "upstream fake --listen "+addr); code != exitFailure || !strings.Contains(stderr, "in use") {
		t.Errorf("a taken port: %d %s", code, stderr)
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("ended with %d: %s", code, talk.String())
	}
	if out.String() != "http://"+addr+"/v1\n" {
		t.Errorf("stdout is not the address alone: %q", out.String())
	}
}
