package openai

import (
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func TestHedgeAnswersWhereTheFirstCallIsSilent(t *testing.T) {
	t.Parallel()
	rig := newRig(t, Config{Model: "checkable-20+fault-silent-once", MaxRetries: -1})
	r := NewRouter(RouterConfig{Primary: rig.Client, Hedge: 20 * time.Millisecond})
	t.Cleanup(r.Close)
	text, err := collect(t, r, prompt("talk", ""))
	calls := rig.srv.Calls()
	if err != nil || len(calls) != 2 || text != fake.Checkable(calls[1].Tag, 20) {
		t.Fatalf("%d calls, %q (%v)", len(calls), text, err)
	}
	// The silent one is given up, so that nobody pays for it.
	testenv.EventuallyTrue(t, 5*time.Second, "both calls have ended at the server", func() bool {
		for _, c := range rig.srv.Calls() {
			if c.Ended.IsZero() {
				return false
			}
		}
		return true
	})
}

func TestHedgeLeavesQuickAndFailedCallsAlone(t *testing.T) {
	t.Parallel()
	rig := newRig(t, Config{Model: "checkable-20", MaxRetries: -1})
	r := NewRouter(RouterConfig{Primary: rig.Client, Hedge: time.Minute})
	t.Cleanup(r.Close)
	if _, err := collect(t, r, prompt("", "")); err != nil || len(rig.srv.Calls()) != 1 {
		t.Fatalf("%d calls (%v), want 1", len(rig.srv.Calls()), err)
	}
	bad := newRig(t, Config{Model: "fault-400", MaxRetries: -1})
	r = NewRouter(RouterConfig{Primary: bad.Client, Hedge: time.Minute})
	t.Cleanup(r.Close)
	if _, err := collect(t, r, prompt("", "")); fault.CodeOf(err) != fault.UpstreamRejected || len(bad.srv.Calls()) != 1 {
		t.Fatalf("%d calls (%v), want 1 and the refusal", len(bad.srv.Calls()), err)
	}
}
