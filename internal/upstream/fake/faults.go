package fake

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// faults are the ways to go wrong after the header, by name without number.
// n is the number of the name, -1 when left out.
var faults = map[string]func(x *exchange, n int){
	"comments": func(x *exchange, _ int) { x.open(); x.comments() },
	"comments-first": func(x *exchange, n int) {
		x.open()
		for range orDefault(n, 151) {
			x.raw([]byte(": still working\n\n"))
		}
		x.flush()
		x.rest()
	},
	"headers": func(x *exchange, _ int) { x.header(); x.hang() },
	"slow-first": func(x *exchange, n int) {
		x.first = time.Duration(orDefault(n, 21000)) * time.Millisecond
		x.open()
		x.rest()
	},
	"stall": func(x *exchange, n int) { x.begin(n); x.hang() },
	"stall-comments": func(x *exchange, n int) {
		x.begin(n)
		x.comments()
	},
	"cut":     func(x *exchange, n int) { x.begin(n) },
	"rst":     func(x *exchange, n int) { x.begin(n); x.reset() },
	"no-done": func(x *exchange, _ int) { x.open(); x.tokens(-1); x.finish(x.reason()); x.flush() },
	"no-finish": func(x *exchange, _ int) {
		x.open()
		x.tokens(-1)
		x.done()
	},
	"done-open":   func(x *exchange, _ int) { x.open(); x.rest(); x.hang() },
	"finish-open": func(x *exchange, _ int) { x.open(); x.tokens(-1); x.finish(x.reason()); x.hang() },
	"utf8":        func(x *exchange, n int) { x.begin(n); x.contentRaw("caf\xc3"); x.flush() },
	"utf8-split":  func(x *exchange, _ int) { x.split = true; x.open(); x.rest() },
	"error-midstream": func(x *exchange, n int) {
		x.begin(n)
		x.send(errorJSON("server_error", "server_error", "", "The server had an error while processing your request."))
		x.flush()
	},
	"error-space": func(x *exchange, n int) {
		x.begin(n)
		x.send([]byte(`{ "error" : { "message" : "The server had an error.", "type" : "server_error" } }`))
		x.done()
	},
	"error-late": func(x *exchange, n int) {
		x.begin(n)
		x.send([]byte(`{"id":"gen-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"Provider disconnected"}}`))
		x.done()
	},
	"error-event": func(x *exchange, n int) {
		x.begin(n)
		x.raw([]byte("event: error\ndata: {\"code\":503,\"message\":\"overloaded\"}\n\n"))
		x.flush()
	},
	"error-noline": func(x *exchange, n int) {
		x.begin(n)
		x.raw(append([]byte("data: "), errorJSON("server_error", "", "", "broken pipe")...))
		x.hang()
	},
	"finish-error": func(x *exchange, n int) { x.begin(n); x.finish("error"); x.done() },
	"filter":       func(x *exchange, n int) { x.begin(n); x.finish("content_filter"); x.done() },
	"refusal": func(x *exchange, _ int) {
		x.open()
		x.frame(`"refusal":"I cannot help with that."},"finish_reason":null}]}`)
		x.finish("stop")
		x.done()
	},
	"reasoning": func(x *exchange, n int) { x.open(); x.reasoning(orDefault(n, 3)); x.rest() },
	"starved":   func(x *exchange, _ int) { x.open(); x.reasoning(5); x.finish("length"); x.usage(); x.done() },
	"empty":     func(x *exchange, _ int) { x.open(); x.finish("stop"); x.done() },
	"200-error": func(x *exchange, _ int) {
		x.w.Header().Set("Content-Type", "application/json")
		x.raw(errorJSON("server_error", "server_error", "", "The server had an error."))
	},
	"json":     func(x *exchange, _ int) { x.whole() },
	"html":     func(x *exchange, _ int) { x.page(http.StatusOK) },
	"502-html": func(x *exchange, _ int) { x.page(http.StatusBadGateway) },
	"garbage": func(x *exchange, n int) {
		x.begin(orDefault(n, 0))
		x.raw([]byte("data: {\"choices\":[{\"del\n\n"))
		x.flush()
	},
	"redirect": func(x *exchange, _ int) {
		x.w.Header().Set("Location", "http://127.0.0.2:9/v1/chat/completions")
		x.status(http.StatusTemporaryRedirect)
	},
	"empty-choices": func(x *exchange, _ int) {
		x.between = func() {
			x.raw([]byte("data: {\"choices\":[],\"prompt_filter_results\":[]}\n\ndata: {\"choices\":[{\"index\":0,\"finish_reason\":null}]}\n\n"))
		}
		x.open()
		x.rest()
	},
	"nulls": func(x *exchange, _ int) {
		x.between = func() {
			x.raw([]byte(`data: {"id":null,"model":null,"error":null,"usage":null,"choices":[{"index":0,"delta":{"content":null,"role":null,"tool_calls":null,"reasoning":null},"logprobs":null,"finish_reason":""}]}` + "\n\ndata: {\"choices\":null}\n\ndata: {\"choices\":[{\"delta\":null}]}\n\n"))
		}
		x.open()
		x.rest()
	},
	"index": func(x *exchange, _ int) {
		x.between = func() {
			x.raw([]byte(`data: {"choices":[{"delta":{"content":"WRONG"},"finish_reason":"stop","index":1}]}` + "\n\n"))
		}
		x.open()
		x.rest()
	},
	"double-finish": func(x *exchange, _ int) {
		x.open()
		x.tokens(-1)
		x.finish("stop")
		x.finish("length")
		x.usage()
		x.done()
	},
	"after-finish": func(x *exchange, _ int) {
		x.open()
		x.tokens(-1)
		x.finish("stop")
		x.contentRaw("WRONG")
		x.done()
	},
	"crlf":      func(x *exchange, _ int) { x.respell("data: %s\r\n\r\n") },
	"nospace":   func(x *exchange, _ int) { x.respell("data:%s\n\n") },
	"noblank":   func(x *exchange, _ int) { x.respell("data: %s\n") },
	"multiline": func(x *exchange, _ int) { x.respell("") },
	"long-line": func(x *exchange, _ int) {
		x.open()
		x.raw(dataPrefix)
		block := bytes.Repeat([]byte("x"), 64<<10)
		for range 20 {
			x.raw(block)
		}
		x.raw(eventEnd)
	},
	"tiny": func(x *exchange, n int) {
		x.open()
		for range orDefault(n, 100_000) {
			if x.gone || x.r.Context().Err() != nil {
				return
			}
			x.contentRaw("x")
			x.sent++
		}
		x.finish("stop")
		x.done()
	},
	"flood": func(x *exchange, _ int) { x.noFlush, x.delay = true, 0; x.open(); x.rest() },
	"gzip-bomb": func(x *exchange, _ int) {
		x.w.Header().Set("Content-Encoding", "gzip")
		x.header()
		z := gzip.NewWriter(x.w)
		_, _ = io.CopyN(z, zeros{}, 8<<20)
		_ = z.Close()
	},
}

