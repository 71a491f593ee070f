package configs

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EnvPrefix begins every variable of ours.
const EnvPrefix = "FLUENTPRO_"

// field is one leaf of Config with its names.
type field struct {
	key   string // upstream.base_url
	doc   string
	oneof []string
	value reflect.Value
}

func (f field) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

func (f field) flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(f.key)
}

// hidden says that the value is or may carry a secret: never on a command
// line, never in a message, and readable from a file.
func (f field) hidden() bool {
	switch f.value.Interface().(type) {
	case Secret, URL:
		return true
	}
	return false
}

// fields lists the leaves of c in the order of the struct.
func fields(c *Config) []field { return walk(reflect.ValueOf(c).Elem(), "") }

func walk(v reflect.Value, prefix string) []field {
	var out []field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		f := field{key: prefix + sf.Tag.Get("yaml"), doc: sf.Tag.Get("doc"), value: v.Field(i)}
		if one := sf.Tag.Get("oneof"); one != "" {
			f.oneof = strings.Split(one, "|")
		}
		if f.doc == "" { // a group, not a leaf
			out = append(out, walk(v.Field(i), f.key+".")...)
			continue
		}
		out = append(out, f)
	}
	return out
}

// text is the value as a source would write it, secrets masked.
func (f field) text() string {
	if list, ok := f.value.Interface().([]string); ok {
		return strings.Join(list, ",")
	}
	return fmt.Sprint(f.value.Interface())
}

// set parses text into the field. The error never repeats a hidden value.
func (f field) set(text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("is not valid UTF-8 text")
	}
	if len(f.oneof) > 0 && !slices.Contains(f.oneof, text) {
		return fmt.Errorf("%q is none of %s%s", text, strings.Join(f.oneof, ", "), hint(text, f.oneof))
	}
	switch p := f.value.Addr().Interface().(type) {
	case *string:
		*p = strings.TrimSpace(text)
	case *Secret:
		*p = Secret{text}
	case *URL:
		*p = URL{strings.TrimSpace(text)}
	case *[]string:
		*p = splitList(text)
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	case *float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		*p = n
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration; write a number with a unit, like 500ms, 3s or 2m", text)
		}
		*p = d
	default:
		return fmt.Errorf("has the unsupported type %s", f.value.Type())
	}
	return nil
}

func splitList(text string) []string {
	var out []string
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// hint names the nearest of names when one is near enough to be a typo.
func hint(got string, names []string) string {
	best, least := "", 1+len(got)/3
	for _, n := range names {
		if d := distance(strings.ToLower(got), strings.ToLower(n)); d <= least && (best == "" || d < least) {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is the Levenshtein distance in bytes, enough for ASCII names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
