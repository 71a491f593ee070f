package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// bufConn notes the send buffer asked for.
type bufConn struct {
	net.Conn
	size int
}

func (c *bufConn) SetWriteBuffer(n int) error { c.size = n; return nil }

func TestHTTPServerLimits(t *testing.T) {
	t.Parallel()
	logs := &syncBuffer{}
	s := HTTPServer(http.NotFoundHandler(), slog.New(slog.NewTextHandler(logs, nil)))
	if s.ReadHeaderTimeout != 5*time.Second || s.IdleTimeout != time.Minute || s.WriteTimeout != 0 || s.MaxHeaderBytes+4096 != 16<<10 {
		t.Fatalf("limits: %+v", s)
	}
	plain := &bufConn{}
	s.ConnContext(context.Background(), plain)
	under := &bufConn{}
	s.ConnContext(context.Background(), tls.Server(under, &tls.Config{}))
	if plain.size != sendBuffer || under.size != sendBuffer {
		t.Fatalf("send buffers: %d, under TLS %d", plain.size, under.size)
	}
	a, b := net.Pipe()
	s.ConnContext(context.Background(), a) // has no buffer to set
	_, _ = a.Close(), b.Close()

	s.ErrorLog.Print("http: TLS handshake error from 1.2.3.4: EOF")
	s.ErrorLog.Print("http: superfluous response.WriteHeader call")
	if got := logs.String(); strings.Contains(got, "handshake") || !strings.Contains(got, "superfluous") {
		t.Fatalf("logs: %s", got)
	}
}