// fault makes the named fault happen; false when there is no such fault.
func (x *exchange) fault(name string) bool {
	name = strings.TrimPrefix(name, "fault-")
	if name == "silent" {
		<-x.r.Context().Done()
		x.gone = true
		return true
	}
	if f, ok := faults[name]; ok {
		f(x, -1)
		return true
	}
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if n := atoi(name[i+1:], -1); n >= 0 {
			if f, ok := faults[name[:i]]; ok {
				f(x, n)
				return true
			}
		}
	}
	code, arg, _ := strings.Cut(name, "-")
	if s := atoi(code, 0); s >= 400 && s < 600 {
		x.refuse(s, arg)
		return true
	}
	return false
}

// refuse answers with a status. arg is a Retry-After, or for 400 the name of
// the field to complain about.
func (x *exchange) refuse(s int, arg string) {
	typ, code := "server_error", ""
	switch {
	case s == http.StatusTooManyRequests:
		typ, code = "requests", "rate_limit_exceeded"
	case s == http.StatusUnauthorized:
		typ, code = "invalid_request_error", "invalid_api_key"
	case s < 500:
		typ = "invalid_request_error"
	}
	if s == http.StatusBadRequest && arg != "" {
		if _, sent := x.q.fields[arg]; !sent {
			if x.q.Stream {
				x.open()
				x.rest()
			} else {
				x.whole()
			}
			return
		}
		x.h.log.update(x.call, func(c *Call) { c.Status = s })
		writeError(x.w, s, typ, "unsupported_parameter", arg, "Unsupported parameter: '"+arg+"' is not supported with this model.")
		return
	}
	switch {
	case arg == "date":
		x.w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
	case strings.HasSuffix(arg, "ms"):
		x.w.Header().Set("Retry-After-Ms", strings.TrimSuffix(arg, "ms"))
	case arg != "":
		x.w.Header().Set("Retry-After", arg)
	}
	x.h.log.update(x.call, func(c *Call) { c.Status = s })
	writeError(x.w, s, typ, code, "", http.StatusText(s)+".")
}

