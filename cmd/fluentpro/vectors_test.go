package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/fluentpro/fluentpro/internal/asyncapi"
)

// The conformance vectors of the server: api/vectors/server.json against the
// real process. They hold any other server as well.
func TestServerVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../api/vectors/server.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name  string
			Steps []map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) < 15 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	p := start(t, "vectors", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=500")
	ann, conversation := ready(t, p.base)
	_, foreign := ready(t, p.base)
	for i, v := range file.Vectors {
		c := conversation
		if i > 0 {
			c = ann.converse()
		}
		t.Run(v.Name, func(t *testing.T) {
			s := &vector{t: t, url: p.base + "/api/v2/ws", names: map[string]string{
				"token": ann.token, "conversation": c, "foreign": foreign, "key": newTag()}}
			s.dial()
			defer func() { _ = s.conn.CloseNow() }()
			for n, step := range v.Steps {
				if err := s.step(step); err != nil {
					t.Fatalf("step %d (%s): %v", n+1, step, err)
				}
			}
		})
	}
}

// vector is one conversation of frames, being played.
type vector struct {
	t     *testing.T
	url   string
	conn  *websocket.Conn
	names map[string]string
	// passed are the events of frames that until skipped: a reply may be whole
	// before its message is answered.
	passed []any
	// types of the events that came.
	types map[string]bool
}

func (s *vector) dial() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{Subprotocols: []string{"conv.v1.json"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	conn.SetReadLimit(1 << 20)
	s.conn = conn
}

func (s *vector) step(step map[string]json.RawMessage) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	times := 1
	if n, ok := step["repeat"]; ok {
		if err := json.Unmarshal(n, &times); err != nil {
			return err
		}
	}
	for word, arg := range step {
		var want any
		if err := json.Unmarshal(arg, &want); err != nil {
			return err
		}
		switch word {
		case "repeat":
		case "send":
			raw, err := json.Marshal(s.fill(want))
			if err != nil {
				return err
			}
			return s.conn.Write(ctx, websocket.MessageText, raw)
		case "text":
			for range times {
				if err := s.conn.Write(ctx, websocket.MessageText, []byte(want.(string))); err != nil {
					return err
				}
			}
		case "expect":
			got, err := s.read(ctx)
			if err != nil {
				return err
			}
			return s.match("", want, got)
		case "until":
			return s.until(ctx, want, func(f map[string]any) []any {
				s.passed = append(s.passed, inside(f)...)
				return []any{f}
			})
		case "event":
			for i, e := range s.passed {
				if s.match("", want, e) == nil {
					s.passed = s.passed[i+1:]
					return nil
				}
			}
			s.passed = nil
			return s.until(ctx, want, inside)
		case "close":
			for {
				if _, err := s.read(ctx); err != nil {
					if code := websocket.CloseStatus(err); float64(code) != want {
						return fmt.Errorf("closed with %d: %w", code, err)
					}
					return nil
				}
			}
		case "reconnect":
			_ = s.conn.CloseNow()
			s.passed = nil
			s.dial()
		default:
			return errors.New("unknown step " + word)
		}
	}
	return nil
}

// inside are the events of an ev frame.
func inside(f map[string]any) []any {
	l, _ := f["e"].([]any)
	return l
}

// until reads frames until one of their parts matches.
func (s *vector) until(ctx context.Context, want any, parts func(map[string]any) []any) error {
	for {
		f, err := s.read(ctx)
		if err != nil {
			return err
		}
		for _, p := range parts(f) {
			if s.match("", want, p) == nil {
				return nil
			}
		}
	}
}

func (s *vector) read(ctx context.Context) (map[string]any, error) {
	for {
		_, raw, err := s.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var f map[string]any
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, err
		}
		if err := asyncapi.CheckFrame(raw); err != nil {
			s.t.Errorf("api/asyncapi.json does not fit: %v", err)
		}
		s.seen(f)
		if f["t"] != "ping" {
			return f, nil
		}
	}
}

