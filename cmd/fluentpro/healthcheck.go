package main

import (
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/fluentpro/fluentpro/configs"
)

// healthcheckCommand is for images without a shell or curl. Docker knows only
// 0 and 1 as answers.
func healthcheckCommand() *command {
	return &command{
		name: "healthcheck", short: "ask a server on this machine whether it lives", settings: true,
		long: "Exit code 0 when it answers 200, else 1. Without --url it asks /livez at the configured listen address.",
		setup: func(fs *flag.FlagSet) runner {
			url := fs.String("url", "", "`address` to ask instead")
			timeout := fs.Duration("timeout", 3*time.Second, "how long to wait")
			return func(ctx context.Context, c *call) int {
				ask := *url
				if ask == "" {
					// A mistake elsewhere in the configuration is not this command's business.
					cfg, _ := configs.Load(configs.Input{Env: c.env, Flags: c.flags})
					ask = "http://" + dialable(cfg.Listen) + "/livez"
				}
				return healthcheck(ctx, c, ask, *timeout)
			}
		},
	}
}

func healthcheck(ctx context.Context, c *call, url string, timeout time.Duration) int {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	// Never through a proxy: this asks the process next door.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return c.fail(exitFailure, "%s answers %s", url, resp.Status)
	}
	return exitOK
}

// dialable turns an address to listen on into one to connect to.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
