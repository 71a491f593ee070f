package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisDialer dials for go-redis without its circuit breaker: after as many
// failed dials as a pool has places the library answers from memory and looks
// for Redis only once a second, so that text would stand still for up to a
// second after Redis is back. A failed dial is therefore handed over as a
// connection whose first use tells why it failed, which the library counts as
// a failed call and throws away. Callers wait between their own tries.
func redisDialer(timeout time.Duration, secure *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	dial := redis.NewDialer(&redis.Options{DialTimeout: timeout, TLSConfig: secure})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return unreached{err}, nil //nolint:nilerr // told at its first use, see above
		}
		return conn, nil
	}
}

// unreached is a connection that was never made; whoever uses it learns why.
type unreached struct{ err error }

func (u unreached) Read([]byte) (int, error)         { return 0, u.err }
func (u unreached) Write([]byte) (int, error)        { return 0, u.err }
func (u unreached) Close() error                     { return nil }
func (u unreached) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (u unreached) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (u unreached) SetDeadline(time.Time) error      { return nil }
func (u unreached) SetReadDeadline(time.Time) error  { return nil }
func (u unreached) SetWriteDeadline(time.Time) error { return nil }

var _ io.ReadWriteCloser = unreached{}
