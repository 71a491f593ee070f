package authentication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// countsOfAll is the count of all nodes, which can be away.
type countsOfAll struct {
	c    *clock
	mu   sync.Mutex
	n    map[string]Attempt // Left is when it ends, as a time since 1970
	away bool
}

var errAway = errors.New("away")

func (s *countsOfAll) Look(_ context.Context, keys ...string) ([]Attempt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	out := make([]Attempt, len(keys))
	for i, k := range keys {
		if left := s.n[k].Left - time.Duration(s.c.now().UnixNano()); left > 0 {
			out[i] = Attempt{s.n[k].N, left}
		}
	}
	return out, nil
}

func (s *countsOfAll) Count(_ context.Context, forget time.Duration, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	for _, k := range keys {
		s.n[k] = Attempt{s.n[k].N + 1, time.Duration(s.c.now().UnixNano()) + forget}
	}
	return nil
}

func (s *countsOfAll) Drop(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errAway
	}
	delete(s.n, key)
	return nil
}

// twoNodes are services over one store and one count.
func twoNodes(t *testing.T) (a, b *Service, all *countsOfAll, told map[string]int, c *clock) {
	t.Helper()
	a, store, c := newTestService(t)
	all, told = &countsOfAll{c: c, n: map[string]Attempt{}}, map[string]int{}
	var mu sync.Mutex
	guarded := func(rule, what string) { mu.Lock(); defer mu.Unlock(); told[rule+" "+what]++ }
	cfg := a.cfg
	cfg.Attempts, cfg.Guarded = all, guarded
	nodes := [2]*Service{}
	for i := range nodes {
		var err error
		if nodes[i], err = New(t.Context(), store, cfg); err != nil {
			t.Fatal(err)
		}
	}
	return nodes[0], nodes[1], all, told, c
}

func guess(t *testing.T, s *Service, email, ip string) error {
	t.Helper()
	_, err := s.Login(t.Context(), LoginInput{Email: email, Password: "wrong guess", RemoteIP: ip})
	return err
}

// Guesses at one account count together, at whichever node, for accounts that
// exist and others alike; so do guesses from one address at any account.
func TestGuessesCountOverAllNodes(t *testing.T) {
	t.Parallel()
	a, b, _, told, c := twoNodes(t)
	mustSignUp(t, a)
	for _, email := range []string{"ana@example.com", "nobody@example.com"} {
		for n := range freeAccount {
			wantCode(t, guess(t, []*Service{a, b}[n%2], email, ""), fault.InvalidCredentials)
		}
		for _, s := range []*Service{a, b} {
			err := guess(t, s, email, "")
			wantCode(t, err, fault.RateLimited)
			if ms := fault.Of(err).RetryAfterMS; ms != 1000 {
				t.Fatalf("%s: wait %d ms, want 1000", email, ms)
			}
		}
		c.advance(time.Second)
		wantCode(t, guess(t, b, email, ""), fault.InvalidCredentials)
		if ms := fault.Of(guess(t, a, email, "")).RetryAfterMS; ms != 2000 {
			t.Fatalf("%s: wait %d ms, want 2000", email, ms)
		}
	}
	for n := range freeAddress {
		wantCode(t, guess(t, []*Service{a, b}[n%2], fmt.Sprintf("x%d@example.com", n), "192.0.2.7"), fault.InvalidCredentials)
	}
	for _, s := range []*Service{a, b} {
		wantCode(t, guess(t, s, "fresh@example.com", "192.0.2.7"), fault.RateLimited)
		wantCode(t, guess(t, s, "fresh@example.com", "192.0.2.8"), fault.InvalidCredentials)
	}
	if told["login refused"] == 0 || told["login alone"] != 0 {
		t.Errorf("told %v", told)
	}
}

// The owner who signed in at one node passes at the other, whoever guesses.
func TestTheOwnerPassesAtEveryNode(t *testing.T) {
	t.Parallel()
	a, b, _, _, _ := twoNodes(t)
	mustSignUp(t, a)
	in := LoginInput{Email: "ana@example.com", Password: "correct horse", RemoteIP: "192.0.2.1"}
	if _, err := a.Login(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for range freeAccount {
		wantCode(t, guess(t, a, in.Email, "203.0.113.5"), fault.InvalidCredentials)
	}
	wantCode(t, guess(t, b, in.Email, "203.0.113.9"), fault.RateLimited)
	if _, err := b.Login(t.Context(), in); err != nil {
		t.Fatalf("the owner: %v", err)
	}
}

// Without the common count each node's own still holds, and takes up what it
// counted itself when the common one has forgotten all.
func TestBackOffWithoutTheCommonCount(t *testing.T) {
	t.Parallel()
	a, b, all, told, _ := twoNodes(t)
	mustSignUp(t, a)
	all.away = true
	for _, s := range []*Service{a, b} {
		for range freeAccount {
			wantCode(t, guess(t, s, "ana@example.com", ""), fault.InvalidCredentials)
		}
		wantCode(t, guess(t, s, "ana@example.com", ""), fault.RateLimited)
	}
	if told["login alone"] == 0 {
		t.Errorf("told %v", told)
	}
	all.away = false // it comes back empty
	wantCode(t, guess(t, a, "ana@example.com", ""), fault.RateLimited)
}

// Mails and sign-ups are counted for all nodes too.
func TestMailsAndSignUpsCountOverAllNodes(t *testing.T) {
	t.Parallel()
	a, b, _, _, _ := twoNodes(t)
	for n := range mailRule.account {
		if err := []*Service{a, b}[n%2].RequestPasswordReset(t.Context(), "ana@example.com", ""); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, b.RequestPasswordReset(t.Context(), "ana@example.com", ""), fault.RateLimited)
	wantCode(t, a.RequestPasswordReset(t.Context(), "ana@example.com", ""), fault.RateLimited)
}
