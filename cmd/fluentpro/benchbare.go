package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// bareRelay is what our server is compared with: it reads the upstream's
// stream and writes each chunk's text as one WebSocket frame. No accounts, no
// log, no state, no second viewer; an empty frame ends an answer.
type bareRelay struct {
	client          *http.Client
	upstream, model string
}

func serveBare(ctx context.Context, c *call, listen, upstream, model string) int {
	r := &bareRelay{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}, upstream: upstream, model: model}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ws", r.serve)
	return serveFake(ctx, c, listen, mux)
}

func (b *bareRelay) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return
	}
	defer func() { _ = ws.CloseNow() }()
	for {
		if _, _, err := ws.Read(r.Context()); err != nil {
			return
		}
		if err := b.answer(r.Context(), ws); err != nil {
			_ = ws.Close(websocket.StatusInternalError, "upstream")
			return
		}
	}
}

// answer relays one reply.
func (b *bareRelay) answer(ctx context.Context, ws *websocket.Conn) error {
	body := fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":"Please go on."}]}`, b.model)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.upstream+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok || bytes.Equal(data, []byte("[DONE]")) {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal(data, &chunk); err != nil {
			return err
		}
		if len(chunk.Choices) == 0 || chunk.Choices[0].Delta.Content == "" {
			continue
		}
		if err := ws.Write(ctx, websocket.MessageText, []byte(chunk.Choices[0].Delta.Content)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return ws.Write(ctx, websocket.MessageText, nil)
}
