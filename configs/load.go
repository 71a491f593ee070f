package configs

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EnvFile names the variable with the path of the YAML file.
const EnvFile = EnvPrefix + "CONFIG"

// testPrefix begins variables that only tests read.
const testPrefix = EnvPrefix + "TEST_"

// Input is where Load looks, besides the defaults and the profile's file.
type Input struct {
	// Env is the environment, as os.Environ gives it.
	Env []string
	// Flags are values by key ("upstream.model"); "config" names the YAML
	// file, "upstream.api_key_file" the file of a secret.
	Flags map[string]string
}

// Problem is one thing that is wrong. Name is what a person can set: the
// variable, or the key of a file.
type Problem struct {
	Name, Origin, Message string
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.Origin == "" || p.Origin == originDefault {
		return p.Name + " " + p.Message
	}
	return fmt.Sprintf("%s %s (from %s)", p.Name, p.Message, p.Origin)
}

// Problems are all of them; the process ends with exit code 2.
type Problems []Problem

// Error lists every problem on a line of its own.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p)+1)
	lines = append(lines, fmt.Sprintf("the configuration has %d problem(s):", len(p)))
	for _, one := range p {
		lines = append(lines, "  "+one.String())
	}
	return strings.Join(lines, "\n")
}

const originDefault = "default"

// Load reads all sources. On an error, which is always of type Problems, the
// Config holds what could be read, for printing only.
func Load(in Input) (*Config, error) {
	l := &loader{cfg: defaults(), env: map[string]string{}, flags: in.Flags}
	for _, kv := range in.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && v != "" {
			l.env[k] = v
		}
	}
	l.cfg.origins = map[string]string{}
	for _, f := range fields(&l.cfg) {
		l.known = append(l.known, f.key)
	}
	l.layers()
	l.derive()
	l.problems = append(l.problems, l.cfg.validate()...)
	if len(l.problems) > 0 {
		return &l.cfg, l.problems
	}
	return &l.cfg, nil
}

type loader struct {
	cfg      Config
	env      map[string]string
	flags    map[string]string
	known    []string
	problems Problems
}

func (l *loader) bad(name, origin, format string, args ...any) {
	l.problems = append(l.problems, Problem{name, origin, fmt.Sprintf(format, args...)})
}

// layers applies the sources from weakest to strongest. The profile is looked
// up first in all of them, because its file is the weakest but one.
func (l *loader) layers() {
	file := l.readConfigFile()
	env := append(l.fallbacks(), l.environment()...)
	flags := l.flagSettings()

	profile := setting{"profile", Development, originDefault}
	for _, s := range slices.Concat(file, env, flags) {
		if s.key == "profile" {
			profile = s
		}
	}
	var base []setting
	if data, err := profiles.ReadFile(profile.text + ".yaml"); err == nil { // else the value is refused below
		var ps []Problem
		base, ps = parseYAML("profile "+profile.text, data, l.known)
		l.problems = append(l.problems, ps...)
	}
	byKey := map[string]field{}
	for _, f := range fields(&l.cfg) {
		byKey[f.key] = f
	}
	final := map[string]setting{}
	for _, s := range slices.Concat(base, file, env, flags) {
		final[s.key] = s
	}
	for _, key := range slices.Sorted(maps.Keys(final)) {
		s, f := final[key], byKey[key]
		if err := f.set(s.text); err != nil {
			l.bad(f.env(), s.origin, "%v", err)
			continue
		}
		l.cfg.origins[key] = s.origin
	}
}

func (l *loader) readConfigFile() []setting {
	path, origin := l.flags["config"], "flag --config"
	if path == "" {
		path, origin = l.env[EnvFile], "environment"
	}
	if path == "" {
		return nil
	}
	data, err := readFile(path)
	if err != nil {
		l.bad(EnvFile, origin, "%q: %v", path, err)
		return nil
	}
	out, ps := parseYAML(filepath.Base(path), data, l.known)
	l.problems = append(l.problems, ps...)
	return out
}

