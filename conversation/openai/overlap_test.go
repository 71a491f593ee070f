package openai

import (
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestJoint(t *testing.T) {
	t.Parallel()
	long := "Thank you for the offer. We looked at it yesterday and we like the first part very much."
	for _, tc := range []struct {
		name, kept string
		pieces     []string
		schema     bool
		want       string
		fails      bool
	}{
		{"goes on", "I think we", []string{" can", " start."}, false, " can start.", false},
		{"no space", "I think we", []string{"can", " start."}, false, " can start.", false},
		{"after a comma", "Yes,", []string{"we can."}, false, " we can.", false},
		{"repeats the last words", "So I think we can", []string{"I think", " we can", " start on", " Monday."}, false, " start on Monday.", false},
		{"repeats in one piece", "So I think we can", []string{"I think we can start."}, false, " start.", false},
		{"repeats the cut word", "By the dead", []string{"dead", "line."}, false, "line.", false},
		{"repeats the cut word whole", "By the dead", []string{"deadline."}, false, "line.", false},
		{"a shared letter is chance", "We nee", []string{"ed it."}, false, " ed it.", false},
		{"starts all over and agrees", long, []string{long[:30], long[30:], " Let us talk."}, false, " Let us talk.", false},
		{"starts all over and differs", long, []string{long[:40], "something else"}, false, "", true},
		{"JSON goes on", `{"title":"A`, []string{` talk`, `"}`}, true, ` talk"}`, false},
		{"JSON begins anew", `{"title":"A long talk about","summary":"x`, []string{`{"title":"A long talk about","summary":"other"`}, true, "", true},
		{"nothing left", "All said.", nil, false, "", false},
		{"only a repetition", "That is all I can say.", []string{"I can say."}, false, "", false},
		{"Chinese has no spaces", "我们", []string{"可以"}, false, "可以", false},
		{"undecided to the end", "We could meet and", []string{"and"}, false, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newJoint(tc.kept, tc.schema)
			var got string
			var err error
			for _, p := range tc.pieces {
				var s string
				if s, err = j.add(p); err != nil {
					break
				}
				got += s
			}
			if err == nil {
				var s string
				s, err = j.flush()
				got += s
			}
			if (err != nil) != tc.fails || !tc.fails && got != tc.want {
				t.Fatalf("%q %v, want %q", got, err, tc.want)
			}
			if tc.fails && fault.CodeOf(err) != fault.UpstreamInvalid {
				t.Fatalf("code %s", fault.CodeOf(err))
			}
		})
	}
}

func TestJointLooksBackTwoHundredCharacters(t *testing.T) {
	t.Parallel()
	kept := ""
	for i := range 100 {
		kept += string(rune('a'+i%26)) + "é "
	}
	tail := lastRunes(kept, 200)
	if got, err := newJoint(kept, false).add(tail + "new"); err != nil || got != "new" {
		t.Fatalf("%q %v", got, err)
	}
	if got := firstRunes("héllo", 2); got != "hé" {
		t.Fatalf("%q", got)
	}
}
