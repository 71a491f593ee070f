package openai

import (
	"unicode/utf8"

	goopenai "github.com/sashabaranov/go-openai"
)

// Our own count of tokens, for servers that tell none and for windows that
// must not overflow. It is an estimate on the safe side for English: about
// four letters to a token, one for each character of other scripts.
const (
	bytesPerToken    = 4
	tokensPerMessage = 4 // what chat templates put around each
)

// Count estimates the tokens of a text.
func Count(text string) int {
	ascii, other := 0, 0
	for _, r := range text {
		if r < utf8.RuneSelf {
			ascii++
		} else {
			other++
		}
	}
	return (ascii+bytesPerToken-1)/bytesPerToken + other
}

func countMessages(ms []goopenai.ChatCompletionMessage) int {
	n := 0
	for _, m := range ms {
		n += Count(m.Content) + tokensPerMessage
	}
	return n
}

// minCap is the least room for an answer that is worth a call.
const minCap = 64

// trim leaves out the oldest turns until the prompt and maxTokens of answer
// fit into max tokens. The system message at the front (the partner card), the
// last turn of the learner and what stands behind it always stay; where they
// leave too little room the answer gets less. ok is false when not even that
// helps: then a server would cut the card away without a word.
func trim(ms []goopenai.ChatCompletionMessage, max, maxTokens int) (kept []goopenai.ChatCompletionMessage, tokens, dropped int, ok bool) {
	if max <= 0 {
		return ms, maxTokens, 0, true
	}
	max -= max / 20 // our count is an estimate
	head := 0
	for head < len(ms) && systemRole(ms[head].Role) {
		head++
	}
	tail := len(ms) - 1
	for tail > head && ms[tail].Role != "user" {
		tail--
	}
	if tail < head {
		tail = head
	}
	need := countMessages(ms[:head]) + countMessages(ms[tail:])
	if room := max - need; maxTokens > room {
		if room < minCap {
			return ms, maxTokens, 0, false
		}
		maxTokens = room
	}
	left := max - need - maxTokens
	from := tail
	for from > head {
		n := countMessages(ms[from-1 : from])
		if n > left {
			break
		}
		left -= n
		from--
	}
	if from == head {
		return ms, maxTokens, 0, true
	}
	kept = append(kept, ms[:head]...)
	return append(kept, ms[from:]...), maxTokens, from - head, true
}

func systemRole(role string) bool { return role == "system" || role == "developer" }
