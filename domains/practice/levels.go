package practice

import "fmt"

// LevelLimits bound one partner turn at a level; zero means no limit.
type LevelLimits struct {
	MinSentences, MaxSentences int
	Words                      int
	WordsPerSentence           int
	// Language says what else holds.
	Language string
}

// levels is the one place of these numbers.
var levels = map[string]LevelLimits{
	"A1": {1, 2, 14, 8, "one question at most, present simple, the most common words only, no idioms"},
	"A2": {1, 2, 24, 11, "present, past simple and going to, common words, no idioms"},
	"B1": {2, 3, 40, 15, "common words and connectors, no rare idioms"},
	"B2": {2, 4, 60, 20, "general and business words, now and then an idiom that the context explains"},
	"C1": {2, 5, 80, 26, "nuance and implied meaning are welcome"},
	"C2": {0, 0, 110, 0, "no limits of style"},
}

// LimitsOf returns the limits of a CEFR level; an unknown one reads as B1.
func LimitsOf(level string) LevelLimits {
	if l, ok := levels[level]; ok {
		return l
	}
	return levels["B1"]
}

// reminder is the line that keeps the partner at the level. Models drift
// upwards within a few turns when they are told only once.
func reminder(level string) string {
	l := LimitsOf(level)
	if _, ok := levels[level]; !ok {
		level = "B1"
	}
	s := fmt.Sprintf("Write for CEFR level %s: at most %d words", level, l.Words)
	if l.MaxSentences > 0 {
		s += fmt.Sprintf(" in %d to %d sentences of at most %d words each", l.MinSentences, l.MaxSentences, l.WordsPerSentence)
	}
	return s + "; " + l.Language + "."
}

// tokens caps a partner turn: room for the words and for a model whose tokens
// are short, so that the cap ends runaways and not sentences.
func (l LevelLimits) tokens() int { return l.Words*3 + 60 }
