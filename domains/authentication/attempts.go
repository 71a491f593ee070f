package authentication

import (
	"context"
	"time"
)

// Attempts counts for all nodes what guards slow down. It is asked besides the
// memory of the node, never instead: an answer that does not come changes
// nothing of what the node knows by itself. Calls must end soon.
type Attempts interface {
	// Look reads counts, in the order of the keys; Left is the time until a
	// count is forgotten.
	Look(ctx context.Context, keys ...string) ([]Attempt, error)
	// Count adds one to each key, which is forgotten so long after.
	Count(ctx context.Context, forget time.Duration, keys ...string) error
	// Drop forgets a key.
	Drop(ctx context.Context, key string) error
}

// Attempt is what is counted under a key.
type Attempt struct {
	N    int
	Left time.Duration
}

// What Config.Guarded is told of.
const (
	// GuardRefused is somebody who must wait.
	GuardRefused = "refused"
	// GuardAlone is a look at or a count of attempts that this node did alone,
	// because the shared count did not answer.
	GuardAlone = "alone"
)

// shared is the part of a guard that all nodes have in common. The zero value
// counts nothing.
type shared struct {
	attempts Attempts
	name     string
	told     func(rule, what string)
}

func (s shared) key(k string) string { return s.name + " " + k }

func (s shared) tell(what string) {
	if s.told != nil {
		s.told(s.name, what)
	}
}

// wait is guard.wait by the counts of all nodes; 0 where they are not known.
func (s shared) wait(ctx context.Context, r guardRule, email, ip string) time.Duration {
	if s.attempts == nil {
		return 0
	}
	got, err := s.attempts.Look(ctx, s.key("a:"+email), s.key("i:"+ip), s.key("k:"+email+" "+ip))
	if err != nil || len(got) != 3 {
		s.tell(GuardAlone)
		return 0
	}
	account, address, known := got[0], got[1], got[2]
	var w time.Duration
	if ip != "" {
		w = r.left(address.N, r.address, guardForget-address.Left)
		if known.N > 0 {
			return w
		}
	}
	if email == "" {
		return w
	}
	return max(w, r.left(account.N, r.account, guardForget-account.Left))
}

func (s shared) count(ctx context.Context, forget time.Duration, keys ...string) {
	if s.attempts == nil || len(keys) == 0 {
		return
	}
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = s.key(k)
	}
	if s.attempts.Count(ctx, forget, all...) != nil {
		s.tell(GuardAlone)
	}
}

func (s shared) drop(ctx context.Context, key string) {
	if s.attempts != nil && s.attempts.Drop(ctx, s.key(key)) != nil {
		s.tell(GuardAlone)
	}
}
