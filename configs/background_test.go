package configs

import (
	"slices"
	"strings"
	"testing"
)

// otherBackground are values unlike the defaults, for TestEveryKeyHasAVariable.
var otherBackground = map[string]string{
	"public_url": "https://english.example.com", "smtp.url": "smtp://u:p@mail.example.com", "mail.from": "a@example.com",
	"jobs.default": "2", "jobs.mail": "3", "jobs.upkeep": "0", "jobs.poll": "2s", "jobs.keep_done": "1h", "jobs.keep_dead": "2h",
	"events.tries": "3", "events.retry": "1s", "events.idle": "9s", "events.keep": "2h",
}

func init() { neededBy["smtp.url"] = []string{"FLUENTPRO_MAIL_FROM=a@example.com"} }

func TestBackgroundSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ env, want string }{
		{"SMTP_URL=http://mail.example.com", "must begin with smtp://"}, {"SMTP_URL=smtp://u:hunter2%zz@h", "percent-encoded"},
		{"SMTP_URL=smtp://mail.example.com", "FLUENTPRO_MAIL_FROM must name a real sender"}, {"MAIL_FROM=nobody", "not an address"},
		{"MAIL_FROM=a@example.com\r\nBcc: b@example.com", "not an address"}, {"PUBLIC_URL=english.example.com", "not an origin"},
		{"PUBLIC_URL=https://english.example.com/app", "more than scheme"}, {"JOBS_MAIL=-1", "not between"}, {"JOBS_POLL=0s", "not between"},
		{"JOBS_KEEP_DONE=0s", "not between"}, {"JOBS_KEEP_DEAD=0s", "not between"}, {"EVENTS_TRIES=0", "not between"},
		{"EVENTS_RETRY=1h", "not between"}, {"EVENTS_IDLE=0s", "not between"}, {"EVENTS_KEEP=1s", "not between"},
	} {
		got := problems(t, Input{Env: []string{"FLUENTPRO_" + tc.env}})
		if !strings.Contains(got, tc.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %s, want %q", tc.env, got, tc.want)
		}
	}
}

func TestMailToFilesIsSaidPlainly(t *testing.T) {
	t.Parallel()
	embedded := "FLUENTPRO_ALLOW_EMBEDDED=redis,upstream,database"
	says := func(env ...string) bool {
		return slices.ContainsFunc(load(t, env...).Warnings(), func(w string) bool {
			return strings.Contains(w, "FLUENTPRO_SMTP_URL is not set: mails are written to files in") && strings.Contains(w, "reach nobody")
		})
	}
	if !says("FLUENTPRO_PROFILE=production", embedded) || !says("FLUENTPRO_PROFILE=staging", embedded) {
		t.Error("a strict profile does not say that mails reach nobody")
	}
	if says() || says("FLUENTPRO_PROFILE=production", embedded, "FLUENTPRO_SMTP_URL=smtps://mail.example.com", "FLUENTPRO_MAIL_FROM=a@example.com") {
		t.Error("it is said where it is no news, or not so")
	}
}

func TestPageURL(t *testing.T) {
	t.Parallel()
	for want, env := range map[string][]string{
		"http://127.0.0.1:7":  nil,
		"https://a.example":   {"FLUENTPRO_PUBLIC_ORIGINS=https://a.example,https://b.example"},
		"https://www.example": {"FLUENTPRO_PUBLIC_ORIGINS=https://a.example", "FLUENTPRO_PUBLIC_URL=https://www.example/"},
	} {
		if got := load(t, env...).PageURL("127.0.0.1:7"); got != want {
			t.Errorf("%v: got %s, want %s", env, got, want)
		}
	}
}
