package configs

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T, env ...string) *Config {
	t.Helper()
	c, err := Load(Input{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems loads what must not load and returns the text of the error.
func problems(t *testing.T, in Input) string {
	t.Helper()
	_, err := Load(in)
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("loaded (%v), want problems", err)
	}
	return err.Error()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingSetRunsEmbedded(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	c := load(t, "HOME="+home)
	if !c.EmbeddedDatabase() || !c.EmbeddedRedis() || !c.EmbeddedUpstream() {
		t.Fatalf("not embedded: %+v", c)
	}
	if c.Listen != "127.0.0.1:8080" || c.Ops.Listen != "127.0.0.1:8081" || c.Profile != Development {
		t.Fatalf("listen %s, ops %s, profile %s", c.Listen, c.Ops.Listen, c.Profile)
	}
	if want := filepath.Join(home, ".local", "share", "fluentpro"); c.DataDir != want {
		t.Fatalf("data dir %s, want %s", c.DataDir, want)
	}
	if c.Lease != 3*time.Second || c.Heartbeat != 500*time.Millisecond || c.Limits.FrameBytes != 65536 {
		t.Fatalf("defaults differ: %+v", c)
	}
	if len(c.Warnings()) != 0 {
		t.Fatalf("warns %q", c.Warnings())
	}
}

func TestDataDir(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ env, want string }{
		{"HOME=", "fluentpro-data"},
		{"HOME=/nonexistent-home", "fluentpro-data"},
		{"XDG_DATA_HOME=/x/y", "/x/y/fluentpro"},
		{"FLUENTPRO_DATA_DIR=/z", "/z"},
	} {
		if got := load(t, tc.env).DataDir; got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.env, got, tc.want)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	t.Parallel()
	file := write(t, "f.yaml", "listen: 127.0.0.1:1000\nlog: {level: debug, format: json}\nupstream:\n  model: from-file\nallow_embedded: [redis, database]\n")
	c, err := Load(Input{
		Env:   []string{"FLUENTPRO_CONFIG=" + file, "FLUENTPRO_PROFILE=test", "FLUENTPRO_LISTEN=127.0.0.1:2000", "FLUENTPRO_UPSTREAM_MODEL=from-env"},
		Flags: map[string]string{"listen": "127.0.0.1:3000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{
		"listen":         {"127.0.0.1:3000", "flag --listen"},
		"upstream.model": {"from-env", "environment"},
		"log.level":      {"debug", "f.yaml:2"},
		"drain":          {"3s", "profile test:8"},
		"lease":          {"3s", "default"},
		"allow_embedded": {"redis,database", "f.yaml:5"},
		"ops.listen":     {"127.0.0.1:0", "profile test:4"},
	}
	for _, v := range c.Values() {
		if w, ok := want[v.Key]; ok && (v.Text != w[0] || v.Origin != w[1]) {
			t.Errorf("%s = %q from %q, want %q from %q", v.Key, v.Text, v.Origin, w[0], w[1])
		}
		delete(want, v.Key)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func TestProfilesLoad(t *testing.T) {
	t.Parallel()
	for _, p := range []string{Development, Test, Staging, Production} {
		env := []string{"FLUENTPRO_PROFILE=" + p, "FLUENTPRO_DATABASE_URL=postgres://u@h/db", "FLUENTPRO_REDIS_URL=redis://h:6379/0", "OPENAI_API_KEY=sk-x"}
		if c := load(t, env...); c.Profile != p {
			t.Errorf("profile %s, want %s", c.Profile, p)
		}
	}
}

func TestEveryKeyHasAVariable(t *testing.T) {
	t.Parallel()
	other := map[string]string{
		"profile": "test", "listen": "127.0.0.1:9", "data_dir": "/d", "database.url": "postgres://u@h/d", "database.max_conns": "3", "database.conn_idle": "1m0s", "database.conn_lifetime": "1h0m0s", "database.migrate": "never",
		"redis.url": "redis://h:1", "redis.incarnation": "marker", "upstream.base_url": "http://h:1/v1", "upstream.api_key": "k", "upstream.model": "m",
		"upstream.continue": "prefix", "upstream.script.first_token": "1s", "upstream.script.tokens_per_second": "7.5", "ops.listen": "off",
		"ops.token": "0123456789abcdef", "log.level": "error", "log.format": "json", "limits.frame_bytes": "99999", "limits.message_chars": "100",
		"limits.subscriptions": "5", "limits.connections_per_user": "6", "limits.queue": "0", "public_origins": "https://a.example,https://b.example",
		"advertise_addr": "10.0.0.1:9", "trusted_proxies": "10.0.0.0/8", "upstream.hedge": "2s", "allow_embedded": "redis", "allow_risks": "sql-fsync", "wire.ping": "7s", "wire.heartbeat": "8s", "lease": "9s", "heartbeat": "1s", "drain": "0s", "checkpoint": "never",
		"accounts.sign_up": "immediate", "accounts.key_rotation": "48h0m0s",
		"accounts.keep_logins": "48h", "accounts.keep_unconfirmed": "96h",
		"keep_conversations": "48h",
	}
	maps.Copy(other, otherUpstream)
	maps.Copy(other, otherRoles)
	maps.Copy(other, otherAuth)
	maps.Copy(other, otherBackground)
	base := load(t)
	for _, v := range base.Values() {
		text, ok := other[v.Key]
		if !ok {
			t.Errorf("%s has no row in this test", v.Key)
			continue
		}
		c, err := Load(Input{Env: append(slices.Clone(neededBy[v.Key]), v.Env+"="+text)})
		if err != nil {
			t.Errorf("%s=%s: %v", v.Env, text, err)
			continue
		}
		i := slices.IndexFunc(c.Values(), func(x Value) bool { return x.Key == v.Key })
		if got := c.Values()[i]; got.Text == v.Text || got.Origin != "environment" {
			t.Errorf("%s=%s changed nothing: %q from %q", v.Env, text, got.Text, got.Origin)
		}
	}
}

func TestOpenAIVariables(t *testing.T) {
	t.Parallel()
	c := load(t, "OPENAI_API_KEY=sk-1")
	if c.Upstream.BaseURL != openAI || c.Upstream.APIKey.Reveal() != "sk-1" || c.EmbeddedUpstream() {
		t.Errorf("key alone: %+v", c.Upstream)
	}
	c = load(t, "OPENAI_API_KEY=sk-1", "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "FLUENTPRO_UPSTREAM_API_KEY=sk-2")
	if c.Upstream.BaseURL != "http://127.0.0.1:1/v1" || c.Upstream.APIKey.Reveal() != "sk-2" {
		t.Errorf("ours does not win: %+v", c.Upstream)
	}
	if c = load(t, "OPENAI_API_KEY=sk-1", "FLUENTPRO_UPSTREAM_BASE_URL=scripted"); !c.EmbeddedUpstream() {
		t.Errorf("scripted is not honoured: %+v", c.Upstream)
	}
	c = load(t, "FLUENTPRO_REDIS_URL=embedded", "FLUENTPRO_DATABASE_URL=embedded")
	if !c.EmbeddedRedis() || c.Database.URL.Reveal() != "" {
		t.Errorf("the word embedded is not honoured: %+v", c)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	key, empty := write(t, "key", "sk-file\n"), write(t, "empty", "\n")
	if got := load(t, "FLUENTPRO_UPSTREAM_API_KEY_FILE="+key).Upstream.APIKey.Reveal(); got != "sk-file" {
		t.Errorf("got %q", got)
	}
	c, err := Load(Input{Flags: map[string]string{"upstream.api_key_file": key}})
	if err != nil || c.Upstream.APIKey.Reveal() != "sk-file" {
		t.Errorf("flag: %v, %v", c.Upstream, err)
	}
	for _, tc := range []struct{ env, want string }{
		{"FLUENTPRO_UPSTREAM_API_KEY_FILE=" + empty, "is empty"},
		{"FLUENTPRO_UPSTREAM_API_KEY_FILE=/nonexistent", "no such file"},
		{"FLUENTPRO_UPSTREAM_API_KEY_FILE=" + t.TempDir(), "is a directory"},
	} {
		if got := problems(t, Input{Env: []string{tc.env}}); !strings.Contains(got, tc.want) || !strings.Contains(got, "FLUENTPRO_UPSTREAM_API_KEY_FILE") {
			t.Errorf("%s: %s", tc.env, got)
		}
	}
	got := problems(t, Input{Env: []string{"FLUENTPRO_UPSTREAM_API_KEY_FILE=" + key, "FLUENTPRO_UPSTREAM_API_KEY=sk-other"}})
	if !strings.Contains(got, "set one of them") || strings.Contains(got, "sk-") {
		t.Errorf("both: %s", got)
	}
}

func TestAllProblemsAtOnceEachNamed(t *testing.T) {
	t.Parallel()
	got := problems(t, Input{Env: []string{
		"FLUENTPRO_PROFILE=production", "FLUENTPRO_LISTEN=0.0.0.0:80", "FLUENTPRO_OPS_LISTEN=0.0.0.0:81",
		"FLUENTPRO_LEASE=10", "FLUENTPRO_LIMITS_QUEUE=-1", "FLUENTPRO_LOG_LEVEL=inof", "FLUENTPRO_ADVERTISE_ADDR=0.0.0.0:80",
	}})
	for _, name := range []string{"DATABASE_URL", "REDIS_URL", "UPSTREAM_BASE_URL", "OPS_TOKEN", "LEASE", "LIMITS_QUEUE", "LOG_LEVEL", "ADVERTISE_ADDR", "PUBLIC_ORIGINS"} {
		if !strings.Contains(got, "\n  FLUENTPRO_"+name+" ") {
			t.Errorf("FLUENTPRO_%s is not named", name)
		}
	}
	if !strings.Contains(got, "did you mean info?") || !strings.Contains(got, "a number with a unit") {
		t.Error("no hint")
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ env, want string }{
		{"LISTEN=8080", "host:port"}, {"LISTEN=127.0.0.1:99999", "no port"}, {"LISTEN=http://x:1", "host:port"}, {"LISTEN=127.0.0.1:-1", "no port"},
		{"LEASE=0s", "not between"}, {"LEASE=-3s", "not between"}, {"LEASE=1000000000h", "not a duration"}, {"HEARTBEAT=2s", "a third of FLUENTPRO_LEASE"},
		{"DRAIN=-1s", "not between"}, {"UPSTREAM_SCRIPT_TOKENS_PER_SECOND=NaN", "not a number"}, {"UPSTREAM_SCRIPT_TOKENS_PER_SECOND=0", "more than 0"},
		{"LIMITS_FRAME_BYTES=0", "not between"}, {"LIMITS_FRAME_BYTES=99999999999999999999", "whole number"}, {"LIMITS_MESSAGE_CHARS=20000", ""},
		{"PUBLIC_ORIGINS=*", "not an origin"}, {"PUBLIC_ORIGINS=https://*", "wildcard"}, {"PUBLIC_ORIGINS=https://a.example/", "more than scheme"},
		{"PUBLIC_ORIGINS=https://a.example/x", "more than scheme"}, {"PUBLIC_ORIGINS=null", "not an origin"}, {"PUBLIC_ORIGINS=https://a@b.example", "more than scheme"},
		{"OPS_LISTEN=127.0.0.1:8080", "listener of their own"}, {"OPS_LISTEN=0.0.0.0:9000", "FLUENTPRO_OPS_TOKEN is needed"}, {"OPS_TOKEN=short", "at least 16"},
		{"REDIS_URL=http://h", "must begin with"}, {"REDIS_URL=redis://:p@:/#%@h", "percent-encoded"}, {"REDIS_URL=redis://h/abc", "database number"}, {"REDIS_URL=localhost:6379", "must begin with"},
		{"DATABASE_URL=mysql://h/d", "must begin with"}, {"DATABASE_URL=postgres://u:p%zz@h/d", "percent-encoded"},
		{"UPSTREAM_BASE_URL=file:///etc/passwd", "http or https"}, {"UPSTREAM_BASE_URL=http://169.254.169.254/v1", "link-local"}, {"UPSTREAM_BASE_URL=http://u:p@h/v1", "must not carry"},
		{"UPSTREAM_BASE_URL=https://h/v1?k=v", "query"}, {"UPSTREAM_API_KEY=a b", "white space"},
		{"REDIS_INCARNATION=guess", "none of auto"}, {"CHECKPOINT=sometimes", "none of"}, {"ALLOW_EMBEDDED=databse", "did you mean database?"}, {"ALLOW_RISKS=sql-fsinc", "did you mean sql-fsync?"}, {"PROFILE=prod", "none of development"},
		{"LISTEN=\xff:1", "UTF-8"}, {"CONFIG=/nonexistent.yaml", "no such file"}, {"CONFIG=/", "is a directory"}, {"DATABASE_MAX_CONNS=-1", "not between"},
	} {
		if got := problems(t, Input{Env: []string{"FLUENTPRO_" + tc.env}}); !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %s, want %q", tc.env, got, tc.want)
		}
	}
}

func TestBadValuesNeverShowSecrets(t *testing.T) {
	t.Parallel()
	for _, env := range []string{
		"DATABASE_URL=postgres://u:hunter2%zz@h/d", "DATABASE_URL=mysql://u:hunter2@h", "REDIS_URL=http://:hunter2@h", "REDIS_URL=redis://:hunter2@h/x",
		"UPSTREAM_API_KEY=hunter2 x", "OPS_TOKEN=hunter2", "UPSTREAM_BASE_URL=http://u:hunter2@h/v1", "OPS_TOKEN=hunter2\x00",
	} {
		if got := problems(t, Input{Env: []string{"FLUENTPRO_" + env}}); strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", env, got)
		}
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"typo":       {"upstream:\n  modle: x\n", "upstream.modle is not a setting; did you mean upstream.model? (from f.yaml:2)"},
		"unknown":    {"zzzzzzzz: 1\n", "zzzzzzzz is not a setting (from"},
		"twice":      {"lease: 3s\nlease: 4s\n", "lease stands twice"},
		"alias":      {"log: &a {level: info}\nops: *a\n", "must be a mapping"},
		"alias leaf": {"listen: &a 127.0.0.1:1\ndata_dir: *a\n", "alias"},
		"not a map":  {"- a\n", "must be a mapping"},
		"group":      {"upstream: x\n", "must be a mapping"},
		"leaf map":   {"listen: {a: b}\n", "plain value"},
		"broken":     {"a: [\n", "not readable YAML"},
		"two docs":   {"lease: 3s\n---\nlease: 4s\n", "more than one YAML document"},
		"bad value":  {"lease: 10\n", "FLUENTPRO_LEASE \"10\" is not a duration"},
		"huge":       {strings.Repeat("#", maxFile+1), "larger than"},
		"bad list":   {"allow_embedded: [[a]]\n", "list of plain values"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := problems(t, Input{Flags: map[string]string{"config": write(t, "f.yaml", tc.text)}}); !strings.Contains(got, tc.want) {
				t.Errorf("got %s, want %q", got, tc.want)
			}
		})
	}
	for _, ok := range []string{"", "# only a comment\n", "upstream:\nlease:\n", "---\n"} {
		if _, err := Load(Input{Flags: map[string]string{"config": write(t, "f.yaml", ok)}}); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
}

func TestUnknownVariablesWarn(t *testing.T) {
	t.Parallel()
	c := load(t, "FLUENTPRO_UPSTREAM_MODLE=x", "FLUENTPRO_TEST_DATABASE_URL=x", "FLUENTPRO_LISTEN=127.0.0.1:0")
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "FLUENTPRO_UPSTREAM_MODLE is not a setting") || !strings.Contains(w[0], "did you mean FLUENTPRO_UPSTREAM_MODEL?") {
		t.Fatalf("got %q", w)
	}
}

func TestStrictProfilesWantEmbeddedPartsByName(t *testing.T) {
	t.Parallel()
	got := problems(t, Input{Env: []string{"FLUENTPRO_PROFILE=production", "FLUENTPRO_ALLOW_EMBEDDED=redis,upstream"}})
	if !strings.Contains(got, "FLUENTPRO_DATABASE_URL must name a Postgres") || strings.Contains(got, "REDIS_URL must") {
		t.Errorf("got %s", got)
	}
	load(t, "FLUENTPRO_PROFILE=production", "FLUENTPRO_ALLOW_EMBEDDED=redis,upstream,database")
	load(t, "FLUENTPRO_PROFILE=staging", "FLUENTPRO_ALLOW_EMBEDDED=redis,upstream,database")
	got = problems(t, Input{Env: []string{"FLUENTPRO_PROFILE=production", "FLUENTPRO_ALLOW_EMBEDDED=redis,upstream,database", "FLUENTPRO_PUBLIC_ORIGINS=http://a.example,http://localhost:1"}})
	if !strings.Contains(got, `"http://a.example" is not https`) || strings.Contains(got, "localhost") {
		t.Errorf("got %s", got)
	}
}

func TestOpsListenFollowsListen(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:9001": "127.0.0.1:9002", "127.0.0.2:9001": "127.0.0.2:9002", "0.0.0.0:80": "127.0.0.1:81", ":80": "127.0.0.1:81",
		"localhost:7": "127.0.0.1:8", "127.0.0.1:0": "127.0.0.1:0", "127.0.0.1:65535": "127.0.0.1:65534", "[::1]:5": "[::1]:6",
	} {
		if got := load(t, "FLUENTPRO_LISTEN="+listen).Ops.Listen; got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
	}
	if got := load(t, "FLUENTPRO_OPS_LISTEN=off").Ops.Listen; got != Off {
		t.Errorf("got %s", got)
	}
	load(t, "FLUENTPRO_OPS_LISTEN=0.0.0.0:9000", "FLUENTPRO_OPS_TOKEN=0123456789abcdef")
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	c := load(t)
	if got := c.Origins("127.0.0.1:41234"); !slices.Equal(got, []string{"http://127.0.0.1:41234", "http://localhost:41234"}) {
		t.Errorf("loopback: %q", got)
	}
	if got := c.Origins("[::]:80"); !slices.Equal(got, []string{"http://127.0.0.1", "http://localhost"}) {
		t.Errorf("everywhere: %q", got)
	}
	if got := c.Origins("10.1.2.3:8080"); !slices.Contains(got, "http://10.1.2.3:8080") {
		t.Errorf("one address: %q", got)
	}
	c = load(t, "FLUENTPRO_PUBLIC_ORIGINS=https://APP.Example:443, http://x.example:80,http://[::1]:8080")
	if got := c.Origins("127.0.0.1:1"); !slices.Equal(got, []string{"https://app.example", "http://x.example", "http://[::1]:8080"}) {
		t.Errorf("set: %q", got)
	}
}

func TestSecretsShowAsDots(t *testing.T) {
	t.Parallel()
	c := load(t, "FLUENTPRO_UPSTREAM_API_KEY=sk-hunter2", "FLUENTPRO_OPS_TOKEN=hunter2hunter2hunter2", "FLUENTPRO_DATABASE_URL=postgres://u:hunter2@h/d", "FLUENTPRO_REDIS_URL=redis://:hunter2@h:1/0?password=hunter2")
	var b strings.Builder
	fmt.Fprintf(&b, "%v %+v %#v %s", c, *c, *c, c.Upstream.APIKey)
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "cfg", *c, "key", c.Upstream.APIKey, "url", c.Database.URL)
	for _, v := range c.Values() {
		fmt.Fprintln(&b, v)
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Fatalf("a secret shows: %s", b.String())
	}
	if c.Database.URL.Reveal() != "postgres://u:hunter2@h/d" || c.Upstream.APIKey.Reveal() != "sk-hunter2" {
		t.Fatal("the values themselves are lost")
	}
	if got := NewURL("postgres://u:hunter2%zz@h").String(); strings.Contains(got, "hunter2") {
		t.Fatalf("a broken URL shows: %s", got)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	fs := flag.NewFlagSet("x", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	got := RegisterFlags(fs)
	if err := fs.Parse([]string{"--listen", "127.0.0.1:1", "--upstream-script-first-token=1s", "--ops-token-file", "/x"}); err != nil {
		t.Fatal(err)
	}
	if got["listen"] != "127.0.0.1:1" || got["upstream.script.first_token"] != "1s" || got["ops.token_file"] != "/x" {
		t.Fatalf("got %v", got)
	}
	for _, args := range [][]string{{"--listen=a", "--listen=b"}, {"--upstream-api-key=sk"}, {"--nope"}, {"--lease="}} {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		RegisterFlags(fs)
		if err := fs.Parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func FuzzYAML(f *testing.F) {
	f.Add("upstream:\n  model: x\n")
	f.Add("a: &a [*a]\n")
	f.Add("? {a: b}\n: c\n")
	c := defaults()
	var known []string
	for _, x := range fields(&c) {
		known = append(known, x.key)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, _ := parseYAML("f", []byte(text), known)
		for _, s := range out {
			if !slices.Contains(known, s.key) {
				t.Fatalf("unknown key %q got through", s.key)
			}
		}
	})
}

func TestSQLNamesWhatToOpen(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"FLUENTPRO_DATA_DIR=/d":                     "/d/fluentpro.db",
		"FLUENTPRO_DATABASE_URL=/x/y.db":            "/x/y.db",
		"FLUENTPRO_DATABASE_URL=postgres://u:p@h/d": "postgres://u:p@h/d",
	} {
		if got := load(t, env).SQL(); got != want {
			t.Errorf("%s: got %s, want %s", env, got, want)
		}
	}
}

func TestTrustedProxiesAreChecked(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"proxy.example", "0.0.0.0/0", "::/0", "10.0.0.0/33"} {
		_, err := Load(Input{Env: []string{"FLUENTPRO_TRUSTED_PROXIES=" + bad}})
		if err == nil || !strings.Contains(err.Error(), "FLUENTPRO_TRUSTED_PROXIES") {
			t.Errorf("%s: %v, want a problem that names the variable", bad, err)
		}
	}
	if c := load(t, "FLUENTPRO_TRUSTED_PROXIES=10.0.0.1,fd00::/8"); len(c.TrustedProxies) != 2 {
		t.Errorf("got %v", c.TrustedProxies)
	}
}
