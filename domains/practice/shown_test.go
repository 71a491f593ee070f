package practice

import (
	"strings"
	"testing"
)

func TestShownEndsBeforeThePartnerCard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing yet":           {``, ``},
		"open value":            {`{"title":"Ab`, `{"title":"Ab`},
		"unfinished key":        {`{"title":"A","par`, `{"title":"A",`},
		"another key":           {`{"title":"A","parts":1`, `{"title":"A","parts":1`},
		"the card":              {`{"title":"A","partner":{"goal":"x"}}`, `{"title":"A",`},
		"the card, spaced":      {`{ "title" : "A" , "partner" : {`, `{ "title" : "A" , `},
		"the card first":        {`{"partner":{"goal":"x"},"title":"A"}`, `{`},
		"the word in a value":   {`{"title":"partner","brief":"my \"partner\": x"`, `{"title":"partner","brief":"my \"partner\": x"`},
		"the key further down":  {`{"learner":{"partner":"x"},"words":[{"partner":1}]`, `{"learner":{"partner":"x"},"words":[{"partner":1}]`},
		"a disguised key":       {`{"title":"A","p\u0061rtner":{"goal":"x"}}`, `{"title":"A",`},
		"an escape in mid-air":  {`{"title":"A\`, `{"title":"A\`},
		"not JSON, left to the": {`Sorry, "partner" is`, `Sorry, "partner" is`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.text[:ShownScenario([]byte(c.text))]; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Whatever has been shown stays shown: the bound never moves back as text
// arrives, and never passes the card.
func TestShownOnlyGrows(t *testing.T) {
	t.Parallel()
	const text = `{"title":"A","objectives":[{"id":"o1","text":"a, \"b\" {"}],"opening":{"line":"x"},"partner":{"goal":"secret"}}`
	last := 0
	for i := range len(text) + 1 {
		n := ShownScenario([]byte(text[:i]))
		if n < last {
			t.Fatalf("at %d: %d after %d", i, n, last)
		}
		last = n
	}
	if strings.Contains(text[:last], "partner") || !strings.HasSuffix(text[:last], `"line":"x"},`) {
		t.Fatalf("shown at the end: %q", text[:last])
	}
}