// fallbacks are variables of others that we honour, weaker than our own.
func (l *loader) fallbacks() (out []setting) {
	for _, fb := range []struct{ env, key string }{
		{"OPENAI_BASE_URL", "upstream.base_url"},
		{"OPENAI_API_KEY", "upstream.api_key"},
	} {
		if v := l.env[fb.env]; v != "" {
			out = append(out, setting{fb.key, v, "environment " + fb.env})
		}
	}
	return out
}

func (l *loader) environment() (out []setting) {
	names := []string{EnvFile}
	for _, f := range fields(&l.cfg) {
		names = append(names, f.env())
		v, set := l.env[f.env()]
		if f.hidden() {
			names = append(names, f.env()+"_FILE")
			if path := l.env[f.env()+"_FILE"]; path != "" {
				if set {
					l.bad(f.env(), "environment", "is set and %s_FILE too; set one of them", f.env())
				}
				v, set = l.secretFile(f.env()+"_FILE", "environment", path)
			}
		}
		if set {
			out = append(out, setting{f.key, v, "environment"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if strings.HasPrefix(name, EnvPrefix) && !strings.HasPrefix(name, testPrefix) && !slices.Contains(names, name) {
			l.cfg.warnings = append(l.cfg.warnings, name+" is not a setting and has no effect"+hint(name, names))
		}
	}
	return out
}

func (l *loader) flagSettings() (out []setting) {
	for _, key := range slices.Sorted(maps.Keys(l.flags)) {
		name, v := "flag --"+field{key: key}.flag(), l.flags[key]
		if secret, ok := strings.CutSuffix(key, "_file"); ok && slices.Contains(l.known, secret) {
			text, ok := l.secretFile(name, "", v)
			if ok {
				out = append(out, setting{secret, text, name})
			}
			continue
		}
		if key != "config" {
			out = append(out, setting{key, v, name})
		}
	}
	return out
}

// secretFile reads a secret; editors end a file with a newline that is not
// part of it.
func (l *loader) secretFile(name, origin, path string) (string, bool) {
	data, err := readFile(path)
	if err != nil {
		l.bad(name, origin, "%q: %v", path, err)
		return "", false
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		l.bad(name, origin, "%q is empty", path)
		return "", false
	}
	return text, true
}

const (
	defaultModel = "gpt-4.1-mini"
	openAI       = "https://api.openai.com/v1"
)

// derive fills in what depends on other values.
func (l *loader) derive() {
	c := &l.cfg
	note := func(key, why string) { c.origins[key] = why }
	if u := c.Database.URL.Reveal(); u == "embedded" {
		c.Database.URL = URL{}
	}
	if u := c.Redis.URL.Reveal(); u == "embedded" {
		c.Redis.URL = URL{}
	}
	switch {
	case c.Upstream.BaseURL == "scripted" || c.Upstream.BaseURL == "embedded":
		c.Upstream.BaseURL = ""
	case c.Upstream.BaseURL == "" && c.Upstream.APIKey.Reveal() != "":
		c.Upstream.BaseURL = openAI
		note("upstream.base_url", "default, because there is an api_key")
	}
	if c.DataDir == "" {
		c.DataDir = l.dataDir()
	}
	if c.Ops.Listen == "" {
		if host, port, err := splitAddr(c.Listen); err == nil {
			c.Ops.Listen = opsDefault(host, port)
			note("ops.listen", "default, the port after listen")
		}
	}
}

// dataDir is the user's own data directory, or one beside the caller where
// there is no user (a container, a service without a home).
func (l *loader) dataDir() string {
	if d := l.env["XDG_DATA_HOME"]; filepath.IsAbs(d) {
		return filepath.Join(d, "fluentpro")
	}
	home := cmp.Or(l.env["HOME"], l.env["USERPROFILE"])
	if st, err := os.Stat(home); err == nil && st.IsDir() && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "fluentpro")
	}
	return "fluentpro-data"
}
