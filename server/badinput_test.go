package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

const messages = Prefix + "/conversations/" + annsID + "/messages"

func TestBadBodies(t *testing.T) {
	t.Parallel()
	nest := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, c := range []struct {
		name, body string
		code       fault.Code
		headers    []string
	}{
		{"J1 NUL escape", `{"client_id":"a","text":"a\u0000b"}`, fault.BadRequest, nil},
		{"J1 NUL in a key", `{"client_id":"a","te\u0000xt":"b"}`, fault.BadRequest, nil},
		{"J2 lone high surrogate", `{"client_id":"a","text":"\ud800"}`, fault.BadRequest, nil},
		{"J2 lone low surrogate", `{"client_id":"a","text":"\udc00x"}`, fault.BadRequest, nil},
		{"J2 two high surrogates", `{"client_id":"a","text":"\ud800\ud800"}`, fault.BadRequest, nil},
		{"J3 raw 0xFF", "{\"client_id\":\"a\",\"text\":\"\xff\"}", fault.BadRequest, nil},
		{"J4 duplicate key", `{"client_id":"a","text":"a","text":"b"}`, fault.BadRequest, nil},
		{"J4 case variant", `{"client_id":"a","text":"a","Text":"b"}`, fault.BadRequest, nil},
		{"J4 long s", `{"client_id":"a","text":"a","ſet":1,"set":2}`, fault.BadRequest, nil},
		{"J4 escaped duplicate", `{"client_id":"a","text":"a","te\u0078t":"b"}`, fault.BadRequest, nil},
		{"J4 only a case variant", `{"client_id":"a","Text":"b"}`, fault.Invalid, nil},
		{"J4 nested duplicate", `{"a":[{"b":1,"b":2}]}`, fault.BadRequest, nil},
		{"J5 role", `{"client_id":"a","text":"a","role":"system"}`, fault.Invalid, nil},
		{"J5 owner", `{"client_id":"a","text":"a","owner":"ben","seq":1}`, fault.Invalid, nil},
		{"J6 two values", `{"client_id":"a","text":"a"}{}`, fault.BadRequest, nil},
		{"J6 trailing garbage", `{"client_id":"a","text":"a"} x`, fault.BadRequest, nil},
		{"J6 BOM", "\ufeff" + `{"client_id":"a","text":"a"}`, fault.BadRequest, nil},
		{"J7 depth 17", nest(17), fault.BadRequest, nil},
		{"J7 depth 10001", nest(10001), fault.BadRequest, nil},
		{"J7 depth 16 is only unknown", nest(16), fault.Invalid, nil},
		{"J8 number for text", `{"client_id":"a","text":9007199254740993}`, fault.Invalid, nil},
		{"J8 huge number", `{"client_id":"a","text":1e400}`, fault.BadRequest, nil},
		{"J8 NaN", `{"client_id":"a","text":NaN}`, fault.BadRequest, nil},
		{"J9 too long", `{"client_id":"a","text":"` + strings.Repeat("a", 64<<10) + `"}`, fault.TooLarge, nil},
		{"J10 no type", `{"client_id":"a","text":"a"}`, fault.UnsupportedMedia, []string{"Content-Type: -"}},
		{"J10 text/plain", `{"client_id":"a","text":"a"}`, fault.UnsupportedMedia, []string{"Content-Type: -", "Content-Type: text/plain"}},
		{"J10 two types", `{"client_id":"a","text":"a"}`, fault.UnsupportedMedia, []string{"Content-Type: text/plain"}},
		{"J10 utf-16", `{"client_id":"a","text":"a"}`, fault.UnsupportedMedia, []string{"Content-Type: -", "Content-Type: application/json; charset=utf-16"}},
		{"J10 gzip", `{"client_id":"a","text":"a"}`, fault.UnsupportedMedia, []string{"Content-Encoding: gzip"}},
		{"J11 empty", ``, fault.BadRequest, nil},
		{"J11 null", `null`, fault.BadRequest, nil},
		{"J11 array", `[]`, fault.BadRequest, nil},
		{"J11 string", `"x"`, fault.BadRequest, nil},
		{"J11 spaces", ` `, fault.BadRequest, nil},
		{"J12 empty text", `{"client_id":"a","text":""}`, fault.Invalid, nil},
		{"J12 8193 characters", `{"client_id":"a","text":"` + strings.Repeat("é", 8193) + `"}`, fault.Invalid, nil},
		{"J13 no client_id", `{"text":"a"}`, fault.Invalid, nil},
		{"J13 empty client_id", `{"client_id":"","text":"a"}`, fault.Invalid, nil},
		{"J13 braces", `{"client_id":"{x}","text":"a"}`, fault.Invalid, nil},
		{"J13 newline", `{"client_id":"a\n","text":"a"}`, fault.Invalid, nil},
		{"J13 long", `{"client_id":"` + strings.Repeat("a", 65) + `","text":"a"}`, fault.Invalid, nil},
		{"J13 differs from header", `{"client_id":"a","text":"a"}`, fault.Invalid, []string{"Idempotency-Key: b"}},
		{"J13 bad header", `{"text":"a"}`, fault.Invalid, []string{"Idempotency-Key: b c"}},
		{"unknown policy", `{"client_id":"a","text":"a","policy":"undo"}`, fault.Invalid, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			w := f.call(t, "POST", messages, c.body, append(c.headers, ann)...)
			p := wantProblem(t, w, c.code)
			if c.code == fault.Invalid && len(p.Errors) == 0 {
				t.Fatalf("no field is named: %+v", p)
			}
			if len(f.convs.sent) != 0 {
				t.Fatalf("reached the engine: %+v", f.convs.sent)
			}
			if w.Body.Len() > 2000 {
				t.Fatalf("the answer has %d bytes", w.Body.Len())
			}
		})
	}
}

