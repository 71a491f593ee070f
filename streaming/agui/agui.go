// Package agui tells a reply as AG-UI events, in the profile that the clients
// 0.0.42 and 1.0.0 accept: no nulls, no empty deltas, every message closed
// before the run, and nothing behind the run's end.
package agui

import "encoding/json"

// Encoder implements streaming.ReplyEncoder; it is for one stream.
type Encoder struct {
	thread, run string
	messages    []json.RawMessage
	message     string
	texting     bool
}

// New tells a reply as run of thread, both named by the client. A client that
// comes back brings what it had seen of the reply among its messages; messages,
// unless empty, are then its own without that piece and replace them, so that
// the reply, which is told from its beginning, is not there twice.
func New(thread, run string, messages []json.RawMessage) *Encoder {
	return &Encoder{thread: thread, run: run, messages: messages}
}

type event struct {
	Type      string            `json:"type"`
	ThreadID  string            `json:"threadId,omitempty"`
	RunID     string            `json:"runId,omitempty"`
	MessageID string            `json:"messageId,omitempty"`
	Role      string            `json:"role,omitempty"`
	Delta     string            `json:"delta,omitempty"`
	Messages  []json.RawMessage `json:"messages,omitempty"`
	Name      string            `json:"name,omitempty"`
	Value     any               `json:"value,omitempty"`
	Result    *result           `json:"result,omitempty"`
	Message   string            `json:"message,omitempty"`
	Code      string            `json:"code,omitempty"`
}

type status struct {
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

type result struct {
	Stopped bool `json:"stopped"`
}

func encode(es ...event) [][]byte {
	out := make([][]byte, 0, len(es))
	for _, e := range es {
		raw, err := json.Marshal(e)
		if err != nil { // strings and checked JSON always marshal
			continue
		}
		out = append(out, raw)
	}
	return out
}

// Open implements streaming.ReplyEncoder: nothing may come before the run.
func (e *Encoder) Open() [][]byte {
	es := []event{{Type: "RUN_STARTED", ThreadID: e.thread, RunID: e.run}}
	if len(e.messages) > 0 {
		es = append(es, event{Type: "MESSAGES_SNAPSHOT", Messages: e.messages})
	}
	return encode(es...)
}

// Begin implements streaming.ReplyEncoder; the message starts with its first
// text.
func (e *Encoder) Begin(messageID string) [][]byte {
	e.message = messageID
	return nil
}

// Text implements streaming.ReplyEncoder.
func (e *Encoder) Text(text string) [][]byte {
	content := event{Type: "TEXT_MESSAGE_CONTENT", MessageID: e.message, Delta: text}
	if e.texting {
		return encode(content)
	}
	e.texting = true
	return encode(event{Type: "TEXT_MESSAGE_START", MessageID: e.message, Role: "assistant"}, content)
}

// Status implements streaming.ReplyEncoder.
func (e *Encoder) Status(state, reason string) [][]byte {
	return encode(event{Type: "CUSTOM", Name: "status", Value: &status{state, reason}})
}

// Fact implements streaming.ReplyEncoder.
func (e *Encoder) Fact(kind, id, typ string, data json.RawMessage) [][]byte {
	return encode(event{Type: "CUSTOM", Name: kind, Value: fact{id, typ, data}})
}

// fact is the value of a custom event about the practice.
type fact struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// Completed implements streaming.ReplyEncoder.
func (e *Encoder) Completed(string) [][]byte {
	return encode(append(e.endText(), e.finished(nil))...)
}

// Stopped implements streaming.ReplyEncoder.
func (e *Encoder) Stopped() [][]byte {
	return encode(append(e.endText(), e.finished(&result{Stopped: true}))...)
}

func (e *Encoder) finished(r *result) event {
	return event{Type: "RUN_FINISHED", ThreadID: e.thread, RunID: e.run, Result: r}
}

// Failed implements streaming.ReplyEncoder.
func (e *Encoder) Failed(code, message string) [][]byte {
	if message == "" {
		message = "The reply failed."
	}
	return encode(append(e.endText(), event{Type: "RUN_ERROR", Message: message, Code: code})...)
}

func (e *Encoder) endText() []event {
	if !e.texting {
		return nil
	}
	e.texting = false
	return []event{{Type: "TEXT_MESSAGE_END", MessageID: e.message}}
}
