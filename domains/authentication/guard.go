package authentication

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// guard slows guessing down, per account and per address, in the memory of
// this node. Nobody is locked out: a wait never exceeds a minute, and where
// the account was signed in to lately from this address its owner passes,
// whoever guesses elsewhere. Unknown e-mails are counted like known ones, or
// the waits would tell which exist.
type guard struct {
	guardRule
	mu sync.Mutex // guards all below
	// entries maps "a:<e-mail>", "i:<address>" and "k:<e-mail> <address>" (a
	// known pair); old is its order, least recently touched at the back.
	entries map[string]*list.Element
	old     *list.List
}

type attempts struct {
	key   string
	fails int
	last  time.Time
}

const (
	guardEntries = 20_000
	guardForget  = 15 * time.Minute
	knownFor     = 24 * time.Hour
	freeAccount  = 5
	freeAddress  = 20
	longestWait  = time.Minute
)

// guardRule is how much is free and how the waits grow: from first, doubling,
// up to longest.
type guardRule struct {
	account, address int
	first, longest   time.Duration
}

// The rules. What is counted besides wrong passwords: requests for mails,
// which cost the learner's patience, and sign-ups.
var (
	loginRule  = guardRule{account: freeAccount, address: freeAddress, first: time.Second, longest: longestWait}
	mailRule   = guardRule{account: 3, address: 30, first: 30 * time.Second, longest: 5 * time.Minute}
	signUpRule = guardRule{account: 3, address: 100, first: time.Second, longest: longestWait}
)

func newGuard(r guardRule) *guard {
	return &guard{guardRule: r, entries: map[string]*list.Element{}, old: list.New()}
}

// wait is how long this account and address must wait; 0 lets pass.
func (g *guard) wait(email, ip string, now time.Time) time.Duration {
	ip = network(ip)
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.left("i:"+ip, g.address, now)
	if ip != "" {
		if a := g.get("k:" + email + " " + ip); a != nil && now.Sub(a.last) < knownFor {
			return w
		}
	}
	return max(w, g.left("a:"+email, g.account, now))
}

// refuse is the error of who must wait.
func (g *guard) refuse(email, ip string, now time.Time) error {
	w := g.wait(email, ip, now)
	if w <= 0 {
		return nil
	}
	return &fault.Error{Code: fault.RateLimited, Message: "Too many attempts; wait a little.", RetryAfterMS: max(1, w.Milliseconds())}
}

// failed counts a wrong guess, or whatever else the rule slows down.
func (g *guard) failed(email, ip string, now time.Time) {
	ip = network(ip)
	g.mu.Lock()
	defer g.mu.Unlock()
	var keys []string
	if email != "" {
		keys = append(keys, "a:"+email)
	}
	if ip != "" {
		keys = append(keys, "i:"+ip)
	}
	for _, k := range keys {
		a := g.touch(k)
		if now.Sub(a.last) > guardForget {
			a.fails = 0
		}
		a.fails++
		a.last = now
	}
}

// succeeded forgets the account's failures and remembers the pair; the
// address keeps its count, or a guesser would clear it by an own account.
func (g *guard) succeeded(email, ip string, now time.Time) {
	ip = network(ip)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop("a:" + email)
	if ip != "" {
		g.touch("k:" + email + " " + ip).last = now
	}
}

func (g *guard) left(key string, free int, now time.Time) time.Duration {
	a := g.get(key)
	if a == nil || a.fails < free || now.Sub(a.last) > guardForget {
		return 0
	}
	w := g.longest
	if n := a.fails - free; n < 6 {
		w = min(w, g.first<<n)
	}
	return max(0, a.last.Add(w).Sub(now))
}

func (g *guard) get(key string) *attempts {
	if e, ok := g.entries[key]; ok {
		return e.Value.(*attempts)
	}
	return nil
}

func (g *guard) touch(key string) *attempts {
	if e, ok := g.entries[key]; ok {
		g.old.MoveToFront(e)
		return e.Value.(*attempts)
	}
	if len(g.entries) >= guardEntries {
		g.drop(g.old.Back().Value.(*attempts).key)
	}
	a := &attempts{key: key}
	g.entries[key] = g.old.PushFront(a)
	return a
}

func (g *guard) drop(key string) {
	if e, ok := g.entries[key]; ok {
		g.old.Remove(e)
		delete(g.entries, key)
	}
}

// network is what counts as one address: an IPv6 customer owns a whole /64.
func network(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ""
	}
	return p.String()
}

// forgive forgets an account's failures.
func (g *guard) forgive(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop("a:" + email)
}