func (s *vector) seen(f map[string]any) {
	list, _ := f["e"].([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any); ok && s.types != nil {
			s.types[fmt.Sprint(m["type"])] = true
		}
	}
}

// Real traffic is what api/asyncapi.json says: a scenario, a reply, a stopped
// one, seen from their beginnings. read checks each frame.
func TestTrafficFitsTheDocument(t *testing.T) {
	t.Parallel()
	p := start(t, "traffic", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=60")
	l := signUp(t, p.base)
	l.onboard()
	s := &vector{t: t, url: p.base + "/api/v2/ws", types: map[string]bool{}, names: map[string]string{"token": l.token}}
	s.dial()
	defer func() { _ = s.conn.CloseNow() }()
	play := func(steps ...string) {
		t.Helper()
		for _, raw := range steps {
			var step map[string]json.RawMessage
			if err := json.Unmarshal([]byte(raw), &step); err != nil {
				t.Fatal(err)
			}
			if err := s.step(step); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
		}
	}
	play(`{"send":{"t":"hello","token":"$token"}}`, `{"until":{"t":"welcome"}}`)
	s.names["c"] = l.askScenario()
	play(`{"send":{"t":"sub","id":"1","c":"$c"}}`, `{"event":{"type":"conversation.ended"}}`)
	s.names["c"] = l.converse()
	play(`{"send":{"t":"sub","id":"2","c":"$c"}}`, `{"until":{"t":"caught_up","c":"$c"}}`,
		`{"send":{"t":"cmd","id":"3","op":"send","c":"$c","key":"one","args":{"text":"Good morning."}}}`, `{"event":{"type":"partner.completed"}}`,
		`{"send":{"t":"cmd","id":"4","op":"send","c":"$c","key":"two","args":{"text":"Shall we begin?"}}}`, `{"event":{"type":"partner.delta"}}`)
	var got struct {
		State struct{ Open struct{ Run int64 } }
	}
	l.call("GET", "/conversations/"+s.names["c"], nil, &got)
	play(fmt.Sprintf(`{"send":{"t":"cmd","id":"5","op":"cancel","c":"$c","args":{"run":%d}}}`, got.State.Open.Run), `{"event":{"type":"partner.stopped"}}`)
	for _, typ := range []string{"scenario.delta", "scenario.completed", "scenario.ready", "conversation.ended", "message.accepted", "partner.started",
		"partner.delta", "partner.completed", "partner.stopping", "partner.stopped"} {
		if !s.types[typ] {
			t.Errorf("%s was not seen", typ)
		}
	}
}

// fill puts names into a frame.
func (s *vector) fill(v any) any {
	switch x := v.(type) {
	case string:
		if name, ok := strings.CutPrefix(x, "$"); ok {
			return s.names[name]
		}
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = s.fill(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = s.fill(e)
		}
		return out
	}
	return v
}

// match reports where got lacks what is wanted.
func (s *vector) match(at string, want, got any) error {
	differs := fmt.Errorf("%s: got %v, want %v", at, got, want)
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return differs
		}
		for k, e := range w {
			have, ok := g[k]
			if !ok {
				return fmt.Errorf("%s.%s is missing in %v", at, k, got)
			}
			if err := s.match(at+"."+k, e, have); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return differs
		}
		for i := range w {
			if err := s.match(fmt.Sprintf("%s[%d]", at, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		text, isText := got.(string)
		if name, ok := strings.CutPrefix(w, "="); ok && isText {
			s.names[name] = text
			return nil
		}
		kinds := map[string]bool{"<string>": isText && text != "", "<cursor>": isText && strings.Count(text, ".") == 2,
			"<number>": reflect.ValueOf(got).Kind() == reflect.Float64, "<bool>": reflect.ValueOf(got).Kind() == reflect.Bool,
			"<list>": reflect.ValueOf(got).Kind() == reflect.Slice}
		if fits, ok := kinds[w]; ok {
			if !fits {
				return differs
			}
			return nil
		}
	}
	if !reflect.DeepEqual(s.fill(want), got) {
		return differs
	}
	return nil
}
