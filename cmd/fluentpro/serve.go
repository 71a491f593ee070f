package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/buildinfo"
)

// runServe is the serve command: it starts the app, says in plain words what
// it runs on, and ends when ctx ends or a signal comes.
func runServe(ctx context.Context, cfg *configs.Config, stdout, stderr io.Writer) int {
	log := newLogger(cfg, stderr)
	redis.SetLogger(quietRedis{log})
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "warning", w)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	app, err := newApp(ctx, cfg, log)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "fluentpro: %v\n", err)
		return exitFailure
	}
	// A second signal ends at once, which is as safe as a crash.
	go func() { <-ctx.Done(); stop() }()
	app.greet(stdout)
	if err := app.run(ctx); err != nil {
		_, _ = fmt.Fprintf(stderr, "fluentpro: %v\n", err)
		return exitFailure
	}
	return exitOK
}

func newLogger(cfg *configs.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(strings.ToUpper(cfg.Log.Level))) // checked at load
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// greet says where the server is and what it is made of.
func (a *App) greet(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("FluentPro %s", buildinfo.Read().Version)
	p("  Open     http://%s/", a.listener.Addr())
	if a.opsListener != nil {
		p("  Ops      http://%s/ops/v1/state (inspector, metrics, probes)", a.opsListener.Addr())
	}
	for _, n := range a.notes() {
		p("  %s", n)
	}
	p("  Stop with Ctrl-C; what is being written goes on at the next start.")
}

// notes say in plain words what is embedded and what to set for the real thing.
func (a *App) notes() []string {
	var out []string
	if a.cfg.EmbeddedDatabase() {
		out = append(out, "Data     "+a.cfg.SQL()+" (embedded SQLite; for Postgres set FLUENTPRO_DATABASE_URL)")
	} else {
		out = append(out, "Data     in Postgres")
	}
	if a.cfg.EmbeddedRedis() {
		out = append(out, "Redis    embedded, in memory; one process only (for a cluster set FLUENTPRO_REDIS_URL)")
	} else {
		out = append(out, "Redis    external")
	}
	if a.cfg.MailToFiles() {
		out = append(out, "Mail     to files in "+a.cfg.MailDir()+", nobody gets them (for a mail server set FLUENTPRO_SMTP_URL and FLUENTPRO_MAIL_FROM)")
	} else {
		out = append(out, "Mail     by SMTP, from "+a.cfg.Mail.From)
	}
	if a.cfg.EmbeddedUpstream() {
		out = append(out, "Partner  scripted, no AI: it plays its part from a script (for a model set FLUENTPRO_UPSTREAM_BASE_URL,",
			"         FLUENTPRO_UPSTREAM_API_KEY and FLUENTPRO_UPSTREAM_MODEL, or OPENAI_API_KEY)")
	} else {
		out = append(out, "Partner  model "+a.cfg.Upstream.Model)
	}
	return out
}
