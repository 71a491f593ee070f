package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func upstreamCommands() []*command {
	return []*command{probeCommand(), upstreamListCommand(), {
		name: "fake", short: "serve the scripted partner on the OpenAI wire, for tests and demos",
		long: "Point FLUENTPRO_UPSTREAM_BASE_URL at it. The name of the model chooses what it does: scripted,\n" +
			"checkable-200, fault-cut-5, and more; every answer is a function of its request.",
		setup: func(fs *flag.FlagSet) runner {
			listen := fs.String("listen", "127.0.0.1:8090", "`host:port`; port 0 takes a free one")
			first := fs.Duration("first-token", 300*time.Millisecond, "time to the first token")
			pace := fs.Float64("tokens-per-second", 30, "pace of the rest, 0 for no pause")
			model := fs.String("model", "scripted", "`name` that answers for unknown models")
			return func(ctx context.Context, c *call) int {
				if *pace < 0 || *first < 0 {
					return c.fail(exitUsage, "--tokens-per-second and --first-token must not be negative")
				}
				o := fake.Options{FirstTokenDelay: *first, DefaultModel: *model}
				if *pace > 0 {
					o.TokenDelay = time.Duration(float64(time.Second) / *pace)
				}
				return serveFake(ctx, c, *listen, fake.New(o))
			}
		},
	}}
}

// serveFake serves until ctx ends; its calls end with it.
func serveFake(ctx context.Context, c *call, listen string, h http.Handler) int {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	})
	_, _ = fmt.Fprintf(c.stdout, "http://%s/v1\n", ln.Addr())
	_, _ = fmt.Fprintln(c.stderr, "the scripted partner listens; use the address above as FLUENTPRO_UPSTREAM_BASE_URL")
	err = srv.Serve(ln)
	if !stop() { // Shutdown runs or ran; it closes what is left
		if serr := <-stopped; serr != nil {
			_ = srv.Close()
		}
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return c.fail(exitFailure, "%v", err)
	}
	return exitOK
}
