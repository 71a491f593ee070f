package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// plan is what a schedule will do, all of it drawn from the seed beforehand.
type plan struct {
	seed   uint64
	on     map[string]bool // kinds of trouble
	nodes  int
	chats  int
	events []event
	// trouble ends at calm; then everything is healed and must come to rest.
	calm time.Duration
}

type event struct {
	at   time.Duration
	kind string
	node int
	chat int
	long time.Duration
}

func (e event) String() string {
	return fmt.Sprintf("%8.3fs %-9s node %d chat %d for %.3fs", e.at.Seconds(), e.kind, e.node, e.chat, e.long.Seconds())
}

// The kinds of events, and of trouble that is there all the time.
var (
	eventKinds  = []string{"kill", "pause", "drain", "wipe", "rollback", "split", "away", "sqlaway", "drop", "unlock"}
	alwaysKinds = []string{"lost", "ghosts", "late", "upstream", "cancel", "interrupt", "bell"}
	// What learners do with the tree; drawn apart, so that older plans stay.
	branchKinds = []string{"edit", "regenerate", "select", "takeback"}
	// How a Redis that is read refuses writes; drawn apart as well.
	refusalKinds = []string{"full", "readonly"}
)

func newPlan(seed uint64) *plan {
	d := newDice(seed).fork("plan")
	p := &plan{seed: seed, on: map[string]bool{}, nodes: 2 + d.n(2), chats: 1 + d.n(2), calm: d.between(5*time.Second, 9*time.Second)}
	var kinds []string
	for _, k := range eventKinds {
		if d.chance(33) {
			p.on[k] = true
			kinds = append(kinds, k)
		}
	}
	for _, k := range alwaysKinds {
		p.on[k] = d.chance(40)
	}
	b := newDice(seed).fork("branches")
	for _, k := range branchKinds {
		p.on[k] = b.chance(50)
	}
	if len(kinds) == 0 {
		kinds = []string{pick(d, eventKinds)}
		p.on[kinds[0]] = true
	}
	for at := d.between(300*time.Millisecond, 2*time.Second); at < p.calm; at += d.between(50*time.Millisecond, 2*time.Second) {
		e := event{at: at, kind: pick(d, kinds), node: d.n(p.nodes), chat: d.n(p.chats)}
		switch e.kind {
		case "pause":
			e.long = d.between(200*time.Millisecond, 7*time.Second)
		case "kill", "drain":
			e.long = d.between(100*time.Millisecond, 4*time.Second) // until it is started again
		case "away", "sqlaway":
			e.long = d.between(50*time.Millisecond, 4*time.Second)
			if e.kind == "away" && d.chance(10) {
				e.long += 16 * time.Second // longer than a takeover waits for the log
			}
		case "rollback":
			e.long = d.between(0, 1500*time.Millisecond) // what is lost
		case "split":
			e.long = d.between(200*time.Millisecond, 5*time.Second)
		}
		p.events = append(p.events, e)
	}
	p.refusals(newDice(seed).fork("refusals"))
	return p
}

// refusals adds times in which Redis takes no writes to every fourth schedule.
func (p *plan) refusals(d *die) {
	if !d.chance(25) {
		return
	}
	kind := pick(d, refusalKinds)
	p.on[kind] = true
	for at := d.between(300*time.Millisecond, 3*time.Second); at < p.calm; at += d.between(200*time.Millisecond, 4*time.Second) {
		e := event{at: at, kind: kind, long: d.between(50*time.Millisecond, 5*time.Second)}
		if d.chance(10) {
			e.long += 16 * time.Second // longer than a takeover waits for the log
		}
		p.events = append(p.events, e)
	}
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// refuses reports that a Redis which refuses writes in this way refuses op: one
// that is full still does what needs no room.
func refuses(kind, op string) bool {
	switch op {
	case "log.create", "log.begin", "log.append", "log.fact", "log.stop", "log.writable", "log.try", "lock.obtain":
		return true
	case "lock.refresh", "lock.release", "lock.break":
		return kind == "readonly"
	}
	return false
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d nodes, %d conversations, calm at %s; always:", p.seed, p.nodes, p.chats, p.calm)
	for _, k := range append(slices.Clone(alwaysKinds), branchKinds...) {
		if p.on[k] {
			b.WriteString(" " + k)
		}
	}
	for _, e := range p.events {
		b.WriteString("\n  " + e.String())
	}
	return b.String()
}
