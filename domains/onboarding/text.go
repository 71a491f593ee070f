package onboarding

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// The bounds of free text, in characters.
const (
	minJobTitle, maxJobTitle             = 2, 200
	minJobDescription, maxJobDescription = 10, 1000
	minRoleTitle, maxRoleTitle           = 3, 100
	minRoleText, maxRoleText             = 10, 500
	minCustom, maxCustom                 = 2, 100
)

// checker collects every bad field of one answer.
type checker struct {
	bad []fault.Field
}

func (c *checker) add(name, code, message string) {
	c.bad = append(c.bad, fault.Field{Name: name, Code: code, Message: message})
}

func (c *checker) err() error {
	if len(c.bad) == 0 {
		return nil
	}
	return invalid(c.bad...)
}

// line takes one line of text: trimmed, runs of white space folded.
func (c *checker) line(name, s string, least, most int) string {
	return c.text(name, strings.Join(strings.Fields(s), " "), least, most)
}

// block takes text of several lines, trimmed.
func (c *checker) block(name, s string, least, most int) string {
	return c.text(name, strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")), least, most)
}

func (c *checker) text(name, s string, least, most int) string {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t'
	}):
		c.add(name, "malformed", "This contains characters that cannot be shown.")
	case n == 0:
		c.add(name, "required", "This is needed.")
	case n < least:
		c.add(name, "too_short", fmt.Sprintf("This needs at least %d characters.", least))
	case n > most:
		c.add(name, "too_long", fmt.Sprintf("This may have at most %d characters.", most))
	}
	return s
}

// Hierarchies are the ranks of a role, lowest first.
var Hierarchies = []string{"associate", "supervisor", "manager", "director"}

// rank reads a rank; none is fine.
func (c *checker) rank(name, s string) string {
	s = slug(s)
	if s != "" && !slices.Contains(Hierarchies, s) {
		c.add(name, "unknown", "This is associate, supervisor, manager or director.")
	}
	return s
}

// one checks that exactly one of a known name and own words is given.
func (c *checker) one(name, known, own string) bool {
	switch {
	case known == "" && own == "":
		c.add(name, "required", "Choose one, or write your own.")
	case known != "" && own != "":
		c.add(name, "ambiguous", "Choose one or write your own, not both.")
	default:
		return true
	}
	return false
}

const customPrefix = "custom:"

// Choice is something from the lists, or the learner's own words for it.
type Choice struct {
	Slug   string `json:"slug,omitempty"`
	Custom string `json:"custom,omitempty"`
}

// Key names a choice among others: its slug, or "custom:" and the text.
func (c Choice) Key() string {
	if c.Custom != "" {
		return customPrefix + c.Custom
	}
	return c.Slug
}

func (c Choice) none() bool { return c == Choice{} }

// sameKey compares keys as people would: own words in any case, names with
// - or _.
func sameKey(a, b string) bool { return foldKey(a) == foldKey(b) }

func foldKey(s string) string {
	if own, ok := strings.CutPrefix(s, customPrefix); ok {
		return customPrefix + strings.ToLower(strings.Join(strings.Fields(own), " "))
	}
	return slug(s)
}
