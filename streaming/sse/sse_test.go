package sse

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// block is what a conforming parser dispatches.
type block struct{ event, id, data string }

// parse follows the HTML standard: CR, LF and CRLF end lines, one space after
// the colon is dropped, an id with NUL is ignored.
func parse(s string) (out []block, last string) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	var b block
	var data []string
	for _, line := range strings.Split(s, "\n") {
		if line == "" {
			if len(data) > 0 {
				b.data, b.id = strings.Join(data, "\n"), last
				out = append(out, b)
			}
			b, data = block{}, nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			b.event = value
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				last = value
			}
		}
	}
	return out, last
}

func TestEncodeExactly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"retry", AppendRetry(nil, time.Second), "retry: 1000\n\n"},
		{"negative retry", AppendRetry(nil, -time.Second), "retry: 0\n\n"},
		{"comment", AppendComment(nil, "ok"), ": ok\n\n"},
		{"comment cannot end early", AppendComment(nil, "a\n\ndata: x"), ": a  data: x\n\n"},
		{"id only", AppendID(nil, "3.ab.412"), "id: 3.ab.412\n\n"},
		{"id with a line break is left out", AppendID(nil, "3\ndata: x"), ""},
		{"too long id is left out", AppendID(nil, strings.Repeat("a", 65)), ""},
		{"event", AppendEvent(nil, "", "1.a.2", []byte(`{"a":1}`)), "id: 1.a.2\ndata: {\"a\":1}\n\n"},
		{"joined", AppendEvent(nil, "", "", []byte(`{"a":`), []byte(`1}`)), "data: {\"a\":1}\n\n"},
		{"pretty JSON becomes one line", AppendEvent(nil, "", "", []byte("{\r\n\"a\":1\n}")), "data: {  \"a\":1 }\n\n"},
		{"bad name", AppendEvent(nil, "a\nid: 9", "", []byte(`1`)), "data: 1\n\n"},
		{"NUL", AppendEvent(nil, "", "a\x00", []byte("1\x00")), "data: 1 \n\n"},
	} {
		if string(tc.got) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, tc.got, tc.want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("hb", "1.a.2", []byte(`{"a":"b"}`))
	f.Add("x\r\ndata: y", "1\n2", []byte("a\r\rb\x00"))
	f.Add("", "", []byte("\n\n: c\nid: 7"))
	f.Fuzz(func(t *testing.T, name, id string, data []byte) {
		out := AppendEvent(nil, name, id, data)
		got, last := parse(string(out))
		if len(got) != 1 {
			t.Fatalf("%q made %d events", out, len(got))
		}
		if last != "" && last != id || got[0].event != "" && got[0].event != name {
			t.Fatalf("%q smuggled id %q name %q", out, last, got[0].event)
		}
		want := string(oneLine(data))
		if got[0].data != want {
			t.Fatalf("data %q, want %q", got[0].data, want)
		}
		if bytes.IndexByte(out, 0) >= 0 || bytes.IndexByte(out, '\r') >= 0 {
			t.Fatalf("%q holds CR or NUL", out)
		}
		if ids := AppendID(nil, id); len(ids) > 0 {
			if evs, last := parse(string(ids)); len(evs) != 0 || last != id {
				t.Fatalf("id block %q fired %v, id %q", ids, evs, last)
			}
		}
	})
}

// oneLine is the expectation, written in another way than the encoder.
func oneLine(d []byte) []byte {
	out := append([]byte{}, d...)
	for i, c := range out {
		switch c {
		case '\n', '\r', 0:
			out[i] = ' '
		}
	}
	return out
}

func TestWriterOverHTTP(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := Start(w, time.Second)
		s.Retry(time.Second)
		s.Comment("begin")
		s.ID("1.a.1")
		s.Event("1.a.2", []byte(`{"x":`), []byte(`1}`))
		s.Heartbeat(time.UnixMilli(5))
		if n, err := s.Flush(); err != nil || n == 0 {
			t.Errorf("flush: %d, %v", n, err)
		}
		if n, err := s.Flush(); err != nil || n != 0 {
			t.Errorf("empty flush: %d, %v", n, err)
		}
	}))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for k, want := range map[string]string{
		"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := res.Header.Get(k); got != want {
			t.Errorf("%s: got %q, want %q", k, got, want)
		}
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := "retry: 1000\n\n: begin\n\nid: 1.a.1\n\nid: 1.a.2\ndata: {\"x\":1}\n\nevent: hb\ndata: {\"ts\":5}\n\n"
	if string(body) != want {
		t.Fatalf("got %q, want %q", body, want)
	}
}

// TestDeadlineIsPerFlush: a stream lives far longer than its write timeout, and
// one that nobody reads is given up after it.
func TestDeadlineIsPerFlush(t *testing.T) {
	t.Parallel()
	done := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const timeout = 50 * time.Millisecond
		s := Start(w, timeout)
		s.Comment("a")
		if _, err := s.Flush(); err != nil {
			done <- err
			return
		}
		<-time.After(3 * timeout)
		big := bytes.Repeat([]byte("x"), 1<<20)
		for range 64 {
			s.Event("", big)
			if _, err := s.Flush(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}))
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	buf := make([]byte, 1<<10)
	if _, err := io.ReadFull(res.Body, buf); err != nil {
		t.Fatalf("the stream ended before its first megabyte: %v", err)
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want a deadline error for a reader that stopped", err)
	}
}
