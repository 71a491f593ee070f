package authentication

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// guard slows guessing down, per account and per address: by what all nodes
// have counted, and by the memory of this node, whichever is stricter. So
// without the shared count the node's own bound still holds. Nobody is locked out: a wait never exceeds a minute, and where
// the account was signed in to lately from this address its owner passes,
// whoever guesses elsewhere. Unknown e-mails are counted like known ones, or
// the waits would tell which exist.
type guard struct {
	guardRule
	shared
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

func newGuard(r guardRule, s shared) *guard {
	return &guard{guardRule: r, shared: s, entries: map[string]*list.Element{}, old: list.New()}
}

// wait is how long this account and address must wait; 0 lets pass.
func (g *guard) wait(ctx context.Context, email, ip string, now time.Time) time.Duration {
	ip = network(ip)
	return max(g.waitHere(email, ip, now), g.shared.wait(ctx, g.guardRule, email, ip))
}

// waitHere is wait as this node alone knows it.
func (g *guard) waitHere(email, ip string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.leftHere("i:"+ip, g.address, now)
	if ip != "" {
		if a := g.get("k:" + email + " " + ip); a != nil && now.Sub(a.last) < knownFor {
			return w
		}
	}
	return max(w, g.leftHere("a:"+email, g.account, now))
}

// refuse is the error of who must wait.
func (g *guard) refuse(ctx context.Context, email, ip string, now time.Time) error {
	w := g.wait(ctx, email, ip, now)
	if w <= 0 {
		return nil
	}
	g.tell(GuardRefused)
	return &fault.Error{Code: fault.RateLimited, Message: "Too many attempts; wait a little.", RetryAfterMS: max(1, w.Milliseconds())}
}

// failed counts a wrong guess, or whatever else the rule slows down.
func (g *guard) failed(ctx context.Context, email, ip string, now time.Time) {
	ip = network(ip)
	var keys []string
	if email != "" {
		keys = append(keys, "a:"+email)
	}
	if ip != "" {
		keys = append(keys, "i:"+ip)
	}
	g.count(ctx, guardForget, keys...)
	g.mu.Lock()
	defer g.mu.Unlock()
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
func (g *guard) succeeded(ctx context.Context, email, ip string, now time.Time) {
	ip = network(ip)
	g.shared.drop(ctx, "a:"+email)
	if ip != "" {
		g.count(ctx, knownFor, "k:"+email+" "+ip)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropHere("a:" + email)
	if ip != "" {
		g.touch("k:" + email + " " + ip).last = now
	}
}

func (g *guard) leftHere(key string, free int, now time.Time) time.Duration {
	if a := g.get(key); a != nil {
		return g.left(a.fails, free, now.Sub(a.last))
	}
	return 0
}

// left is the wait after so many attempts, the last of them so long ago.
func (r guardRule) left(fails, free int, ago time.Duration) time.Duration {
	if fails < free || ago > guardForget {
		return 0
	}
	w := r.longest
	if n := fails - free; n < 6 {
		w = min(w, r.first<<n)
	}
	return max(0, w-ago)
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
		g.dropHere(g.old.Back().Value.(*attempts).key)
	}
	a := &attempts{key: key}
	g.entries[key] = g.old.PushFront(a)
	return a
}

func (g *guard) dropHere(key string) {
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
func (g *guard) forgive(ctx context.Context, email string) {
	g.shared.drop(ctx, "a:"+email)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropHere("a:" + email)
}
