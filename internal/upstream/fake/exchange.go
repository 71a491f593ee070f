package fake

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// exchange is one streamed answer. It belongs to one goroutine; one timer and
// one buffer serve all its tokens.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	rc      *http.ResponseController
	q       *chatRequest
	h       *Handler
	call    *Call
	text    string // what remains to be sent
	capped  bool   // the cap cuts the answer here
	prompt  int    // tokens of the request, for usage
	first   time.Duration
	delay   time.Duration
	timer   *time.Timer
	due     time.Time
	head    []byte // a content frame up to the text
	buf     []byte
	sent    int
	noFlush bool
	gone    bool
	// spell, when set, writes a frame another way than "data: …\n\n".
	spell func(frame []byte) []byte
	// split cuts characters beyond ASCII in two frames.
	split bool
	// between writes something before each token.
	between func()
	// stamp puts the time of sending into each token.
	stamp bool
}

// chat answers POST /v1/chat/completions.
func (h *Handler) chat(w http.ResponseWriter, r *http.Request) {
	q, ok := readRequest(w, r)
	if !ok {
		return
	}
	name := parseModel(q.Model, h.o.DefaultModel)
	history, partial := q.split()
	full, capped := answer(name, q, history)
	rest, from, continued := after(full, partial)
	x := &exchange{
		w: w, r: r, rc: http.NewResponseController(w), q: q, h: h, text: rest, capped: capped,
		first: h.o.FirstTokenDelay, delay: h.o.TokenDelay, stamp: name.base == "stamped",
	}
	for _, m := range q.Messages {
		x.prompt += (len(m.Content) + 3) / 4
	}
	if d, err := time.ParseDuration(r.Header.Get("X-Fake-First-Delay")); err == nil {
		x.first = d
	}
	if d, err := time.ParseDuration(r.Header.Get("X-Fake-Token-Delay")); err == nil {
		x.delay = d
	}
	x.call = h.log.begin(Call{
		Model: q.Model, RequestID: r.Header.Get("X-Request-Id"), Tag: tagOf(history), Kept: len(partial),
		Continued: continued, From: from, Status: http.StatusOK,
	})
	w.Header().Set("X-Request-Id", "req_fake_"+strconv.Itoa(x.call.No))
	end := EndComplete
	defer func() {
		if x.timer != nil {
			x.timer.Stop()
		}
		if x.gone || (end != EndRefused && r.Context().Err() != nil) {
			end = EndCancelled
		}
		h.log.update(x.call, func(c *Call) { c.Sent, c.End, c.Ended = x.sent, end, time.Now() })
	}()
	if name.fault != "" && h.strikes(name, history) {
		end = EndFault
		if !x.fault(name.fault) {
			end = EndRefused
			writeError(w, http.StatusNotFound, "invalid_request_error", "model_not_found", "model", "The model does not exist: no such fault.")
			h.log.update(x.call, func(c *Call) { c.Status = http.StatusNotFound })
		}
		return
	}
	if len(name.quirks) > 0 && x.refuseQuirk(name) {
		end = EndRefused
		return
	}
	if !q.Stream {
		x.whole()
		return
	}
	x.open()
	if _, ok := name.quirk("thinks"); ok && !q.thinksLess() {
		x.reasoning(5)
	}
	if _, ok := name.quirk("no-usage"); ok {
		q.StreamOptions.IncludeUsage = false
	}
	x.tokens(-1)
	x.finish(x.reason())
	x.usage()
	x.done()
}

// strikes says whether the fault of this model happens to this request.
func (h *Handler) strikes(n modelName, history []message) bool {
	if !n.once {
		return true
	}
	key := n.fault + "\x00" + strconv.FormatUint(hashMessages(history), 16)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.once[key] {
		return false
	}
	if len(h.once) > 100_000 {
		clear(h.once)
	}
	h.once[key] = true
	return true
}

// after takes the partial answer off the full one.
func after(full, partial string) (rest string, from int, continued bool) {
	if strings.HasPrefix(full, partial) {
		return full[len(partial):], countTokens(partial), partial != ""
	}
	return fresh(partial), 0, false
}

func (x *exchange) reason() string {
	if x.capped {
		return "length"
	}
	return "stop"
}

// whole answers without a stream.
func (x *exchange) whole() {
	if !x.wait(x.first) {
		return
	}
	x.sent = countTokens(x.text)
	model, _ := json.Marshal(x.q.Model)
	b := append([]byte(`{"id":"chatcmpl-fake","object":"chat.completion","created":1780000000,"model":`), model...)
	b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	b = appendQuoted(b, x.text)
	b = append(b, `},"finish_reason":"`+x.reason()+`"}],"usage":`...)
	b = append(x.appendUsage(b), '}')
	x.w.Header().Set("Content-Type", "application/json")
	_, _ = x.w.Write(b)
}

