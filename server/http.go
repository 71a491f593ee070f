package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// sendBuffer bounds what the kernel keeps for one slow reader; without it a
// stalled viewer holds megabytes that no limit of ours can see.
const sendBuffer = 64 << 10

// HTTPServer is the http.Server of a listener. There is no WriteTimeout: a
// stream lives for minutes, its writer sets a deadline around each flush.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16<<10 - 4096, // net/http adds 4096 bytes of slop
		ErrorLog:          slog.NewLogLogger(quiet{log.Handler()}, slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			boundBuffer(c)
			return ctx
		},
	}
}

// boundBuffer sets the send buffer of the connection, through TLS too.
func boundBuffer(c net.Conn) {
	for {
		switch t := c.(type) {
		case interface{ SetWriteBuffer(int) error }:
			_ = t.SetWriteBuffer(sendBuffer) // a closed socket needs no bound
			return
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return
		}
	}
}

// quiet drops net/http's lines about clients that hang up or speak no TLS:
// anybody can cause them, as often as they like.
type quiet struct{ slog.Handler }

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	for _, s := range []string{"TLS handshake error", "http2: server connection error", "URL query contains semicolon"} {
		if strings.Contains(r.Message, s) {
			return nil
		}
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(n string) slog.Handler      { return quiet{q.Handler.WithGroup(n)} }
