// Package aisdk tells a reply as the UI message stream, version 1, of the AI
// SDK, in the profile that its versions 5.0.0 to 7 accept: an unknown type
// breaks every one of them, an unknown key the oldest.
package aisdk

import (
	"encoding/json"
	"net/http"
)

// Encoder implements streaming.ReplyEncoder; it is for one stream.
type Encoder struct {
	// texting is set once the text part is open.
	texting bool
}

// Header sets what the protocol asks of an answer.
func Header(h http.Header) { h.Set("X-Vercel-Ai-Ui-Message-Stream", "v1") }

// partID names the one text part. A second text-start would make a second part
// in the client, so a takeover goes on in the same one.
const partID = "text"

// chunk holds the keys that the profile allows, in the order of the schema.
type chunk struct {
	Type      string `json:"type"`
	MessageID string `json:"messageId,omitempty"`
	ID        string `json:"id,omitempty"`
	Delta     string `json:"delta,omitempty"`
	ErrorText string `json:"errorText,omitempty"`
	Data      any    `json:"data,omitempty"`
	Transient bool   `json:"transient,omitempty"`
}

type status struct {
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

var done = []byte("[DONE]")

func encode(cs ...chunk) [][]byte {
	out := make([][]byte, 0, len(cs)+1)
	for _, c := range cs {
		raw, err := json.Marshal(c)
		if err != nil { // strings always marshal
			continue
		}
		out = append(out, raw)
	}
	return out
}

// Open implements streaming.ReplyEncoder: a message needs its id first.
func (e *Encoder) Open() [][]byte { return nil }

// Begin implements streaming.ReplyEncoder. A client that has the message
// already (resume) replaces it by its id.
func (e *Encoder) Begin(messageID string) [][]byte {
	return encode(chunk{Type: "start", MessageID: messageID}, chunk{Type: "start-step"})
}

// Text implements streaming.ReplyEncoder.
func (e *Encoder) Text(text string) [][]byte {
	delta := chunk{Type: "text-delta", ID: partID, Delta: text}
	if e.texting {
		return encode(delta)
	}
	e.texting = true
	return encode(chunk{Type: "text-start", ID: partID}, delta)
}

// Status implements streaming.ReplyEncoder by a part that the client shows to
// its onData callback and does not keep. An error chunk would end the answer
// in the client, so passing trouble is never one.
func (e *Encoder) Status(state, reason string) [][]byte {
	return encode(chunk{Type: "data-status", Data: status{state, reason}, Transient: true})
}

// Fact implements streaming.ReplyEncoder by a part that the client keeps with
// the message; the same id again replaces it.
func (e *Encoder) Fact(kind, id, typ string, data json.RawMessage) [][]byte {
	return encode(chunk{Type: "data-" + kind, ID: id, Data: fact{typ, data}})
}

// fact is what a data part of the practice holds.
type fact struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// Completed implements streaming.ReplyEncoder. The oldest version refuses a
// finishReason, so there is none.
func (e *Encoder) Completed(string) [][]byte {
	return append(encode(append(e.endText(), chunk{Type: "finish-step"}, chunk{Type: "finish"})...), done)
}

// Stopped implements streaming.ReplyEncoder.
func (e *Encoder) Stopped() [][]byte {
	return append(encode(append(e.endText(), chunk{Type: "abort"})...), done)
}

// Failed implements streaming.ReplyEncoder.
func (e *Encoder) Failed(code, message string) [][]byte {
	if message == "" {
		message = "The reply failed."
	}
	if code != "" {
		message += " (" + code + ")"
	}
	return append(encode(append(e.endText(), chunk{Type: "error", ErrorText: message})...), done)
}

func (e *Encoder) endText() []chunk {
	if !e.texting {
		return nil
	}
	e.texting = false
	return []chunk{{Type: "text-end", ID: partID}}
}
