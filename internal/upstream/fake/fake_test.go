package fake

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var cardJSON = `{"level":"B1","partner":{"name":"Dana Novak","title":"Client","goal":"Get help before Friday.","constraints":["Cannot wait until next month."],
"hidden_facts":[{"id":"h1","text":"The budget is 20,000 euros at most.","reveal_when":"asked"},{"id":"h2","text":"The deadline is Friday because visitors are coming.","reveal_when":"asked"},
{"id":"h3","text":"Dana has already talked to another company.","reveal_when":"offered"},{"id":"h4","text":"The boss is about to leave the firm.","reveal_when":"never"}]},
"opening":{"speaker":"partner","line":"Hello, can you help us?"}}`

func system() message {
	return message{"system", "You are the partner. Card:\n" + cardJSON + "\nStay in role at level B1."}
}

func TestPartnerKnowsItsPart(t *testing.T) {
	t.Parallel()
	opening := message{"assistant", "Hello, can you help us?"}
	for _, tc := range []struct {
		name, learner string
		want, avoid   string
	}{
		{"budget", "Sure! What is your budget for this?", "20,000", "Friday"},
		{"price by another word", "How much does it cost at most?", "20,000", "visitors"},
		{"deadline", "When do you need it?", "Friday", "20,000"},
		{"never", "Is your boss about to leave the firm?", "", "boss is about to leave"},
		{"aim", "So what are the colours of the logo?", "help before Friday", ""},
		{"offered", "We could share our experience with you.", "I have already talked to another company", ""},
		{"check", "We can start on Monday morning.", "Monday morning", ""},
		{"delimited", "<learner_message>\nWhat is your budget?\n</learner_message>", "20,000", "<"},
		{"again", "Sorry, what do you mean?", "", "sorry, what"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := partnerLine([]message{system(), opening, {"user", tc.learner}})
			if !strings.Contains(got, tc.want) || (tc.avoid != "" && strings.Contains(strings.ToLower(got), strings.ToLower(tc.avoid))) {
				t.Fatalf("%q -> %q; want %q, never %q", tc.learner, got, tc.want, tc.avoid)
			}
			if strings.Contains(got, tc.learner) {
				t.Fatalf("%q is a parrot", got)
			}
			if got != partnerLine([]message{system(), opening, {"user", tc.learner}}) {
				t.Fatal("the same request gave another answer")
			}
		})
	}
}

func TestPartnerFitsTheLevelAndDoesNotRepeat(t *testing.T) {
	t.Parallel()
	talk := []string{"Hello! Thanks for writing. What do you need?", "I see. Our small package takes two weeks.", "Yes, Anna from my team would do it.",
		"No, that is not possible before Wednesday.", "How about a smaller first step?", "We test it with your people every day.", "Good. Then we start on Wednesday."}
	for level, limit := range wordsByLevel {
		m := []message{{"system", strings.ReplaceAll(system().Content, "B1", level)}}
		seen := map[string]bool{}
		for i, s := range talk {
			m = append(m, message{"user", s})
			got := partnerLine(m)
			if n := len(strings.Fields(got)); n > limit+8 || got == "" {
				t.Errorf("%s turn %d: %d words: %q", level, i, n, got)
			}
			if seen[got] {
				t.Errorf("%s turn %d says it again: %q", level, i, got)
			}
			seen[got] = true
			m = append(m, message{"assistant", got})
		}
		if !strings.Contains(m[len(m)-1].Content, "?") {
			t.Errorf("%s: no question at the end: %q", level, m[len(m)-1].Content)
		}
	}
	if got := partnerLine([]message{system()}); got != "Hello, can you help us?" {
		t.Errorf("opening: %q", got)
	}
	if got := partnerLine([]message{{"user", "hi"}}); got == "" {
		t.Error("nothing to say without a card")
	}
}

