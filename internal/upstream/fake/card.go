package fake

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// card is what the partner knows of its part, read from the prompt's JSON.
type card struct {
	first       string // first name
	goal        string
	constraints []string
	hidden      []fact
	opening     string
	band        int // 0 for A1 and A2, 1 for B1 and B2, 2 for C1 and C2
	maxWords    int
}

var levelName = regexp.MustCompile(`\b([ABC][12])\b`)

// wordsByLevel is how much a partner says in one turn.
var wordsByLevel = map[string]int{"A1": 14, "A2": 24, "B1": 40, "B2": 60, "C1": 80, "C2": 110}

func cardOf(history []message) card {
	d := dataOf(history, "system developer")
	p := d
	if o, ok := d.any("partner", "card", "character").(map[string]any); ok {
		p = data{roots: []map[string]any{o}}
	}
	var c card
	c.first, _, _ = strings.Cut(p.str("name"), " ")
	c.goal = p.str("goal")
	if c.constraints = texts(p.any("constraints")); c.constraints == nil {
		c.constraints = texts(d.any("constraints"))
	}
	list, _ := p.any("hidden_facts").([]any)
	if list == nil {
		list, _ = d.any("hidden_facts").([]any)
	}
	for _, v := range list {
		switch v := v.(type) {
		case string:
			c.hidden = append(c.hidden, fact{Text: v, RevealWhen: "asked"})
		case map[string]any:
			when, _ := v["reveal_when"].(string)
			if t, _ := v["text"].(string); t != "" {
				c.hidden = append(c.hidden, fact{Text: t, RevealWhen: when})
			}
		}
	}
	switch o := d.any("opening").(type) {
	case string:
		c.opening = o
	case map[string]any:
		if s, _ := o["speaker"].(string); s != "learner" {
			c.opening, _ = o["line"].(string)
		}
	}
	level := strings.ToUpper(d.str("level", "cefr"))
	if wordsByLevel[level] == 0 {
		level = "B1"
		for _, m := range history {
			if m.Role != "system" && m.Role != "developer" {
				continue
			}
			// The last one named is the reminder at the end of the prompt.
			if f := levelName.FindAllString(m.Content, -1); f != nil {
				level = f[len(f)-1]
			}
		}
	}
	c.maxWords, c.band = wordsByLevel[level], int(level[0]-'A')
	return c
}

// saidBy collects what one side has said, in lower case.
func saidBy(history []message, role string) string {
	var b strings.Builder
	for _, m := range history {
		if m.Role == role {
			b.WriteString(strings.ToLower(m.Content))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// keywords are the words of s that carry meaning, cut to their stems.
func keywords(s string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r < utf8.RuneSelf
	}) {
		if len(w) < 4 && (w[0] < '0' || w[0] > '9') || common[w] {
			continue
		}
		out = append(out, stem(w))
	}
	return out
}

func stem(w string) string {
	for _, end := range [...]string{"ing", "ies", "ed", "es", "s"} {
		if len(w) > len(end)+3 && strings.HasSuffix(w, end) {
			return w[:len(w)-len(end)]
		}
	}
	return w
}

var common = set("that this with have from they will would could should about what when where which your their there been were does more than then them very just also into some must only not the and for are you can")

// topics lets a question find a fact that uses other words for the same thing.
var topics = [][]string{
	strings.Fields("price cost budget money pay expens cheap discount percent worth payment fee dollar euro"),
	strings.Fields("deadlin date day time long soon late earli ready monday tuesday wednesday thursday friday week month until start finish schedul meet"),
	strings.Fields("reason cause problem happen wrong broken worst effect fail issu"),
	strings.Fields("help support person colleagu helper team free somebody another alone"),
	strings.Fields("import priorit matter point need goal want"),
	strings.Fields("number case call back phone detail contact"),
	strings.Fields("befor earlier last year previous history experienc used tried similar other"),
	strings.Fields("option contract longer order condition instead alternativ soup place recommend"),
}

// questionWords name a topic without one of its words.
var questionWords = map[string]string{
	" when ": "time", "how long": "time", "how soon": "time", "how much": "cost", " why ": "reason", " who ": "person",
	"what time": "time", "how come": "reason",
}

// score says how well a question fits a fact.
func score(question, factText string) int {
	q, f := keywords(question), keywords(factText)
	asked := " " + strings.ToLower(question) + " "
	for phrase, word := range questionWords {
		if strings.Contains(asked, phrase) {
			q = append(q, word)
		}
	}
	n := 0
	for _, a := range q {
		for _, b := range f {
			if a == b {
				n += 3
			}
		}
	}
	for _, t := range topics {
		if touches(q, t) && touches(f, t) {
			n += 2
		}
	}
	return n
}

func touches(stems, topic []string) bool {
	for _, s := range stems {
		for _, t := range topic {
			if s == t || (len(t) > 3 && strings.HasPrefix(s, t)) {
				return true
			}
		}
	}
	return false
}

// known says whether most of a fact has been said already.
func known(said, factText string) bool {
	k := keywords(factText)
	n := 0
	for _, w := range k {
		if strings.Contains(said, w) {
			n++
		}
	}
	return len(k) > 0 && n*10 >= len(k)*8
}

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

var verbs = map[string]string{
	"has": "have", "is": "am", "does": "do", "was": "was", "wants": "want", "needs": "need", "closes": "close", "gets": "get",
	"likes": "like", "knows": "know", "waits": "wait", "asks": "ask", "remembers": "remember", "wanders": "wander", "uses": "use",
}

// own turns a sentence about the partner into the partner's own: "Dana has
// lost the page" and "Cannot wait" begin with "I".
func own(s, first string) string {
	s = strings.TrimSpace(s)
	words := strings.Fields(s)
	if len(words) == 0 {
		return s
	}
	subject := false
	switch w := strings.ToLower(words[0]); {
	case first != "" && words[0] == first:
		words[0], subject = "I", true
	case first != "" && words[0] == first+"'s":
		words[0] = "My"
	case verbs[w] != "" || w == "cannot" || w == "can" || w == "will" || w == "must" || w == "may" || w == "would":
		words = append([]string{"I"}, words...)
		subject = true
	}
	for i := 1; i < len(words); i++ {
		w := strings.ToLower(words[i])
		after := strings.ToLower(words[i-1])
		if subject && verbs[w] != "" && (i == 1 || after == "and" || after == "or" || after == "but") {
			words[i] = verbs[w]
		} else if subject && i == 1 && w != words[i] {
			words[i] = w
		}
		if words[i] == first && first != "" {
			words[i] = "I"
			if i+1 < len(words) && verbs[words[i+1]] != "" {
				words[i+1] = verbs[words[i+1]]
			}
			if after == "to" || after == "for" || after == "with" {
				words[i] = "me"
			}
		}
	}
	s = capital(strings.Join(words, " "))
	if last := s[len(s)-1]; last != '.' && last != '!' && last != '?' {
		s += "."
	}
	return s
}
