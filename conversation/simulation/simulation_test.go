package simulation

import (
	"strings"
	"testing"
	"time"
)

// TestSchedules runs random schedules; none may break a promise.
func TestSchedules(t *testing.T) {
	if *seedFlag >= 0 {
		p := newPlan(uint64(*seedFlag))
		out := simulate(t, p, mutant{}, true, nil)
		t.Logf("%s\n%s", p, strings.Join(out.lines, "\n"))
		if len(out.breaches) > 0 {
			t.Errorf("broken:\n%s", strings.Join(out.breaches, "\n"))
		}
		return
	}
	count := *schedulesFlag
	if count == 0 {
		count = ciSchedules
	}
	begun := time.Now()
	var fake time.Duration
	replies, entries, failed := 0, 0, 0
	for i := range count {
		p := newPlan(uint64(*fromFlag) + uint64(i))
		out := simulate(t, p, mutant{}, false, nil)
		fake += out.took
		replies += out.replies
		entries += out.entries
		if len(out.breaches) > 0 {
			failed++
			t.Errorf("broken:\n%s\nin %s\nagain with: go test ./conversation/simulation -run TestSchedules -seed %d -v", strings.Join(out.breaches, "\n"), p, p.seed)
			if failed == 12 {
				break
			}
		}
	}
	t.Logf("%d schedules, %d replies, %d log entries, %s of fake time in %s", count, replies, entries, fake.Round(time.Second), time.Since(begun).Round(time.Millisecond))
	if failed == 0 && (replies < count || entries < 10*count) {
		t.Errorf("%d replies and %d entries: the schedules missed their target", replies, entries)
	}
}

// TestAScheduleRepeatsItself: a seed that is printed must be worth something.
func TestAScheduleRepeatsItself(t *testing.T) {
	same := 0
	const count = 40
	for i := range uint64(count) {
		a := simulate(t, newPlan(1000+i), mutant{}, true, nil)
		b := simulate(t, newPlan(1000+i), mutant{}, true, nil)
		if strings.Join(a.lines, "\n") == strings.Join(b.lines, "\n") {
			same++
		} else {
			for j := range min(len(a.lines), len(b.lines)) {
				if a.lines[j] != b.lines[j] {
					t.Logf("seed %d: line %d of %d\n%s\n%s", 1000+i, j, len(a.lines), a.lines[j], b.lines[j])
					break
				}
			}
		}
	}
	t.Logf("%d of %d schedules went the same way twice", same, count)
	if same < count*8/10 {
		t.Errorf("only %d of %d", same, count)
	}
}