func listen(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func post(t *testing.T, ctx context.Context, s *Server, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func request(model string, stream bool, max int, m ...message) string {
	list := []map[string]string{}
	for _, x := range m {
		list = append(list, map[string]string{"role": x.Role, "content": x.Content})
	}
	b, err := json.Marshal(map[string]any{"model": model, "messages": list, "stream": stream, "max_tokens": max,
		"stream_options": map[string]any{"include_usage": true}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// readStream is an independent, naive reader of a good stream.
func readStream(t *testing.T, body io.Reader) (text, finish string, frames int, done bool) {
	t.Helper()
	sc := bufio.NewScanner(body)
	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var c struct {
			Choices []struct {
				Delta  struct{ Content string }
				Finish string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		frames++
		for _, ch := range c.Choices {
			text += ch.Delta.Content
			finish += ch.Finish
		}
	}
	return text, finish, frames, done
}

func TestCheckable(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	u := message{"user", "hello"}
	text, finish, _, done := readStream(t, post(t, t.Context(), s, request("checkable-7", true, 3, u)).Body)
	if want := Checkable(Tag("hello"), 7); text != want || finish != "stop" || !done {
		t.Fatalf("%q %q %v, want %q", text, finish, done, want)
	}
	text, _, _, _ = readStream(t, post(t, t.Context(), s, request("checkable", true, 4, message{"user", "x [tag u7] y"})).Body)
	if text != "u7.0 u7.1 u7.2 u7.3 " {
		t.Fatalf("%q", text)
	}
	// Every cut, in the middle of a token too, goes on at the exact character.
	full := Checkable(Tag("hello"), 7)
	for cut := 1; cut < len(full); cut += 5 {
		text, _, _, _ = readStream(t, post(t, t.Context(), s, request("checkable-7", true, 0, u, message{"assistant", full[:cut]})).Body)
		if full[:cut]+text != full {
			t.Fatalf("cut at %d: %q", cut, text)
		}
	}
	calls := s.Calls()
	first, last := calls[0], calls[len(calls)-1]
	if first.Sent != 7 || first.End != EndComplete || first.Tag != Tag("hello") || !last.Continued || last.From == 0 {
		t.Fatalf("%+v\n%+v", first, last)
	}
}

func TestContinuationIsExact(t *testing.T) {
	t.Parallel()
	history := []message{system(), {"assistant", "Hello, can you help us?"}, {"user", "What is your budget, and when do you need it?"}}
	q := &chatRequest{}
	full, _ := answer(modelName{base: "scripted"}, q, history)
	for cut := range full {
		for _, tail := range [][]message{{{"assistant", full[:cut]}}, {{"assistant", full[:cut]}, {"system", "Go on."}}} {
			q.Messages = append(append([]message{}, history...), tail...)
			h, partial := q.split()
			again, _ := answer(modelName{base: "scripted"}, q, h)
			if rest, _, _ := after(again, partial); cut > 0 && full[:cut]+rest != full {
				t.Fatalf("cut at %d: %q + %q", cut, full[:cut], rest)
			}
		}
	}
	if rest, _, ok := after(full, "Something else entirely."); ok || rest == "" {
		t.Fatalf("a foreign partial: %q %v", rest, ok)
	}
	for _, cut := range []string{`{"a":"b`, `{"a":`, `{"a":[1,`, `{"a":{"b`, `{"a":1,`, `{"a":"b\`, `{"a`} {
		if j := cut + fresh(cut); !json.Valid([]byte(j)) {
			t.Errorf("%s is no JSON", j)
		}
	}
}

func TestCapCountsFromTheBeginning(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	m := []message{system(), {"user", "What is your budget for this project, please?"}}
	text, finish, _, _ := readStream(t, post(t, t.Context(), s, request("scripted", true, 5, m...)).Body)
	if finish != "length" || countTokens(text) != 5 {
		t.Fatalf("%q %q", text, finish)
	}
	rest, finish, _, _ := readStream(t, post(t, t.Context(), s, request("scripted", true, 5, append(m, message{"assistant", text[:6]})...)).Body)
	if text[:6]+rest != text || finish != "length" {
		t.Fatalf("%q %q", rest, finish)
	}
}

func TestWholeAnswerModelsAndErrors(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	resp := post(t, t.Context(), s, request("scripted", false, 0, message{"user", "Hello!"}))
	var c struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Completion int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || c.Choices[0].Message.Content == "" || c.Usage.Completion == 0 {
		t.Fatalf("%+v %v", c, err)
	}
	if resp.Header.Get("X-Fluentpro-Scripted") != "1" {
		t.Error("does not say what it is")
	}
	for body, status := range map[string]int{
		`{`: 400, `{"model":"x"}`: 400, `{"messages":[{"role":"king","content":"x"}]}`: 400,
		request("fault-nonsense", true, 0, message{"user", "x"}): 404,
		request("fault-429-7", true, 0, message{"user", "x"}):    429,
	} {
		resp := post(t, t.Context(), s, body)
		var e struct{ Error struct{ Message string } }
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != status || e.Error.Message == "" {
			t.Errorf("%s: %d %+v %v", body, resp.StatusCode, e, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err = client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !bytes.Contains(b, []byte(`"checkable-200"`)) {
		t.Errorf("models: %s", b)
	}
}

func TestInstanceFitsASchema(t *testing.T) {
	t.Parallel()
	got := instance(json.RawMessage(`{"type":"object","properties":{"kind":{"enum":["x","y"]},"list":{"type":"array","minItems":2,"items":{"type":"integer","minimum":3}},"note":{"type":["string","null"]},"ok":{"type":"boolean"}}}`))
	var v struct {
		Kind string
		List []int
		Note string
		OK   bool
	}
	if err := json.Unmarshal([]byte(got), &v); err != nil || v.Kind != "x" || len(v.List) != 2 || v.List[1] != 3 || v.Note == "" || !v.OK {
		t.Fatalf("%s: %v", got, err)
	}
}

func TestDisconnectIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{TokenDelay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	resp := post(t, ctx, s, request("checkable-100", true, 0, message{"user", "x"}))
	r := bufio.NewReader(resp.Body)
	for seen := 0; seen < 2; { // the role frame and the first token
		l, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(l, "data:") {
			seen++
		}
	}
	cancel()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if c := s.Calls()[0]; c.End != "" {
			if c.End != EndCancelled || c.Sent != 1 {
				t.Fatalf("%+v", c)
			}
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still open: %+v", s.Calls())
		}
	}
}

func TestOnceFaultsHappenOnce(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	body := request("checkable-6+fault-cut-2-once", true, 0, message{"user", "x"})
	text, finish, _, _ := readStream(t, post(t, t.Context(), s, body).Body)
	if finish != "" || strings.Count(text, " ") != 2 {
		t.Fatalf("%q %q", text, finish)
	}
	rest, finish, _, _ := readStream(t, post(t, t.Context(), s, request("checkable-6+fault-cut-2-once", true, 0, message{"user", "x"}, message{"assistant", text})).Body)
	if text+rest != Checkable(Tag("x"), 6) || finish != "stop" {
		t.Fatalf("%q %q", rest, finish)
	}
}

func TestPaceIsKept(t *testing.T) {
	t.Parallel()
	s := listen(t, Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/chat/completions", strings.NewReader(request("checkable-20", true, 0, message{"user", "x"})))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Fake-First-Delay", "30ms")
	req.Header.Set("X-Fake-Token-Delay", "5ms")
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	readStream(t, resp.Body)
	if d := time.Since(begin); d < 125*time.Millisecond {
		t.Fatalf("20 tokens in %v", d)
	}
}

func TestTokensNeverCutCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Grüße, Ms Łukasz — 100 % “déjà vu” 👩‍💻日本語のテキスト", `{"a":["b",1.5]}`, "   ", "a\n\nb", Checkable("t0", 12), "x"} {
		var b strings.Builder
		for rest := text; rest != ""; {
			n := tokenLen(rest)
			if n < 1 || !utf8.ValidString(rest[:n]) {
				t.Fatalf("%q: token %q", text, rest[:n])
			}
			b.WriteString(rest[:n])
			rest = rest[n:]
		}
		if b.String() != text {
			t.Fatalf("%q became %q", text, b.String())
		}
	}
	if n := countTokens(Checkable("ab12cd34", 500)); n != 500 {
		t.Fatalf("%d tokens", n)
	}
}
