package practice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// maxText bounds a scenario's JSON.
const maxText = 64 << 10

// ParseScenario reads what the model wrote and checks it by every rule that
// needs no word list. An unusable text is fault.UpstreamInvalid; its cause
// lists all broken rules by place, without quoting the text.
func ParseScenario(text string) (Scenario, error) {
	var s Scenario
	v, err := decodeOne(text)
	if err != nil {
		return s, unusable([]string{err.Error()})
	}
	if bad := scenarioSchema.conform(v, "scenario", nil); len(bad) > 0 {
		return s, unusable(bad)
	}
	if err := json.Unmarshal([]byte(unfence(text)), &s); err != nil {
		return s, unusable([]string{"scenario: a number is out of range"})
	}
	if bad := check(s); len(bad) > 0 {
		return Scenario{}, unusable(bad)
	}
	return s, nil
}

func unusable(bad []string) error {
	return fault.Wrap(fmt.Errorf("scenario breaks %d rules: %s", len(bad), strings.Join(bad, "; ")),
		fault.UpstreamInvalid, "The model's scenario could not be used.")
}

// decodeOne reads exactly one JSON value.
func decodeOne(text string) (any, error) {
	switch {
	case len(text) > maxText:
		return nil, errors.New("text: longer than 64 KiB")
	case !utf8.ValidString(text):
		return nil, errors.New("text: not valid UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(unfence(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("text: not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text: more than one JSON value")
	}
	return v, nil
}

// unfence takes away the Markdown fence that models without structured output
// like to put around JSON.
func unfence(text string) string {
	t := strings.TrimSpace(text)
	if rest, ok := strings.CutPrefix(t, "```"); ok {
		if body, ok := strings.CutSuffix(rest, "```"); ok {
			return strings.TrimSpace(strings.TrimPrefix(body, "json"))
		}
	}
	return t
}

var (
	idForm = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	// vague finds objectives that nobody can see reached (G6).
	vague = regexp.MustCompile(`(?i)\b(good|correct|proper|perfect|better|accurate)\s+(grammar|english|spelling)\b|\bno (grammar )?mistakes\b`)
	// orders finds text that talks to a model instead of a person (G7).
	orders = regexp.MustCompile(`(?i)\b(ignore|disregard|forget)\b.{0,30}\b(instruction|prompt|rule)s?\b|\bsystem prompt\b|\blanguage model\b|\bas an ai\b|<\|[a-z_]+\|>|</?(card|data|system)>`)
)

// checker collects broken rules.
type checker struct{ bad []string }

func (c *checker) fail(format string, args ...any) {
	c.bad = append(c.bad, fmt.Sprintf(format, args...))
}

// text wants least..most characters, printable, not only space, and nothing
// that reads as an order to a model.
func (c *checker) text(path, s string, least, most int) {
	n := utf8.RuneCountInString(s)
	if n < least || n > most {
		c.fail("%s: %d characters, want %d to %d", path, n, least, most)
	}
	if strings.TrimSpace(s) == "" {
		c.fail("%s: empty", path)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		c.fail("%s: control characters", path)
	}
	if orders.MatchString(s) {
		c.fail("%s: talks to the model", path)
	}
}

func (c *checker) count(path string, n, least, most int) {
	if n < least || n > most {
		c.fail("%s: %d entries, want %d to %d", path, n, least, most)
	}
}

func (c *checker) id(path, id string, seen map[string]bool) {
	if !idForm.MatchString(id) {
		c.fail("%s: bad id", path)
	}
	if seen[id] {
		c.fail("%s: id twice", path)
	}
	seen[id] = true
}

// check is rules G1, G4, G6, G7 and G12 of the practice model.
func check(s Scenario) []string {
	c := &checker{}
	c.text("title", s.Title, 8, 60)
	c.text("summary", s.Summary, 40, 180)
	c.text("brief", s.Brief, 60, 400)
	c.text("outcome", s.Outcome, 8, 300)
	c.objectives(s.Objectives)
	facts := map[string]bool{}
	c.text("learner.title", s.Learner.Title, 2, 100)
	c.count("learner.facts", len(s.Learner.Facts), 2, 6)
	for i, f := range s.Learner.Facts {
		p := fmt.Sprintf("learner.facts[%d]", i)
		c.id(p, f.ID, facts)
		c.text(p, f.Text, 3, 200)
	}
	c.partner(s.Partner, facts)
	c.count("phrases", len(s.Phrases), 3, 6)
	for i, p := range s.Phrases {
		path := fmt.Sprintf("phrases[%d]", i)
		c.text(path+".text", p.Text, 2, 160)
		c.text(path+".function", p.Function, 2, 60)
		c.text(path+".note", p.Note, 2, 200)
	}
	c.count("words", len(s.Words), 4, 8)
	for i, w := range s.Words {
		path := fmt.Sprintf("words[%d]", i)
		c.text(path+".lemma", w.Lemma, 1, 40)
		c.text(path+".part_of_speech", w.PartOfSpeech, 1, 40)
		c.text(path+".meaning", w.Meaning, 2, 200)
		c.text(path+".example", w.Example, 3, 240)
	}
	c.text("opening.line", s.Opening.Line, 2, 400)
	return c.bad
}

func (c *checker) objectives(list []Objective) {
	c.count("objectives", len(list), 3, 5)
	ids := map[string]bool{}
	tasks, required, weights := 0, 0, 0
	for i, o := range list {
		p := fmt.Sprintf("objectives[%d]", i)
		c.id(p, o.ID, ids)
		c.text(p+".text", o.Text, 5, 200)
		c.text(p+".evidence", o.Evidence, 5, 300)
		if len(strings.Fields(o.Evidence)) < 5 {
			c.fail("%s.evidence: fewer than 5 words", p)
		}
		if vague.MatchString(o.Text) || vague.MatchString(o.Evidence) {
			c.fail("%s: nothing that can be observed", p)
		}
		if o.Weight < 1 || o.Weight > 100 {
			c.fail("%s.weight: not between 1 and 100", p)
		}
		weights += min(max(o.Weight, 0), 1000)
		if o.Kind == "task" {
			tasks++
		}
		if o.Required {
			required++
		}
	}
	if tasks < 2 {
		c.fail("objectives: %d of kind task, want 2 or more", tasks)
	}
	if required < 2 {
		c.fail("objectives: %d required, want 2 or more", required)
	}
	if weights != 100 {
		c.fail("objectives: weights add up to %d, want 100", weights)
	}
}

func (c *checker) partner(p Partner, facts map[string]bool) {
	c.text("partner.name", p.Name, 2, 60)
	c.text("partner.title", p.Title, 2, 100)
	c.count("partner.voice", len(p.Voice), 2, 2)
	for i, v := range p.Voice {
		c.text(fmt.Sprintf("partner.voice[%d]", i), v, 2, 40)
	}
	c.text("partner.goal", p.Goal, 5, 300)
	c.count("partner.constraints", len(p.Constraints), 1, 3)
	for i, v := range p.Constraints {
		c.text(fmt.Sprintf("partner.constraints[%d]", i), v, 3, 240)
	}
	c.count("partner.hidden_facts", len(p.HiddenFacts), 1, 5)
	reachable := 0
	for i, f := range p.HiddenFacts {
		path := fmt.Sprintf("partner.hidden_facts[%d]", i)
		c.id(path, f.ID, facts)
		c.text(path, f.Text, 3, 200)
		if f.RevealWhen != "never" {
			reachable++
		}
	}
	if len(p.HiddenFacts) > 0 && reachable == 0 {
		c.fail("partner.hidden_facts: none can be found out")
	}
}
