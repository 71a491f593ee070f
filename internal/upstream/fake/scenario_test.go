package fake

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEveryScenarioIsValid(t *testing.T) {
	t.Parallel()
	l := shelf()
	if len(l.families) < 10 {
		t.Fatalf("only %d families", len(l.families))
	}
	industries := []string{"", "Space mining"}
	for _, i := range l.industries {
		if len(i.Match) > 0 {
			industries = append(industries, i.Match[0])
		}
	}
	partners := []string{"custom:My neighbour"}
	for _, k := range l.partners {
		if len(k.Match) > 0 {
			partners = append(partners, k.Match[0])
		}
	}
	situations := []string{"custom:Explaining a strange invoice to the tax office in another country on a Friday evening", "x"}
	for _, f := range l.families {
		situations = append(situations, f.Slug)
	}
	titles := map[string]bool{}
	seed := uint64(1)
	for _, ind := range industries {
		for _, par := range partners {
			for _, sit := range situations {
				for _, level := range [...]string{"A1", "B2"} {
					seed = mix(seed + 77)
					s := writeScenario(profile{ind, "Senior " + ind + " specialist for very special matters of all kinds", par, sit, level, nil}, seed)
					titles[s.Title] = true
					for _, p := range problems(s) {
						t.Errorf("%s/%s/%s/%s: %s", ind, par, sit, level, p)
					}
					if t.Failed() {
						return
					}
				}
			}
		}
	}
	if len(titles) < 100 {
		t.Errorf("only %d titles", len(titles))
	}
}

// problems checks what the product demands of a scenario.
func problems(s scenario) (out []string) {
	length := func(what, v string, lo, hi int) {
		if n := utf8.RuneCountInString(v); n < lo || n > hi {
			out = append(out, fmt.Sprintf("%s has %d characters: %s", what, n, v))
		}
		if strings.ContainsAny(v, "{}") || v != strings.TrimSpace(v) {
			out = append(out, what+" was not filled in: "+v)
		}
	}
	count := func(what string, n, lo, hi int) {
		if n < lo || n > hi {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	oneOf := func(v string, list ...string) {
		for _, x := range list {
			if x == v {
				return
			}
		}
		out = append(out, "not allowed: "+v)
	}
	length("title", s.Title, 8, 60)
	length("summary", s.Summary, 40, 180)
	length("brief", s.Brief, 60, 400)
	length("outcome", s.Outcome, 10, 200)
	oneOf(s.Channel, "chat", "email_thread", "meeting_chat", "ticket", "phone_like")
	oneOf(s.Register, "casual", "neutral", "formal")
	count("objectives", len(s.Objectives), 3, 5)
	weight, required, tasks, asked := 0, 0, 0, 0
	for _, o := range s.Objectives {
		length("objective", o.Text, 8, 120)
		length("evidence", o.Evidence, 10, 160)
		if len(strings.Fields(o.Evidence)) < 5 {
			out = append(out, "evidence too short: "+o.Evidence)
		}
		oneOf(o.Kind, "task", "interaction", "register", "language")
		weight += o.Weight
		if o.Required {
			required++
		}
		if o.Kind == "task" {
			tasks++
		}
	}
	if weight != 100 || required < 2 || tasks < 2 {
		out = append(out, fmt.Sprintf("weights %d, %d required, %d tasks", weight, required, tasks))
	}
	length("learner title", s.Learner.Title, 2, 60)
	count("facts", len(s.Learner.Facts), 2, 6)
	for _, f := range append(s.Learner.Facts, s.Partner.HiddenFacts...) {
		length("fact "+f.ID, f.Text, 8, 120)
	}
	length("name", s.Partner.Name, 3, 40)
	length("partner title", s.Partner.Title, 3, 60)
	count("traits", len(s.Partner.Voice), 2, 2)
	length("goal", s.Partner.Goal, 8, 160)
	count("constraints", len(s.Partner.Constraints), 1, 3)
	count("hidden facts", len(s.Partner.HiddenFacts), 1, 5)
	for _, f := range s.Partner.HiddenFacts {
		oneOf(f.RevealWhen, "asked", "offered", "never")
		if f.RevealWhen == "asked" {
			asked++
		}
	}
	if asked == 0 {
		out = append(out, "nothing to find out")
	}
	count("phrases", len(s.Phrases), 3, 6)
	for _, p := range s.Phrases {
		length("phrase", p.Text, 5, 100)
		length("note", p.Note, 5, 120)
	}
	count("words", len(s.Words), 4, 8)
	for _, w := range s.Words {
		length("word", w.Lemma, 2, 40)
		length("meaning", w.Meaning, 5, 100)
		length("example", w.Example, 5, 100)
	}
	oneOf(s.Opening.Speaker, "partner", "learner")
	length("opening", s.Opening.Line, 10, 200)
	return out
}

func TestScenarioFollowsTheProfile(t *testing.T) {
	t.Parallel()
	text := scenarioText([]message{{"system", "Write a scenario."}, {"user",
		`Profile: {"industry":{"slug":"healthcare_pharma","name":"Healthcare & Pharma"},"job_role":"Lab Manager","partner":"suppliers","situation":"negotiations","level":"B2"}`}})
	var s scenario
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.Brief, "lab system") && !strings.Contains(s.Brief, "vaccine") || s.Learner.Title != "Lab Manager" || !strings.HasPrefix(s.Partner.Title, "Supplier") || !strings.Contains(s.Title, "deal") {
		t.Fatalf("not for this profile: %s", text)
	}
	p := profile{partner: "clients", situation: "meetings", level: "B1"}
	p.avoid = []string{writeScenario(p, 7).Title}
	if got := writeScenario(p, 7).Title; got == p.avoid[0] || utf8.RuneCountInString(got) > 60 {
		t.Errorf("title to avoid came again: %q", got)
	}
	at := -1
	for _, k := range [...]string{"title", "summary", "brief", "objectives", "outcome", "channel", "register", "learner", "phrases", "words", "opening", "partner"} {
		i := strings.Index(text, `"`+k+`":`)
		if k != "title" && i < at {
			t.Errorf("%s comes too early", k)
		}
		if k != "learner" { // "title" and others occur again inside
			at = max(at, i)
		}
	}
}
