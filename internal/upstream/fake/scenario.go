package fake

import (
	"bytes"
	"embed"
	"encoding/json"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed library/*.json
var libraryFiles embed.FS

// family is one kind of situation with everything that is to be filled in.
type family struct {
	Slug        string      `json:"slug"`
	Match       []string    `json:"match"`
	Title       string      `json:"title"`
	Summary     string      `json:"summary"`
	BriefLow    string      `json:"brief_low"`
	BriefHigh   string      `json:"brief_high"`
	Outcome     string      `json:"outcome"`
	Channel     string      `json:"channel"`
	Register    string      `json:"register"`
	Facts       []string    `json:"facts"`
	Goal        string      `json:"goal"`
	Constraints []string    `json:"constraints"`
	Hidden      []hidden    `json:"hidden"`
	Objectives  []objective `json:"objectives"`
	OpenLow     string      `json:"open_low"`
	OpenHigh    string      `json:"open_high"`
	Words       [][4]string `json:"words"`
	Functions   []string    `json:"functions"`
}

type hidden struct {
	Text   string `json:"text"`
	Reveal string `json:"reveal"`
}

type industry struct {
	Match  []string    `json:"match"`
	Topics []topic     `json:"topics"`
	Words  [][4]string `json:"words"`
}

// topic is what the talk is about, with what is wrong and why.
type topic struct {
	Topic   string `json:"topic"`
	Problem string `json:"problem"`
	Cause   string `json:"cause"`
}

type partnerKind struct {
	Match  []string `json:"match"`
	Who    string   `json:"who"`
	Titles []string `json:"titles"`
	Polite bool     `json:"polite"`
}

type phraseKind struct {
	Function string    `json:"function"`
	Low      [2]string `json:"low"`
	High     [2]string `json:"high"`
}

type library struct {
	families   []family
	industries []industry
	partners   []partnerKind
	phrases    map[string]phraseKind
}

// shelf reads the library once. The files are part of the program, so a broken
// one is a programming error.
var shelf = sync.OnceValue(func() library {
	var l library
	var phrases []phraseKind
	for name, into := range map[string]any{
		"situations": &l.families, "industries": &l.industries, "partners": &l.partners, "phrases": &phrases,
	} {
		b, err := libraryFiles.ReadFile("library/" + name + ".json")
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			panic("fake: library " + name + ": " + err.Error())
		}
	}
	l.phrases = map[string]phraseKind{}
	for _, p := range phrases {
		l.phrases[p.Function] = p
	}
	return l
})

// The scenario in the order in which its fields are to be written.
type scenario struct {
	Title      string      `json:"title"`
	Summary    string      `json:"summary"`
	Brief      string      `json:"brief"`
	Objectives []objective `json:"objectives"`
	Outcome    string      `json:"outcome"`
	Channel    string      `json:"channel"`
	Register   string      `json:"register"`
	Learner    struct {
		Title string `json:"title"`
		Facts []fact `json:"facts"`
	} `json:"learner"`
	Phrases []phrase `json:"phrases"`
	Words   []word   `json:"words"`
	Opening struct {
		Speaker string `json:"speaker"`
		Line    string `json:"line"`
	} `json:"opening"`
	Partner struct {
		Name        string   `json:"name"`
		Title       string   `json:"title"`
		Voice       []string `json:"voice"`
		Goal        string   `json:"goal"`
		Constraints []string `json:"constraints"`
		HiddenFacts []fact   `json:"hidden_facts"`
	} `json:"partner"`
}

type objective struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Text     string `json:"text"`
	Evidence string `json:"evidence"`
	Required bool   `json:"required"`
	Weight   int    `json:"weight"`
}

type fact struct {
	ID         string `json:"id"`
	Text       string `json:"text"`
	RevealWhen string `json:"reveal_when,omitempty"`
}

type phrase struct {
	Text     string `json:"text"`
	Function string `json:"function"`
	Note     string `json:"note"`
}

type word struct {
	Lemma        string `json:"lemma"`
	PartOfSpeech string `json:"part_of_speech"`
	Meaning      string `json:"meaning"`
	Example      string `json:"example"`
}

var (
	names = []string{"Alex Morgan", "Sam Rivera", "Dana Novak", "Robin Clarke", "Kim Larsen", "Noor Haddad", "Jamie Okafor",
		"Maya Fischer", "Leo Tanaka", "Iris Moreau", "Tara Lindqvist", "Omar Costa", "Nina Petrov", "Chris Adeyemi", "Lena Park", "Ravi Bauer"}
	voices = [][2]string{{"friendly", "to the point"}, {"calm", "precise"}, {"warm", "a little hurried"}, {"careful", "polite"},
		{"cheerful", "curious"}, {"direct", "fair"}}
	days = [][2]string{{"Monday", "Thursday"}, {"Tuesday", "Friday"}, {"Wednesday", "Friday"}, {"Thursday", "Monday"}}
)

// scenarioText writes a scenario for the profile that the prompt's data names.
func scenarioText(history []message) string {
	d := dataOf(history, "user")
	if len(d.roots) == 0 {
		d = dataOf(history, "system developer user")
	}
	s := writeScenario(profileOf(d), hashMessages(history))
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return "{}"
	}
	return strings.TrimSpace(b.String())
}

// profile is for whom a scenario is written.
type profile struct {
	industry, role, partner, situation, level string
	avoid                                     []string // titles
}

func profileOf(d data) profile {
	return profile{
		industry:  d.str("industry", "sector"),
		role:      d.str("job_role", "role", "job_title", "job"),
		partner:   d.str("partner_type", "partner", "communication_partner"),
		situation: d.str("situation", "unit"),
		level:     d.str("level", "cefr"),
		avoid:     texts(d.any("avoid_titles")),
	}
}

// matched finds the entry one of whose words begins a word of text; fallback
// if there is none.
func matched[T any](list []T, match func(T) []string, text string, fallback int) (T, bool) {
	text = " " + strings.ToLower(words(text))
	for _, x := range list {
		for _, m := range match(x) {
			if strings.Contains(text, " "+words(m)) {
				return x, true
			}
		}
	}
	return list[fallback], false
}

// familyOf finds the family of a situation: by its own name, else by a word.
func familyOf(l library, situation string, fallback int) (family, bool) {
	if f, ok := matched(l.families, func(f family) []string { return []string{f.Slug} }, situation, fallback); ok {
		return f, true
	}
	return matched(l.families, func(f family) []string { return f.Match }, situation, fallback)
}

func writeScenario(p profile, seed uint64) scenario {
	l := shelf()
	ind, ok := matched(l.industries, func(i industry) []string { return i.Match }, p.industry, len(l.industries)-1)
	if !ok {
		ind, _ = matched(l.industries, func(i industry) []string { return i.Match }, p.role, len(l.industries)-1)
	}
	who, _ := matched(l.partners, func(k partnerKind) []string { return k.Match }, p.partner, len(l.partners)-1)
	f, known := familyOf(l, p.situation, int(seed%uint64(len(l.families))))
	name, day := pick(mix(seed+1), names), pick(mix(seed+2), days)
	first, _, _ := strings.Cut(name, " ")
	about := pick(mix(seed+5), ind.Topics)
	me := clip(words(p.role), 50)
	if me == "" {
		me = "team member"
	}
	fill := strings.NewReplacer(
		"{Topic}", capital(about.Topic), "{topic}", about.Topic, "{problem}", about.Problem, "{cause}", about.Cause,
		"{name}", first, "{who}", who.Who, "{Who}", capital(who.Who), "{me}", article(me), "{day}", day[0], "{day2}", day[1],
	).Replace
	low := lowLevel(p.level)
	var s scenario
	s.Title = fill(f.Title)
	if t := capital(words(p.situation)); !known && utf8.RuneCountInString(t) >= 8 {
		s.Title = clip(t, 60)
	}
	s.Title = untold(s.Title, p.avoid, first, day[0])
	s.Summary, s.Brief = fill(f.Summary), fill(f.BriefHigh)
	if low {
		s.Brief = fill(f.BriefLow)
	}
	for i, o := range f.Objectives {
		o.ID, o.Text, o.Evidence = id("o", i), fill(o.Text), fill(o.Evidence)
		s.Objectives = append(s.Objectives, o)
	}
	s.Outcome, s.Channel, s.Register = fill(f.Outcome), f.Channel, f.Register
	if s.Register == "casual" && who.Polite && f.Slug != "informal_chats" {
		s.Register = "neutral"
	}
	s.Learner.Title = capital(me)
	for i, t := range f.Facts {
		s.Learner.Facts = append(s.Learner.Facts, fact{ID: id("l", i), Text: fill(t)})
	}
	voice := pick(mix(seed+3), voices)
	s.Partner.Name, s.Partner.Title, s.Partner.Voice = name, pick(mix(seed+4), who.Titles), voice[:]
	s.Partner.Goal = fill(f.Goal)
	for _, c := range f.Constraints {
		s.Partner.Constraints = append(s.Partner.Constraints, fill(c))
	}
	for i, h := range f.Hidden {
		s.Partner.HiddenFacts = append(s.Partner.HiddenFacts, fact{ID: id("h", i), Text: fill(h.Text), RevealWhen: h.Reveal})
	}
	for _, fn := range f.Functions {
		k := l.phrases[fn]
		t := k.High
		if low {
			t = k.Low
		}
		s.Phrases = append(s.Phrases, phrase{Text: t[0], Function: fn, Note: t[1]})
	}
	used := map[string]bool{}
	for _, w := range append(append([][4]string{}, f.Words...), ind.Words...) {
		if !used[w[0]] {
			used[w[0]] = true
			s.Words = append(s.Words, word{w[0], w[1], w[2], w[3]})
		}
	}
	s.Opening.Speaker, s.Opening.Line = "partner", fill(f.OpenHigh)
	if low {
		s.Opening.Line = fill(f.OpenLow)
	}
	return s
}

// untold varies a title that the learner has had already.
func untold(title string, avoid []string, name, day string) string {
	for _, t := range [...]string{title, title + " with " + name, title + ", " + day, name + ": " + title} {
		had := utf8.RuneCountInString(t) > 60
		for _, a := range avoid {
			had = had || strings.EqualFold(a, t)
		}
		if !had {
			return t
		}
	}
	return title
}

func lowLevel(level string) bool {
	l := strings.ToUpper(strings.TrimSpace(level))
	return strings.HasPrefix(l, "A") || strings.HasPrefix(l, "B1")
}

func id(prefix string, i int) string { return prefix + string(rune('1'+i)) }

func capital(s string) string {
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(string(r)) + s[n:]
}

// article puts a or an before a job title.
func article(s string) string {
	if strings.ContainsRune("aeiouAEIOU", rune(s[0])) {
		return "an " + s
	}
	return "a " + s
}

// clip cuts s to n characters, at a space if there is one.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	s = string([]rune(s)[:n])
	if i := strings.LastIndexByte(s, ' '); i > n/2 {
		s = s[:i]
	}
	return strings.TrimSpace(s)
}
