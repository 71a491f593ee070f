package authentication

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestGuessingSlowsDown(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"ana@example.com", "nobody@example.com"} {
		t.Run(email, func(t *testing.T) {
			t.Parallel()
			s, _, c := newTestService(t)
			mustSignUp(t, s)
			try := func(password string) error {
				_, err := s.Login(t.Context(), LoginInput{Email: email, Password: password, RemoteIP: "192.0.2.1"})
				return err
			}
			for range freeAccount {
				wantCode(t, try("wrong guess"), fault.InvalidCredentials)
			}
			err := try("wrong guess")
			wantCode(t, err, fault.RateLimited)
			if ms := fault.Of(err).RetryAfterMS; ms != 1000 {
				t.Fatalf("got %d ms, want 1000", ms)
			}
			// A refused try neither counts nor asks for the hash.
			c.advance(time.Second)
			wantCode(t, try("wrong guess"), fault.InvalidCredentials)
			if ms := fault.Of(try("wrong guess")).RetryAfterMS; ms != 2000 {
				t.Fatalf("got %d ms, want 2000", ms)
			}
		})
	}
}

func TestGuardNeverLocksOut(t *testing.T) {
	t.Parallel()
	g, now := newGuard(loginRule, shared{}), newClock().now()
	for range 500 {
		g.failed(t.Context(), "a@b.co", "192.0.2.1", now)
	}
	if w := g.wait(t.Context(), "a@b.co", "198.51.100.7", now); w != longestWait {
		t.Fatalf("got %v, want %v", w, longestWait)
	}
	if w := g.wait(t.Context(), "a@b.co", "198.51.100.7", now.Add(longestWait)); w != 0 {
		t.Fatalf("still %v after the longest wait", w)
	}
	// The owner was here before the attack and passes.
	g.succeeded(t.Context(), "a@b.co", "203.0.113.5", now)
	for range 500 {
		g.failed(t.Context(), "a@b.co", "192.0.2.1", now)
	}
	if w := g.wait(t.Context(), "a@b.co", "203.0.113.5", now); w != 0 {
		t.Fatalf("the owner waits %v", w)
	}
	if w := g.wait(t.Context(), "other@b.co", "192.0.2.1", now); w != longestWait {
		t.Fatalf("the guessing address waits %v, want %v", w, longestWait)
	}
	if w := g.wait(t.Context(), "other@b.co", "", now); w != 0 {
		t.Fatalf("an unknown address waits %v for a fresh account", w)
	}
	if w := g.wait(t.Context(), "a@b.co", "192.0.2.9", now.Add(guardForget+time.Second)); w != 0 {
		t.Fatalf("not forgotten: %v", w)
	}
}

func TestGuardIsBounded(t *testing.T) {
	t.Parallel()
	g, now := newGuard(loginRule, shared{}), newClock().now()
	for i := range guardEntries * 2 {
		g.failed(t.Context(), fmt.Sprintf("%d@b.co", i), "", now)
	}
	if len(g.entries) != guardEntries || g.old.Len() != guardEntries {
		t.Fatalf("%d entries, %d in order, want %d", len(g.entries), g.old.Len(), guardEntries)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "nonsense": "",
	} {
		if got := network(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