func orDefault(n, def int) int {
	if n < 0 {
		return def
	}
	return n
}

// header sends the header alone.
func (x *exchange) header() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.w.WriteHeader(http.StatusOK)
	x.flush()
}

func (x *exchange) status(s int) {
	x.w.WriteHeader(s)
	x.h.log.update(x.call, func(c *Call) { c.Status = s })
}

// begin opens the stream and sends n tokens, 3 when n is negative.
func (x *exchange) begin(n int) {
	x.open()
	x.tokens(orDefault(n, 3))
}

// rest sends what is left of a good answer.
func (x *exchange) rest() {
	if x.tokens(-1) {
		x.finish(x.reason())
		x.usage()
		x.done()
	}
}

// comments sends one every 100 ms until the client goes away.
func (x *exchange) comments() {
	for !x.gone {
		x.raw([]byte(": OPENROUTER PROCESSING\n\n"))
		x.flush()
		if !x.wait(100 * time.Millisecond) {
			return
		}
	}
}

// reasoning sends thinking under both of its names.
func (x *exchange) reasoning(n int) {
	for i := range n {
		key := [...]string{"reasoning", "reasoning_content"}[i%2]
		x.frame(`"` + key + `":"let me think"},"finish_reason":null}]}`)
		x.flush()
		if !x.wait(x.delay) {
			return
		}
	}
}

// page answers with HTML.
func (x *exchange) page(s int) {
	x.w.Header().Set("Content-Type", "text/html")
	x.status(s)
	x.raw([]byte("<!doctype html><title>Bad gateway</title><p>nginx sk-secret1234567890\n"))
}

// respell sends the whole answer with another line form; "" splits each frame
// into two data lines.
func (x *exchange) respell(form string) {
	x.spell = func(frame []byte) []byte {
		if form != "" {
			return fmt.Appendf(nil, form, frame)
		}
		if i := bytes.IndexByte(frame, ','); i > 0 {
			return fmt.Appendf(nil, "data: %s\ndata: %s\n\n", frame[:i+1], frame[i+1:])
		}
		return fmt.Appendf(nil, "data: %s\n\n", frame)
	}
	x.open()
	x.rest()
}

// reset ends the connection with RST in the middle of a frame.
func (x *exchange) reset() {
	conn, buf, err := x.rc.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	frame := `data: {"choices":[{"index":0,"del`
	_, _ = buf.WriteString(strconv.FormatInt(int64(len(frame)+100), 16) + "\r\n" + frame)
	_ = buf.Flush()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