// What looks odd and is fine must arrive unchanged.
func TestOddTextsPass(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"J12 accents": "e" + strings.Repeat("\u0301", 5000), "J12 rtl": "a\u202eb", "J12 emoji": "👩‍👩‍👧", "J12 8192 of 4 bytes": strings.Repeat("𝄞", 8192),
		"J14 script": "<script>alert(1)</script>", "J14 image": "![x](https://evil/?q=)", "J14 crlf": "a\r\nSet-Cookie: x", "J14 ansi": "\x1b[31m", "quote": `"\u0041`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			body := fmt.Sprintf(`{"client_id":"a.B_:-9","text":%s}`, quoteJSON(text))
			if w := f.call(t, "POST", messages, body, ann); w.Code != http.StatusAccepted {
				t.Fatalf("got %d %s", w.Code, w.Body)
			}
			if got := f.convs.sent[0]; got.Text != text || got.ClientID != "a.B_:-9" || got.Policy != "enqueue" || got.Learner != "ann" {
				t.Fatalf("arrived as %+v", got)
			}
		})
	}
	f := newFixture(t, nil)
	w := f.call(t, "POST", messages, `{"text":"\ud834\udd1e \\u0000"}`, ann, "Idempotency-Key: k")
	if w.Code != http.StatusAccepted || f.convs.sent[0].Text != `𝄞 \u0000` || f.convs.sent[0].ClientID != "k" {
		t.Fatalf("got %d %+v", w.Code, f.convs.sent)
	}
}

