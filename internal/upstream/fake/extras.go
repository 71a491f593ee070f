package fake

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// dimensions is the length of an embedding.
const dimensions = 16

// FlagWord is what the moderation of the stand-in objects to.
const FlagWord = "fluentpro-flag-me"

// extra reads the model and the input, a string or a list of them.
func extra(w http.ResponseWriter, r *http.Request) (model string, input []string, ok bool) {
	var q struct {
		Model string          `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	var one string
	if err == nil && json.Unmarshal(q.Input, &one) == nil {
		input = []string{one}
	} else if err == nil {
		err = json.Unmarshal(q.Input, &input)
	}
	if err != nil || len(input) == 0 {
		writeError(w, http.StatusBadRequest, "invalid_request_error", "", "input", "'input' must be a string or a list of strings.")
		return "", nil, false
	}
	if name := parseModel(q.Model, "scripted"); name.fault != "" {
		writeError(w, http.StatusInternalServerError, "server_error", "", "", "The server had an error.")
		return "", nil, false
	}
	return q.Model, input, true
}

// embeddings answers POST /v1/embeddings with vectors that are a function of
// the text, last text first: the order is the client's to restore.
func (h *Handler) embeddings(w http.ResponseWriter, r *http.Request) {
	model, input, ok := extra(w, r)
	if !ok {
		return
	}
	type row struct {
		Object    string    `json:"object"`
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	var rows []row
	tokens := 0
	for i := len(input) - 1; i >= 0; i-- {
		sum := sha256.Sum256([]byte(input[i]))
		v := make([]float32, dimensions)
		for j := range v {
			v[j] = float32(sum[j])/128 - 1
		}
		rows = append(rows, row{"embedding", i, v})
		tokens += (len(input[i]) + 3) / 4
	}
	writeValue(w, map[string]any{"object": "list", "model": model, "data": rows, "usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens}})
}

// moderations answers POST /v1/moderations.
func (h *Handler) moderations(w http.ResponseWriter, r *http.Request) {
	model, input, ok := extra(w, r)
	if !ok {
		return
	}
	var results []any
	for _, text := range input {
		bad := strings.Contains(text, FlagWord)
		results = append(results, map[string]any{"flagged": bad, "categories": map[string]bool{"harassment": bad, "violence": false},
			"category_scores": map[string]float64{"harassment": 0.5, "violence": 0}})
	}
	writeValue(w, map[string]any{"id": "modr-fake", "model": model, "results": results})
}

func writeValue(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
