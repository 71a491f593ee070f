package practice

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// askModel sends p over the real wire and returns the whole answer.
func askModel(t *testing.T, ts *httptest.Server, p Prompt) string {
	t.Helper()
	type line struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	q := map[string]any{"model": "scripted", "max_tokens": p.MaxTokens}
	var lines []line
	for _, m := range p.Messages {
		lines = append(lines, line(m))
	}
	q["messages"] = lines
	if p.Schema != nil {
		q["response_format"] = map[string]any{"type": "json_schema",
			"json_schema": map[string]any{"name": p.SchemaName, "schema": p.Schema, "strict": true}}
	}
	body, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ts.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := ts.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Choices []struct {
			Message struct {
				Content string `json:"content"`
			} `json:"message"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(raw, &out); err != nil || len(out.Choices) != 1 || out.Choices[0].FinishReason != "stop" {
		t.Fatalf("answer %d: %s", res.StatusCode, raw)
	}
	return out.Choices[0].Message.Content
}

// Whoever has no model gets the scripted partner: for every level, partner and
// situation it must write a scenario that our own rules accept, and a line.
func TestScriptedPartnerPassesTheRules(t *testing.T) {
	t.Parallel()
	ts := httptest.NewServer(fake.New(fake.Options{}))
	t.Cleanup(ts.Close)
	n := int64(0)
	for _, level := range []string{"A1", "A2", "B1", "B2", "C1", "C2"} {
		for _, partner := range []string{"clients", "managers", "suppliers", "custom:my boss's <dog>"} {
			for _, situation := range []string{"meetings", "phone_calls", "negotiations", "presentations", "custom:Year end"} {
				n++
				p, err := ScenarioPrompt(marshal(t, RequestMeta{Level: level, NativeLanguage: "de", Industry: "banking_finance",
					JobTitle: "Credit analyst", Partner: Choice{partner, partner}, Situation: Choice{situation, situation}, Variation: n}))
				if err != nil {
					t.Fatal(err)
				}
				s, err := ParseScenario(askModel(t, ts, p))
				if err != nil {
					t.Errorf("%s %s %s: %v", level, partner, situation, err)
					continue
				}
				p, err = PartnerPrompt(marshal(t, ChatMeta{Level: level, Scenario: s}), []Line{{"partner", s.Opening.Line}, {"learner", "We need two more days."}})
				if err != nil {
					t.Fatal(err)
				}
				if askModel(t, ts, p) == "" {
					t.Errorf("%s %s %s: no line", level, partner, situation)
				}
			}
		}
	}
}
