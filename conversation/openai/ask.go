package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream"
)

// answer is what came of one plain request of a probe.
type answer struct {
	text         string
	finish       string
	usage        bool
	outputTokens int
	call         *upstream.Call
	first, total time.Duration
}

// ask sends one streamed request as it is, past everything that Generate does
// to make servers alike. onText may end it by an error.
func (c *Client) ask(ctx context.Context, model string, fields map[string]any, onText func() error) (answer, error) {
	a := answer{call: &upstream.Call{}}
	fields["model"], fields["stream"] = model, true
	body, err := json.Marshal(fields)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithCancel(upstream.WithCall(withModel(ctx, model), a.call))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, libraryBase+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	begun := time.Now()
	defer func() { a.total = time.Since(begun) }()
	resp, err := c.at.Do(req)
	if err != nil {
		return a, asFault(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text strings.Builder
	// The body is our own canonical stream: frames of one line each.
	buf := make([]byte, 32<<10)
	var line []byte
	for {
		n, err := resp.Body.Read(buf)
		line = append(line, buf[:n]...)
		for {
			head, rest, ok := bytes.Cut(line, []byte("\n"))
			if !ok {
				break
			}
			line = rest
			var f struct {
				Choices []struct {
					Delta  struct{ Content string }
					Finish string `json:"finish_reason"`
				}
				Usage *struct {
					Completion int `json:"completion_tokens"`
				}
			}
			data, isData := bytes.CutPrefix(head, []byte("data: "))
			if !isData || json.Unmarshal(data, &f) != nil {
				continue
			}
			if f.Usage != nil {
				a.usage, a.outputTokens = true, f.Usage.Completion
			}
			for _, ch := range f.Choices {
				if ch.Finish != "" {
					a.finish = ch.Finish
				}
				if ch.Delta.Content == "" {
					continue
				}
				if text.Len() == 0 {
					a.first = time.Since(begun)
				}
				text.WriteString(ch.Delta.Content)
				if onText != nil {
					if err := onText(); err != nil {
						a.text = text.String()
						return a, err
					}
				}
			}
		}
		if err == io.EOF {
			a.text = text.String()
			return a, nil
		}
		if err != nil {
			a.text = text.String()
			return a, asFault(ctx, err)
		}
	}
}

// listed says whether the server lists the model, and what it tells of its
// context (vLLM does). known is false when it has no list.
func (c *Client) listed(ctx context.Context, model string) (known, found bool, context int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, libraryBase+"/models", nil)
	if err != nil {
		return false, false, 0
	}
	resp, err := c.at.Do(req)
	if err != nil {
		return false, false, 0
	}
	defer func() { _ = resp.Body.Close() }()
	var list struct {
		Data []struct {
			ID  string `json:"id"`
			Max int    `json:"max_model_len"`
			Ctx int    `json:"context_length"`
		} `json:"data"`
	}
	if json.NewDecoder(resp.Body).Decode(&list) != nil || list.Data == nil {
		return false, false, 0
	}
	for _, m := range list.Data {
		if m.ID == model || strings.TrimSuffix(m.ID, ":latest") == model {
			return true, true, max(m.Max, m.Ctx)
		}
	}
	return true, false, 0
}
