package bench

import (
	"fmt"
	"strings"
	"testing"
)

func ev(seq int, kind string, attempt, base int, data string) string {
	return fmt.Sprintf(`{"v":1,"seq":%d,"type":"partner.%s","run":2,"attempt":%d,"base":%d,"data":%s}`, seq, kind, attempt, base, data)
}

func delta(seq, attempt, base, at int, text string) string {
	return ev(seq, "delta", attempt, base, fmt.Sprintf(`{"at":%d,"text":%q}`, at, text))
}

func end(seq int, text string) string {
	return ev(seq, "completed", 1, 1, fmt.Sprintf(`{"text":%q}`, text))
}

func TestViewCountsWhatShouldNeverHappen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                 string
		events               []string
		lost, doubled, taken bool
	}{
		{"whole", []string{delta(1, 1, 1, 0, "abc"), delta(2, 1, 1, 3, "def"), end(3, "abcdef")}, false, false, false},
		{"goes on after a takeover", []string{delta(1, 1, 1, 0, "abc"), ev(2, "recovering", 2, 1, `{}`), delta(3, 2, 1, 3, "def"), end(4, "abcdef")}, false, false, false},
		{"an event delivered twice", []string{delta(1, 1, 1, 0, "abc"), delta(1, 1, 1, 0, "abc"), delta(2, 1, 1, 3, "def"), end(3, "abcdef")}, false, false, false},
		{"a hole", []string{delta(1, 1, 1, 0, "ab"), delta(2, 1, 1, 3, "def"), end(3, "abcdef")}, true, false, true},
		{"a piece twice", []string{delta(1, 1, 1, 0, "abc"), delta(2, 2, 1, 1, "bcdef"), end(3, "abcdef")}, false, true, false},
		{"another text", []string{delta(1, 1, 1, 0, "abc"), delta(2, 2, 1, 1, "xydef"), end(3, "abcdef")}, false, true, true},
		{"begun anew", []string{delta(1, 1, 1, 0, "abc"), ev(2, "restarted", 2, 2, `{}`), delta(3, 2, 2, 0, "abcdef"), end(4, "abcdef")}, false, false, true},
		{"stored text is short", []string{delta(1, 1, 1, 0, "abcdef"), end(2, "abc")}, true, true, false},
		{"shown text is short", []string{delta(1, 1, 1, 0, "abc"), end(2, "abcdef")}, true, false, false},
		{"stored text is wrong", []string{delta(1, 1, 1, 0, "abcdeX"), end(2, "abcdeX")}, false, false, true},
	} {
		v := view{want: "abcdef"}
		v.watch(2)
		for _, e := range tc.events {
			if _, _, err := v.frame([]byte(`{"t":"ev","e":[` + e + `]}`)); err != nil {
				t.Fatal(err)
			}
		}
		if v.ended != "completed" {
			t.Errorf("%s: ended %q", tc.name, v.ended)
		}
		if (v.lost > 0) != tc.lost || (v.doubled > 0) != tc.doubled || (v.taken > 0) != tc.taken {
			t.Errorf("%s: lost %d, doubled %d, taken %d", tc.name, v.lost, v.doubled, v.taken)
		}
	}
}

func TestViewTellsGrowthOfANewAttempt(t *testing.T) {
	t.Parallel()
	v := view{want: "abcdef"}
	v.watch(2)
	for _, tc := range []struct {
		event   string
		grew    bool
		attempt int64
	}{
		{delta(1, 1, 1, 0, "abc"), true, 1},
		{ev(2, "recovering", 2, 1, `{"attempt":2}`), false, 0},
		{ev(3, "resumed", 2, 1, `{"keep":3}`), false, 0},
		{delta(4, 2, 1, 3, "d"), true, 2},
	} {
		grew, attempt, err := v.frame([]byte(`{"t":"ev","e":[` + tc.event + `]}`))
		if err != nil || grew != tc.grew || attempt != tc.attempt {
			t.Errorf("%s: grew %v by %d, %v", tc.event, grew, attempt, err)
		}
	}
	// A snapshot never takes text back; a longer one adds.
	for _, tc := range []struct {
		text string
		grew bool
	}{{"ab", false}, {"abcde", true}} {
		grew, _, err := v.frame([]byte(`{"t":"snapshot","state":{"open":{"run":2,"attempt":2,"base":1,"text":"` + tc.text + `"}}}`))
		if err != nil || grew != tc.grew || v.taken != 0 || !strings.HasPrefix(v.text, "abcd") {
			t.Errorf("snapshot %q: grew %v, %+v, %v", tc.text, grew, v, err)
		}
	}
}