// open sends the header and the first frame, which only names the role.
func (x *exchange) open() {
	x.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	x.w.Header().Set("Cache-Control", "no-cache")
	model, _ := json.Marshal(x.q.Model)
	x.head = append(x.head[:0], `{"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1780000000,"model":`...)
	x.head = append(x.head, model...)
	x.head = append(x.head, `,"choices":[{"index":0,"delta":{`...)
	x.frame(`"role":"assistant","content":""},"finish_reason":null}]}`)
	x.flush()
}

// tokens sends up to n tokens, all that remain when n is negative; false when
// the client has gone.
func (x *exchange) tokens(n int) bool {
	for ; n != 0 && x.text != ""; n-- {
		if x.sent == 0 {
			x.due = time.Now()
			if !x.wait(x.first) {
				return false
			}
			x.due = x.due.Add(x.first)
		} else if x.delay > 0 {
			x.due = x.due.Add(x.delay)
			if !x.wait(time.Until(x.due)) {
				return false
			}
		} else if x.r.Context().Err() != nil {
			x.gone = true
			return false
		}
		if x.between != nil {
			x.between()
		}
		k := tokenLen(x.text)
		if t := x.text[:k]; x.stamp {
			x.content(stampToken(t, time.Now()))
		} else {
			x.content(t)
		}
		x.text = x.text[k:]
		x.sent++
		if !x.noFlush {
			x.flush()
		}
		if x.gone {
			return false
		}
	}
	return true
}

// wait sleeps unless the client goes away.
func (x *exchange) wait(d time.Duration) bool {
	if d <= 0 {
		x.gone = x.gone || x.r.Context().Err() != nil
		return !x.gone
	}
	if x.timer == nil {
		x.timer = time.NewTimer(d)
	} else {
		x.timer.Reset(d)
	}
	select {
	case <-x.timer.C:
		return true
	case <-x.r.Context().Done():
		x.gone = true
		return false
	}
}

// hang waits until the client goes away.
func (x *exchange) hang() {
	x.flush()
	<-x.r.Context().Done()
	x.gone = true
}

// content sends one piece of text.
func (x *exchange) content(t string) {
	if x.split {
		if i := strings.IndexFunc(t, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
			x.contentRaw(t[:i+1])
			x.contentRaw(t[i+1:])
			return
		}
	}
	x.contentRaw(t)
}

func (x *exchange) contentRaw(t string) {
	x.buf = append(x.buf[:0], x.head...)
	x.buf = append(x.buf, `"content":`...)
	x.buf = appendQuoted(x.buf, t)
	x.buf = append(x.buf, `},"finish_reason":null}]}`...)
	x.send(x.buf)
}

// frame sends a chunk whose delta begins with rest.
func (x *exchange) frame(rest string) {
	x.buf = append(append(x.buf[:0], x.head...), rest...)
	x.send(x.buf)
}

// send writes one event.
func (x *exchange) send(frame []byte) {
	if x.spell != nil {
		x.raw(x.spell(frame))
		return
	}
	x.raw(dataPrefix)
	x.raw(frame)
	x.raw(eventEnd)
}

var (
	dataPrefix = []byte("data: ")
	eventEnd   = []byte("\n\n")
)

// raw writes bytes as they are.
func (x *exchange) raw(b []byte) {
	if _, err := x.w.Write(b); err != nil {
		x.gone = true
	}
}

func (x *exchange) flush() {
	if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		x.gone = true
	}
}

func (x *exchange) finish(reason string) {
	x.frame(`},"finish_reason":"` + reason + `"}]}`)
}

// usage sends the last chunk of token counts, if it was asked for.
func (x *exchange) usage() {
	if !x.q.StreamOptions.IncludeUsage {
		return
	}
	b := []byte(`{"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1780000000,"choices":[],"usage":`)
	x.send(append(x.appendUsage(b), '}'))
}

func (x *exchange) appendUsage(b []byte) []byte {
	b = append(b, `{"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(x.prompt), 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, int64(x.sent), 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(x.prompt+x.sent), 10)
	return append(b, '}')
}

func (x *exchange) done() {
	x.send([]byte("[DONE]"))
	x.flush()
}

// appendQuoted appends t as a JSON string; bytes of broken characters go out
// as they are, which is what faults need.
func appendQuoted(b []byte, t string) []byte {
	b = append(b, '"')
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < 0x20:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
