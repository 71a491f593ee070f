package main

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// instruction is one line of a Dockerfile, continuations joined.
type instruction struct{ name, rest string }

func dockerfile(t *testing.T) (out []instruction) {
	t.Helper()
	data, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(data), "")
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			name, rest, _ := strings.Cut(line, " ")
			out = append(out, instruction{name, strings.TrimSpace(rest)})
		}
	}
	return out
}

// last is the rest of the last instruction of that name in the last stage.
func last(ins []instruction, name string) (rest string, ok bool) {
	for _, i := range ins {
		switch i.name {
		case "FROM":
			rest, ok = "", false
		case name:
			rest, ok = i.rest, true
		}
	}
	return rest, ok
}

func TestDockerfileIsSound(t *testing.T) {
	t.Parallel()
	ins := dockerfile(t)
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "ARG", "ENV", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
	secret := regexp.MustCompile(`(?i)(key|token|password|secret)\s*=`)
	for _, i := range ins {
		if !slices.Contains(known, i.name) {
			t.Errorf("unknown instruction %s %s", i.name, i.rest)
		}
		if i.name == "FROM" {
			image, _, _ := strings.Cut(i.rest, " ")
			if _, tag, ok := strings.Cut(image, ":"); !ok || tag == "latest" {
				t.Errorf("FROM %s is not pinned", i.rest)
			}
		}
		if (i.name == "ENV" || i.name == "ARG") && secret.MatchString(i.rest) {
			t.Errorf("a secret in a layer: %s %s", i.name, i.rest)
		}
	}
	if user, _ := last(ins, "USER"); user != "65532:65532" {
		t.Errorf("USER %s, want the number of nonroot: a name cannot be checked by Kubernetes", user)
	}
	for name, want := range map[string][]string{"ENTRYPOINT": {"/fluentpro"}, "CMD": {"serve"}, "HEALTHCHECK": {"/fluentpro", "healthcheck"}} {
		rest, _ := last(ins, name)
		if _, cmd, ok := strings.Cut(rest, "CMD "); ok {
			rest = cmd
		}
		var words []string
		if err := json.Unmarshal([]byte(rest), &words); err != nil || !slices.Equal(words, want) {
			t.Errorf("%s %s is not the exec form of %q: there is no shell", name, rest, want)
		}
	}
	if env, _ := last(ins, "ENV"); !strings.Contains(env, "FLUENTPRO_PROFILE=production") {
		t.Errorf("the image does not choose the production profile: %s", env)
	}
	if vol, _ := last(ins, "VOLUME"); vol != "/data" {
		t.Errorf("VOLUME %s", vol)
	}
}

func TestImageEnvironmentIsValidConfiguration(t *testing.T) {
	t.Parallel()
	env, _ := last(dockerfile(t), "ENV")
	vars := append(strings.Fields(env), "FLUENTPRO_DATABASE_URL=postgres://u@h/d", "FLUENTPRO_REDIS_URL=redis://h", "OPENAI_API_KEY=k", "FLUENTPRO_PUBLIC_ORIGINS=https://english.example.com",
		"FLUENTPRO_PUBLIC_URL=https://english.example.com", "FLUENTPRO_SMTP_URL=smtp://mail.example.com:587", "FLUENTPRO_MAIL_FROM=FluentPro <english@example.com>")
	if code, _, stderr := cli(t, vars, "config check --strict"); code != exitOK {
		t.Errorf("%d %s", code, stderr)
	}
}

// TestDockerignoreLetsTheSourceIn compares the build context with what the
// binary is made of: a new room that is not let in breaks the image only.
func TestDockerignoreLetsTheSourceIn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || e.Name() == "docs" {
			continue
		}
		hasGo := errors.Is(filepath.WalkDir(filepath.Join("../..", e.Name()), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.Contains(path, "node_modules") {
				return errFound
			}
			return nil
		}), errFound)
		if hasGo && !slices.Contains(lines, "!"+e.Name()) {
			t.Errorf(".dockerignore keeps %s out of the build", e.Name())
		}
	}
}

var errFound = errors.New("found")

// TestImageBuildCommandMakesAStaticBinary runs the very command of the
// Dockerfile, since images cannot be built everywhere.
func TestImageBuildCommandMakesAStaticBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv(testenv.EnvRequire) != "1" {
		t.Skip("left out: builds everything once more, which takes a minute; run make test")
	}
	if runtime.GOOS != "linux" {
		t.Skipf("left out: the image is for linux, this is %s", runtime.GOOS)
	}
	var build string
	for _, i := range dockerfile(t) {
		if i.name == "RUN" && strings.Contains(i.rest, "go build") {
			build = i.rest
		}
	}
	if !strings.Contains(build, " -o /out/fluentpro ") {
		t.Fatalf("no go build into /out/fluentpro: %q", build)
	}
	bin := filepath.Join(t.TempDir(), "fluentpro")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(build, "/out/fluentpro", bin))
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "VERSION=v9.8.7", "COMMIT=abcdef", "DATE=2026-01-02T03:04:05Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 {
		t.Errorf("not static: needs %v (%v)", libs, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("not static: asks for a dynamic loader")
		}
	}
	out, err := exec.CommandContext(t.Context(), bin, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "fluentpro v9.8.7 (commit abcdef, 2026-01-02T03:04:05Z") {
		t.Errorf("version says %q (%v)", out, err)
	}
}
