package configs

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// Value is one setting for people: its names, its masked text and its origin.
type Value struct {
	Key    string `json:"key"`
	Env    string `json:"env"`
	Flag   string `json:"flag"`
	Text   string `json:"value"`
	Origin string `json:"origin"`
	Doc    string `json:"doc"`
	// FileEnv names the variable with the path of a file that holds the
	// value; only secrets have it.
	FileEnv string   `json:"file_env,omitempty"`
	OneOf   []string `json:"one_of,omitempty"`
}

// Values are all settings in the order of Config, secrets masked.
func (c *Config) Values() []Value {
	var out []Value
	for _, f := range fields(c) {
		v := Value{Key: f.key, Env: f.env(), Flag: flagName(f), Text: f.text(), Origin: c.origins[f.key], Doc: f.doc, OneOf: f.oneof}
		if v.Origin == "" {
			v.Origin = originDefault
		}
		if f.hidden() {
			v.FileEnv = f.env() + "_FILE"
		}
		out = append(out, v)
	}
	return out
}

func flagName(f field) string {
	if f.hidden() {
		return f.flag() + "-file"
	}
	return f.flag()
}

// RegisterFlags adds a flag for every setting to fs and returns the map that
// parsing fills, for Input.Flags. Secrets have only a flag for the file they
// are read from: a command line can be seen by every user of the machine.
func RegisterFlags(fs *flag.FlagSet) map[string]string {
	got := map[string]string{}
	add := func(name, key, doc string) {
		fs.Func(name, doc, func(v string) error {
			if _, twice := got[key]; twice {
				return errors.New("is given twice")
			}
			if v == "" {
				return errors.New("is empty")
			}
			got[key] = v
			return nil
		})
	}
	add("config", "config", "YAML `file` with settings ("+EnvFile+")")
	c := defaults()
	for _, f := range fields(&c) {
		doc := f.doc
		if len(f.oneof) > 0 {
			doc += ": `" + strings.Join(f.oneof, "|") + "`"
		}
		if d := f.text(); d != "" && d != "0" {
			doc += fmt.Sprintf(" [%s]", d)
		}
		if f.hidden() {
			add(flagName(f), f.key+"_file", "`file` that holds it: "+doc)
			continue
		}
		add(flagName(f), f.key, doc)
	}
	return got
}
