package main

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/coder/websocket"
)

// rawSocket speaks the protocol by hand, for what a good client never does.
type rawSocket struct {
	t    *testing.T
	conn *websocket.Conn
}

// rawFrame is any frame of the server.
type rawFrame struct {
	T, ID, C, Code, Session, Mode, Cur, Reason string
	Resumed, OK, Retryable                     bool
	N                                          int64
	Err                                        struct{ Code string }
	Data                                       json.RawMessage
}

func dialRaw(t *testing.T, base, token string, header ...string) *rawSocket {
	t.Helper()
	s, res, err := tryRaw(t, base, token, header...)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, res)
	}
	return s
}

func tryRaw(t *testing.T, base, token string, header ...string) (*rawSocket, *http.Response, error) {
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, base+"/api/v2/ws", &websocket.DialOptions{HTTPHeader: h, HTTPClient: webClient(t), Subprotocols: []string{"conv.v1.json"}})
	if err != nil {
		return nil, res, err
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &rawSocket{t, conn}, res, nil
}

// send writes a frame; []byte goes as it is.
func (s *rawSocket) send(frame any) {
	s.t.Helper()
	raw, ok := frame.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(frame); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, raw); err != nil {
		s.t.Fatalf("write: %v", err)
	}
}

func (s *rawSocket) read() (rawFrame, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), soon)
	defer cancel()
	var f rawFrame
	_, raw, err := s.conn.Read(ctx)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(raw, &f)
}

// until reads frames up to one of a type.
func (s *rawSocket) until(t string) rawFrame {
	s.t.Helper()
	for {
		f, err := s.read()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", t, err)
		}
		if f.T == t {
			return f
		}
	}
}

func (s *rawSocket) close() { _ = s.conn.CloseNow() }
