package openai

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
)

// looped is an upstream whose answer has n deltas of realistic size (about 280
// bytes each) and no network in front of it.
type looped struct{ n int }

func (l looped) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: r, Body: l.body()}, nil
}

const benchFrame = `data: {"id":"chatcmpl-9x8y7z6w5v4u3t2s1r0qponmlkjihg","object":"chat.completion.chunk","created":1780000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

func (l looped) body() io.ReadCloser {
	return &frames{left: l.n, end: `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"}
}

type frames struct {
	left int
	rest string
	end  string
}

func (f *frames) Read(p []byte) (int, error) {
	if f.rest == "" {
		switch {
		case f.left > 0:
			f.left--
			f.rest = benchFrame
		case f.end != "":
			f.rest, f.end = f.end, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *frames) Close() error { return nil }

const benchDeltas = 4000 // stays under the cap of a body

// BenchmarkDelta is the cost of one relayed delta: normalise, go-openai, emit.
func BenchmarkDelta(b *testing.B) {
	c, err := New(Config{BaseURL: "http://x/v1", Model: "m", Transport: looped{benchDeltas}})
	if err != nil {
		b.Fatal(err)
	}
	p := conversation.Prompt{Messages: []conversation.Message{{Role: "user", Content: "x"}}}
	b.ReportAllocs()
	for done := 0; done < b.N; done += benchDeltas {
		n := 0
		if _, err := c.Generate(context.Background(), p, func(string) error { n++; return nil }); err != nil || n != benchDeltas {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkBareRead reads the same bodies line by line and does nothing else.
func BenchmarkBareRead(b *testing.B) {
	b.ReportAllocs()
	for done := 0; done < b.N; done += benchDeltas {
		sc := bufio.NewScanner(looped{benchDeltas}.body())
		n := 0
		for sc.Scan() {
			if strings.HasPrefix(sc.Text(), "data: {") {
				n++
			}
		}
		if n != benchDeltas+1 {
			b.Fatal(fmt.Sprint(n))
		}
	}
}
