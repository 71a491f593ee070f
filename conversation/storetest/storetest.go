// Package storetest is what every implementation of the core's ports must
// pass: fixed cases with the answers that the core relies on, and transcripts,
// random but repeatable sequences of calls whose answers, with ids, nonces and
// times left out, must be the same for every implementation.
package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// steps is the length of one sequence.
const steps = 80

// Compare runs the same n random sequences on two implementations, each on a
// conversation of its own, and reports the first step that they answer differently.
func Compare[T any](t *testing.T, n uint64, transcript func(t testing.TB, on T, seed uint64) []string, one, other func(t testing.TB) T) {
	t.Helper()
	a, b := one(t), other(t)
	for seed := range n {
		x, y := transcript(t, a, seed), transcript(t, b, seed)
		for i := range max(len(x), len(y)) {
			if i >= len(x) || i >= len(y) || x[i] != y[i] {
				t.Fatalf("sequence %d differs at step %d:\n one: %s\nother: %s\nbefore:\n  %s", seed, i, line(x, i), line(y, i), strings.Join(x[:min(i, len(x))], "\n  "))
			}
		}
	}
}

func line(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(nothing)"
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5707e7e57)) }

// verdict names an error as the core tells errors apart.
func verdict(err error) string {
	var gap *conversation.GapError
	var f *fault.Error
	if err == nil {
		return "ok"
	}
	if errors.As(err, &gap) {
		return fmt.Sprintf("gap(%d)", gap.Have)
	}
	for _, e := range []error{conversation.ErrLogMissing, conversation.ErrLogEpoch, conversation.ErrLogExists, conversation.ErrLogRebegin,
		conversation.ErrLogUnknownRun, conversation.ErrLogNotOpen, conversation.ErrLogStopped, conversation.ErrTrimmed, conversation.ErrAhead,
		conversation.ErrLogDown, conversation.ErrFenced, conversation.ErrClaimLost, conversation.ErrLogRenamed, conversation.ErrNodeDead, conversation.ErrLockLost} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	if errors.As(err, &f) {
		return string(f.Code)
	}
	return "other error"
}

// events tells entries without their times.
func events(evs []conversation.Event) string {
	var b strings.Builder
	for _, e := range evs {
		fmt.Fprintf(&b, " [%d %s run=%d/%d base=%d at=%d+%d fact=%d %q %s]", e.Seq, e.Type, e.Run, e.Attempt, e.Base, e.At, e.Len, e.Fact, e.Text, e.Data)
	}
	return b.String()
}

// uuids are made anew by each implementation.
var uuids = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func state(st *conversation.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, " %s/%s/%s res=%s fail=%s", st.Header.Kind, st.Header.Title, st.Header.State, st.Result, uuids.ReplaceAll(st.Failure, []byte("…")))
	if o := st.Open; o != nil {
		fmt.Fprintf(&b, " open=%d/%d/%d %q stopping=%v", o.Run, o.Attempt, o.Base, o.Text, o.Stopping)
	}
	fmt.Fprintf(&b, " head=%d/%d", st.Head.Run, st.Head.Turn)
	for _, t := range st.Turns {
		fmt.Fprintf(&b, " {%d %s %q %s run=%d %s under=%d/%d}", t.N, t.Author, t.Text, t.ClientID, t.Run, t.Finish, t.Parent, t.After)
	}
	return b.String()
}
