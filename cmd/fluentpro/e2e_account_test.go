package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// secretTo waits for the mail to an address with a link to a page, and returns
// the secret of the link.
func secretTo(t *testing.T, data, to, page string) (secret string) {
	t.Helper()
	link := regexp.MustCompile(`/#/` + page + `/([A-Za-z0-9_-]{43})`)
	testenv.Eventually(t, soon, func() error {
		files, err := filepath.Glob(filepath.Join(data, "mail", "*.eml"))
		if err != nil {
			return err
		}
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			m, err := mail.ReadMessage(strings.NewReader(string(raw)))
			if err != nil {
				return err
			}
			text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				return err
			}
			if found := link.FindSubmatch(text); found != nil && strings.Contains(m.Header.Get("To"), to) {
				secret = string(found[1])
				return nil
			}
		}
		return errors.New("no mail to " + to + " with a link to " + page)
	})
	return secret
}

// refusedWith checks the code of a refusal.
func (l *learner) refusedWith(code, method, path string, body any) {
	l.t.Helper()
	a, err := l.try(method, path, body)
	if err != nil {
		l.t.Fatal(err)
	}
	if a.code() != code {
		l.t.Fatalf("%s %s: %d %s, want %s", method, path, a.status, a.body, code)
	}
}

func (l *learner) login(password string) {
	l.t.Helper()
	var s struct {
		AccessToken string `json:"access_token"`
	}
	l.call("POST", "/auth/login", map[string]any{"email": l.email, "password": password}, &s)
	l.token = s.AccessToken
}

// TestE2EAccount is the life of an account over the real thing: proven and
// reset by the links of real mails, exported, deactivated, erased.
// TestErasedLearnerIsNowhere looks at what is left then.
func TestE2EAccount(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	data := t.TempDir()
	p := start(t, "account", "FLUENTPRO_DATA_DIR="+data, "FLUENTPRO_JOBS_POLL=50ms", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=3000")
	l, conversation := ready(t, p.base)
	l.say(conversation, newTag())
	other := signUp(t, p.base)

	l.call("POST", "/auth/verify-email", m{"token": secretTo(t, data, l.email, "verify-email")}, nil)
	var me struct {
		ID       string
		Verified bool `json:"email_verified"`
	}
	if l.call("GET", "/me", nil, &me); !me.Verified {
		t.Fatal("the address is not proven")
	}
	// Known or not, the answer is one.
	for _, email := range []string{l.email, "nobody@example.com"} {
		if a, err := l.try("POST", "/auth/forgot-password", m{"email": email}); err != nil || a.status != 204 || len(a.body) != 0 {
			t.Fatalf("%s: %d %s %v", email, a.status, a.body, err)
		}
	}
	secret, old := secretTo(t, data, l.email, "reset-password"), l.token
	l.refusedWith("invalid", "POST", "/auth/reset-password", m{"token": secret, "new_password": "password1"})
	l.call("POST", "/auth/reset-password", m{"token": secret, "new_password": "tulip under glass"}, nil)
	l.refusedWith("link_invalid", "POST", "/auth/reset-password", m{"token": secret, "new_password": "tulip under ice"})
	l.token = old
	l.refusedWith("unauthenticated", "GET", "/me", nil) // at once, though it is good for 15 minutes by itself
	l.refusedWith("invalid_credentials", "POST", "/auth/login", m{"email": l.email, "password": learnersPassword})
	l.login("tulip under glass")

	got, err := l.try("GET", "/me/export", nil, "Accept", "application/x-ndjson")
	if err != nil || got.status != 200 {
		t.Fatalf("%d %v", got.status, err)
	}
	kinds := map[string]int{}
	for line := range strings.Lines(string(got.body)) {
		var row struct{ Domain, Kind string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds[row.Domain+"."+row.Kind]++
	}
	for _, k := range []string{"authentication.account", "authentication.login", "onboarding.profile", "practice.scenario", "conversations.conversation", "conversations.message", "events.event"} {
		if kinds[k] == 0 {
			t.Errorf("the export has no %s: %v", k, kinds)
		}
	}
	if strings.Contains(string(got.body), other.email) || strings.Contains(string(got.body), "argon2id") {
		t.Error("the export tells too much")
	}

	l.call("POST", "/me/deactivate", m{"password": "tulip under glass"}, nil)
	l.refusedWith("unauthenticated", "GET", "/me", nil)
	l.login("tulip under glass")
	l.refusedWith("invalid", "POST", "/me/erase", m{"password": "a wrong guess"})
	l.call("POST", "/me/erase", m{"password": "tulip under glass"}, nil)
	l.refusedWith("unauthenticated", "GET", "/me", nil)
	l.refusedWith("invalid_credentials", "POST", "/auth/login", m{"email": l.email, "password": "tulip under glass"})
	other.call("GET", "/me", nil, nil)
}

// TestE2EBackOffOverNodes: guesses at two nodes count as one, and with Redis
// gone each node still slows them down by itself.
func TestE2EBackOffOverNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l := signUp(t, c.a.base)
	guesses := func(nodes ...*process) (n int) {
		t.Helper()
		for ; n < 12; n++ {
			l.node = nodes[n%len(nodes)].base
			a, err := l.try("POST", "/auth/login", m{"email": l.email, "password": "a wrong guess"})
			if err != nil {
				t.Fatal(err)
			}
			if a.code() == "rate_limited" {
				return n
			}
			if a.code() != "invalid_credentials" {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		return n
	}
	// Five are free. A busy machine may take longer for one than the first
	// waits are; two nodes that count alone let ten pass.
	if n := guesses(c.a, c.b); n > 8 {
		t.Errorf("%d guesses at two nodes together", n)
	}
	c.redis.Kill()
	l.email = fmt.Sprintf("e2e%d@example.com", rand.Uint64())
	if n := guesses(c.b); n > 8 {
		t.Errorf("%d guesses at one node without Redis", n)
	}
}