func quoteJSON(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func TestAllFieldErrorsAtOnceWithoutValues(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	w := f.call(t, "POST", messages, `{"client_id":"CANARY c","policy":"CANARY","CANARY\n<x>":1}`, ann)
	p := wantProblem(t, w, fault.Invalid)
	got := map[string]string{}
	for _, e := range p.Errors {
		got[e.Name] = e.Code
	}
	for name, code := range map[string]string{"client_id": "bad_format", "policy": "not_in_list", "text": "required", "CANARY??x?": "unknown"} {
		if got[name] != code {
			t.Errorf("%s: got %q, want %q (all: %v)", name, got[name], code, got)
		}
	}
	if strings.Contains(w.Body.String(), "CANARY c") {
		t.Fatal("the rejected value comes back")
	}
}

func TestBadPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		code         fault.Code
	}{
		{"GET", "/api/v1/me", fault.UnknownVersion},
		{"GET", "/api/v99", fault.UnknownVersion},
		{"GET", "/api/v2", fault.NotFound},
		{"GET", "/api", fault.NotFound},
		{"GET", "/api/vx/y", fault.NotFound},
		{"GET", Prefix + "/no-such", fault.NotFound},
		{"GET", Prefix + "/scenarios/", fault.NotFound},
		{"GET", Prefix + "//scenarios", fault.NotFound},
		{"GET", Prefix + "/scenarios/..%2f..%2fetc", fault.NotFound},
		{"GET", Prefix + "/scenarios/%00", fault.NotFound},
		{"GET", Prefix + "/scenarios/" + strings.ToUpper(noID), fault.NotFound},
		{"GET", Prefix + "/scenarios/{" + noID + "}", fault.NotFound},
		{"GET", Prefix + "/conversations/urn:uuid:" + noID, fault.NotFound},
		{"GET", Prefix + "/conversations/" + annsID + ";jsessionid=1", fault.NotFound},
		{"GET", Prefix + "/conversations/x/events", fault.NotFound},
		{"GET", Prefix + "/conversations/" + strings.Repeat("a", 8000), fault.Invalid},
		{"GET", Prefix + "/scenarios?limit=0", fault.Invalid},
		{"GET", Prefix + "/scenarios?limit=1e9", fault.Invalid},
		{"POST", Prefix + "/conversations/" + annsID + "/runs/0/cancel", fault.Invalid},
		{"POST", Prefix + "/conversations/" + annsID + "/runs/99999999999999999999/cancel", fault.Invalid},
		{"DELETE", Prefix + "/scenarios", fault.MethodNotAllowed},
		{"TRACE", Prefix + "/scenarios", fault.MethodNotAllowed},
		{"PROPFIND", Prefix + "/scenarios", fault.MethodNotAllowed},
		{"get", Prefix + "/scenarios", fault.MethodNotAllowed},
		{"OPTIONS", Prefix + "/scenarios", fault.MethodNotAllowed},
		{"POST", "/", fault.MethodNotAllowed},
		{"GET", "/metrics", fault.NotFound},
		{"GET", "/debug/pprof/", fault.NotFound},
		{"GET", "/ops/v1/state", fault.NotFound},
		{"GET", "/admin", fault.NotFound},
	} {
		t.Run(c.method+" "+c.path[:min(len(c.path), 60)], func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			w := f.call(t, c.method, c.path, "", ann)
			wantProblem(t, w, c.code)
			if c.code == fault.MethodNotAllowed && !strings.Contains(w.Header().Get("Allow"), "GET") {
				t.Fatalf("Allow is %q", w.Header().Get("Allow"))
			}
			if strings.HasPrefix(c.path, "/api") && w.Header().Get("Cache-Control") != "no-store" {
				t.Fatal("an API answer may be cached")
			}
		})
	}
}

// H1 to H4, H11: what only a real socket can send.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(d *Deps) { d.BodyTimeout = 50 * time.Millisecond })
	ts := httptest.NewUnstartedServer(f)
	ts.Config = HTTPServer(f, f.log)
	ts.Start()
	t.Cleanup(ts.Close)
	head := "POST " + messages + " HTTP/1.1\r\nHost: " + ts.Listener.Addr().String() + "\r\nAuthorization: Bearer tok-ann\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name, raw string
		status    int
	}{
		{"H2 body that never comes", head + "Content-Length: 100\r\n\r\n{", 400},
		{"J9 chunked without end", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", 400},
		{"J9 announced 10 MiB", head + "Content-Length: 10485760\r\n\r\n{", 413},
		{"J9 chunked 64 KiB and more", head + "Transfer-Encoding: chunked\r\n\r\n10001\r\n" + strings.Repeat("x", 0x10001) + "\r\n0\r\n\r\n", 413},
		{"H3 big header", head + "X: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", 431},
		{"H4 two lengths", head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400},
		{"H4 unknown coding", head + "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
		{"H11 no host", "GET /livez HTTP/1.1\r\n\r\n", 400},
		{"H11 two hosts", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"H12 expects 100", head + "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ts.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := conn.Write([]byte(c.raw)); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.Contains(line, fmt.Sprintf(" %d ", c.status)) {
				t.Fatalf("got %q %v, want %d", line, err, c.status)
			}
		})
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":"\ud834\udd1e"}]}`, `{"a":"\u0000"}`, `{"a":1,"A":2}`, `[`, `{"a":"\\"}`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := checkJSON(b, maxDepth); err != nil && fault.CodeOf(err) != fault.BadRequest {
			t.Fatalf("%q: %v", b, err)
		}
	})
}
