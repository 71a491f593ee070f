package main

import (
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench"
)

// A reply is broken off at random moments and taken up again over another
// transport, at any node, with the same cursor, and its text is exact. Ten
// thousand of them are `fluentpro bench switch`.
func TestResumesAtRandomMoments(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.model.slow(pace)
	l, first := ready(t, c.a.base)
	readers := []bench.Reader{{Token: l.token, Conversation: first}}
	for range 7 {
		readers = append(readers, bench.Reader{Token: l.token, Conversation: l.converse()})
	}
	ro := bench.SwitchOptions{Resumes: 300, Tokens: tokens, Hold: 60 * time.Millisecond, Seed: uint64(time.Now().UnixNano())} //nolint:gosec // any will do
	bases := []string{c.a.base, c.b.base}
	r, err := bench.BreakOff(t.Context(), bases, readers, ro)
	t.Logf("%d resumes, %d of them cut early, %d put off", r.Total, r.Early, r.Refused)
	if err != nil {
		t.Fatalf("seed %d: %v", ro.Seed, err)
	}
	if r.Wrong > 0 || len(r.Breaches) > 0 || r.Total < ro.Resumes || r.Texts < len(readers) {
		t.Errorf("seed %d: of %d texts %d were wrong after %d resumes; promises broken: %v", ro.Seed, r.Texts, r.Wrong, r.Total, r.Breaches)
	}
	// Only who comes for the first time gets a snapshot: nothing was trimmed.
	if r.Snapshots != len(readers) {
		t.Errorf("seed %d: %d snapshots for %d readers", ro.Seed, r.Snapshots, len(readers))
	}
	for _, over := range bench.Switched {
		if len(r.Times[over]) == 0 {
			t.Errorf("seed %d: nothing was read over %s", ro.Seed, over)
		}
	}
	// It can tell: a text of another length is found wrong.
	ro.Resumes, ro.Tokens, ro.Hold = 1, tokens+1, time.Second
	if r, err := bench.BreakOff(t.Context(), bases, []bench.Reader{{Token: l.token, Conversation: l.converse()}}, ro); err != nil || r.Wrong != r.Texts || r.Texts == 0 {
		t.Errorf("another text passes: %+v, %v", r, err)
	}
}
