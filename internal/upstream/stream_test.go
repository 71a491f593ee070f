package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a recorded-style answer with what must come of it.
type fixture struct {
	head map[string]string
	body []byte
}

func fixtures(t testing.TB) map[string]fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/streams/*.stream")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	out := map[string]fixture{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		head, body, ok := bytes.Cut(b, []byte("\n---\n"))
		if !ok {
			t.Fatalf("%s has no ---", f)
		}
		fx := fixture{head: map[string]string{}, body: body}
		for _, l := range strings.Split(string(head), "\n") {
			k, v, _ := strings.Cut(l, ":")
			fx.head[k] = strings.TrimPrefix(v, " ")
		}
		out[strings.TrimSuffix(filepath.Base(f), ".stream")] = fx
	}
	return out
}

func (f fixture) response() *http.Response {
	status, _ := strconv.Atoi(f.head["status"])
	h := http.Header{"Content-Type": {f.head["content-type"]}}
	for k, v := range f.head {
		if name, ok := strings.CutPrefix(k, "header-"); ok {
			h.Set(name, v)
		}
	}
	return &http.Response{StatusCode: status, Header: h}
}

// canned answers every request with one fixture, in pieces of n bytes.
type canned struct {
	f fixture
	n int
}

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := c.f.response()
	resp.Body = io.NopCloser(&pieces{b: c.f.body, n: c.n})
	resp.Request = r
	return resp, nil
}

type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(p.n, 1))], p.b)
	p.b = p.b[n:]
	return n, nil
}

// read sends one request and reads the normalised answer, checking its form.
func read(t testing.TB, ctx context.Context, d *Doer, url string) (text string, call *Call, err error) {
	t.Helper()
	call = &Call{Correlation: "corr-1"}
	req, err := http.NewRequestWithContext(WithCall(ctx, call), http.MethodPost, url, strings.NewReader(`{"model":"a","messages":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := d.Do(req)
	if err != nil {
		return "", call, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	done := false
	for _, block := range strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n\n") {
		if block == "" {
			continue
		}
		data, ok := strings.CutPrefix(block, "data: ")
		if !ok || done || strings.ContainsAny(data, "\r\n") {
			t.Fatalf("not canonical: %q", block)
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var c struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(data), &c); err != nil || !utf8.ValidString(data) {
			t.Fatalf("%v: %q", err, data)
		}
		for _, ch := range c.Choices {
			text += ch.Delta.Content
		}
	}
	if done != (err == nil) || done != (call.End == EndDone || call.End == EndFinish) || (done && call.Finish == "") {
		t.Fatalf("done %v, error %v, end %q, finish %q", done, err, call.End, call.Finish)
	}
	return text, call, err
}

func TestFixtures(t *testing.T) {
	t.Parallel()
	for name, f := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range [...]int{1, 7, 1 << 20} {
				text, call, err := read(t, t.Context(), New(Options{Transport: canned{f, n}}), "http://model.test/v1")
				if f.head["end"] != string(call.End) || f.head["text"] != text {
					t.Fatalf("pieces of %d: text %q end %q, want %q %q (%v)", n, text, call.End, f.head["text"], f.head["end"], err)
				}
				var fe *fault.Error
				var ue *Error
				if err != nil {
					if !errors.As(err, &fe) || !errors.As(err, &ue) {
						t.Fatalf("untyped error %v", err)
					}
					for _, secret := range [...]string{"secret", "sk-", "boom", "html", "model.test"} {
						if strings.Contains(strings.Replace(err.Error(), "upstream html", "", 1), secret) {
							t.Fatalf("error tells %q: %v", secret, err)
						}
					}
					if strings.Contains(ue.Detail, "sk-") || len(ue.Detail) > maxDetail {
						t.Fatalf("detail is not masked: %q", ue.Detail)
					}
				}
				// A code that the transport cannot know comes from the client.
				if want := f.head["code"]; want != "" && err != nil && string(fe.Code) != want {
					t.Fatalf("code %s, want %s", fe.Code, want)
				}
			}
		})
	}
}

func TestCanonicalFormKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	f := fixtures(t)
	_, call, err := read(t, t.Context(), New(Options{Transport: canned{f["ollama-thinking"], 9}}), "http://x/v1")
	if err != nil || call.ReasoningBytes != 3 || call.Model != "q" || call.Frames != 4 {
		t.Fatalf("%+v %v", call, err)
	}
	_, call, err = read(t, t.Context(), New(Options{Transport: canned{f["comments-302"], 4096}}), "http://x/v1")
	if err != nil || call.Comments != 302 || call.ContentBytes != 5 {
		t.Fatalf("%+v %v", call, err)
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()
	line := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("x", 900) + "\"}}]}\n\n"
	for name, tc := range map[string]struct {
		o    Options
		body string
		kind string
	}{
		"line":  {Options{MaxLine: 500}, line, "line_too_long"},
		"event": {Options{MaxLine: 500}, strings.Repeat("data: \"1234567890\n", 100), "event_too_long"},
		"body":  {Options{MaxBody: 5000}, strings.Repeat(line, 10), "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.o.Transport = canned{fixture{head: map[string]string{"status": "200", "content-type": "text/event-stream"}, body: []byte(tc.body)}, 4096}
			_, call, err := read(t, t.Context(), New(tc.o), "http://x/v1")
			var ue *Error
			if !errors.As(err, &ue) || ue.Kind != tc.kind || call.End != EndInvalid {
				t.Fatalf("%v %q", err, call.End)
			}
		})
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"key hunter2 is bad":                         "key *** is bad",
		"Incorrect API key: sk-abcd1234":             "Incorrect API key: ***",
		"Bearer abc.def":                             "***",
		"mail to a.b@example.com":                    "mail to ***",
		`Unsupported parameter: 'max_tokens'`:        `Unsupported parameter: 'max_tokens'`,
		`invalid content "my boss is a bad manager"`: `invalid content …`,
	} {
		if got := mask(in, []string{"hunter2"}); got != want {
			t.Errorf("%q -> %q, want %q", in, got, want)
		}
	}
	if got := mask(strings.Repeat("é ", 5000), nil); len(got) > maxDetail || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var other int
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { other++ }))
	defer foreign.Close()
	var body string
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(foreign.URL, http.StatusTemporaryRedirect))
	mux.Handle("/get", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/same", http.RedirectHandler("/good", http.StatusPermanentRedirect))
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n")
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	d := New(Options{})
	defer d.CloseIdleConnections()
	for _, path := range [...]string{"/away", "/get"} {
		_, _, err := read(t, t.Context(), d, s.URL+path)
		if fault.CodeOf(err) != fault.UpstreamRejected || other != 0 {
			t.Errorf("%s: %v, %d requests elsewhere", path, err, other)
		}
	}
	if text, _, err := read(t, t.Context(), d, s.URL+"/same"); err != nil || text != "x" || !strings.Contains(body, "messages") {
		t.Errorf("same host: %q %v %q", text, err, body)
	}
}

func TestHeadersAndFields(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Request-Id", "req_9")
		w.Header().Set("X-Fluentpro-Scripted", "1")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	defer s.Close()
	d := New(Options{})
	defer d.CloseIdleConnections()
	call := &Call{Correlation: "corr-7", Set: map[string]json.RawMessage{"model": json.RawMessage(`"b"`), "extra": json.RawMessage("true")}}
	req, err := http.NewRequestWithContext(WithCall(t.Context(), call), http.MethodPost, s.URL, strings.NewReader(`{"model":"a","n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := d.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got.Header.Get("X-Request-Id") != "corr-7" || body != `{"extra":true,"model":"b","n":1}` || call.RequestID != "req_9" || !call.Scripted {
		t.Fatalf("%v %s %+v", got.Header, body, call)
	}
}

// FuzzStream feeds any bytes and demands a canonical answer or a typed error.
func FuzzStream(f *testing.F) {
	for _, x := range fixtures(f) {
		f.Add(x.body, x.head["content-type"] == "application/json")
	}
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		head := map[string]string{"status": "200", "content-type": "text/event-stream"}
		if whole {
			head["content-type"] = "application/json"
		}
		fx := fixture{head: head, body: body}
		a, _, errA := read(t, t.Context(), New(Options{Transport: canned{fx, 1}, MaxLine: 64 << 10}), "http://x/v1")
		b, _, errB := read(t, t.Context(), New(Options{Transport: canned{fx, 1 << 20}, MaxLine: 64 << 10}), "http://x/v1")
		if a != b || fault.CodeOf(errA) != fault.CodeOf(errB) {
			t.Fatalf("depends on how it arrives: %q %v, %q %v", a, errA, b, errB)
		}
	})
}

// FuzzScan holds the scanner against encoding/json.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"x"},"choices":[{"index":0,"delta":{"content":"a\"b"}}]}`))
	f.Add([]byte(`{"a":[1,-2.5e3,true,null,{}],"error":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c chunk
		n, err := scanChunk(b, &c)
		if !json.Valid(b) || err == nil && n == 0 {
			return
		}
		var o map[string]json.RawMessage
		if json.Unmarshal(b, &o) != nil {
			return
		}
		if err != nil {
			if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < maxDepth {
				t.Fatalf("valid JSON refused: %s", b)
			}
			return
		}
		if len(bytes.TrimSpace(b[n:])) != 0 {
			t.Fatalf("stopped at %d of %s", n, b)
		}
		if v, ok := o["error"]; ok && present(v) && c.errValue == nil {
			t.Fatalf("error not seen: %s", b)
		}
	})
}
