package configs

import (
	"net/mail"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// SMTP is the mail server.
type SMTP struct {
	URL URL `yaml:"url" doc:"smtp://[user:password@]host[:port] (with STARTTLS) or smtps://…; none set: mails are written to files in data_dir/mail"`
}

// Mail is what mails look like.
type Mail struct {
	From string `yaml:"from" doc:"sender of mails, address or Name <address>"`
}

// Jobs is the work in the background.
type Jobs struct {
	Default  int           `yaml:"default" doc:"how many jobs of the queue default this node works on at once, 0 for none"`
	Mail     int           `yaml:"mail" doc:"the same for the queue mail"`
	Upkeep   int           `yaml:"upkeep" doc:"the same for the queue upkeep"`
	Poll     time.Duration `yaml:"poll" doc:"how often a node looks for jobs"`
	KeepDone time.Duration `yaml:"keep_done" doc:"how long jobs that are done are kept"`
	KeepDead time.Duration `yaml:"keep_dead" doc:"how long dead jobs are kept"`
}

// Events is how domain events travel. The audit trail itself is kept.
type Events struct {
	Tries int           `yaml:"tries" doc:"how often an event is tried before it is a dead letter"`
	Retry time.Duration `yaml:"retry" doc:"wait after the first failure; it doubles up to five minutes"`
	Idle  time.Duration `yaml:"idle" doc:"after how long another node takes over a delivery that was not acknowledged, and open events are handled from SQL"`
	Keep  time.Duration `yaml:"keep" doc:"how long it is remembered which group has handled what, and which mail was sent"`
}

const defaultFrom = "FluentPro <no-reply@localhost>"

func backgroundDefaults(c *Config) {
	c.Mail = Mail{From: defaultFrom}
	c.Jobs = Jobs{Default: 4, Mail: 4, Upkeep: 1, Poll: time.Second, KeepDone: 24 * time.Hour, KeepDead: 30 * 24 * time.Hour}
	c.Events = Events{Tries: 10, Retry: 5 * time.Second, Idle: 30 * time.Second, Keep: 30 * 24 * time.Hour}
}

// MailToFiles says that mails go to files, and MailDir where.
func (c *Config) MailToFiles() bool { return c.SMTP.URL.Reveal() == "" }

// MailDir is where mails go without a server.
func (c *Config) MailDir() string { return filepath.Join(c.DataDir, "mail") }

// PageURL is the address of the page, for links in mails: public_url, else the
// first origin, given the address that listen was bound to.
func (c *Config) PageURL(bound string) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	if list := c.Origins(bound); len(list) > 0 {
		return list[0]
	}
	return ""
}

func (v *validator) background() {
	c := v.c
	if c.PublicURL != "" {
		norm, err := parseOrigin(strings.TrimSuffix(c.PublicURL, "/"))
		if err != nil {
			v.bad("public_url", "%q %v", c.PublicURL, err)
		} else {
			c.PublicURL = norm
			if u, err := url.Parse(norm); err == nil && c.Strict() && u.Scheme == "http" && !loopback(u.Hostname()) {
				v.bad("public_url", "%q is not https, which the %s profile wants", norm, c.Profile)
			}
		}
	}
	a, err := mail.ParseAddress(c.Mail.From)
	if err != nil || strings.ContainsAny(c.Mail.From, "\r\n") {
		v.bad("mail.from", "is not an address; write name@example.com or Name <name@example.com>")
	} else if !c.MailToFiles() && strings.HasSuffix(a.Address, "@localhost") {
		v.bad("mail.from", "must name a real sender because %s is set", v.env["smtp.url"])
	}
	if raw := c.SMTP.URL.Reveal(); raw != "" {
		u, err := url.Parse(raw)
		switch {
		case !c.SMTP.URL.hasScheme("smtp", "smtps"):
			v.bad("smtp.url", "must begin with smtp:// or smtps://")
		case err != nil || u.Hostname() == "":
			v.bad("smtp.url", "is not a URL with a host; special characters in a password must be percent-encoded")
		}
	} else if c.Strict() {
		v.warn("smtp.url", "is not set: mails are written to files in %s and reach nobody", c.MailDir())
	}
	for _, r := range []struct {
		key         string
		got, lo, hi int
	}{
		{"jobs.default", c.Jobs.Default, 0, 1000}, {"jobs.mail", c.Jobs.Mail, 0, 1000}, {"jobs.upkeep", c.Jobs.Upkeep, 0, 1000},
		{"events.tries", c.Events.Tries, 1, 1000},
	} {
		if r.got < r.lo || r.got > r.hi {
			v.bad(r.key, "%d is not between %d and %d", r.got, r.lo, r.hi)
		}
	}
	v.between("jobs.poll", c.Jobs.Poll, 10*time.Millisecond, time.Minute)
	v.between("jobs.keep_done", c.Jobs.KeepDone, time.Minute, 365*24*time.Hour)
	v.between("jobs.keep_dead", c.Jobs.KeepDead, time.Minute, 10*365*24*time.Hour)
	v.between("events.retry", c.Events.Retry, 10*time.Millisecond, 5*time.Minute)
	v.between("events.idle", c.Events.Idle, 100*time.Millisecond, time.Hour)
	v.between("events.keep", c.Events.Keep, time.Hour, 10*365*24*time.Hour)
}
