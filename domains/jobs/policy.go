package jobs

import "time"

// Policy says how a job is tried: after the n-th failure it waits First times
// Factor to the power n-1, at most Longest, and up to Jitter of that more, so
// that what failed together does not come back together.
type Policy struct {
	Name  string
	Tries int
	First time.Duration
	// Factor is how much longer each wait is, Jitter a share from 0 to 1.
	Factor  float64
	Longest time.Duration
	Jitter  float64
	// Limit is how long one try may take; then its context ends.
	Limit time.Duration
	// Grace is how long a try may go on after its Limit; then it counts as
	// failed and its place is given away, though it may still be running.
	Grace time.Duration
}

// The policies.
var (
	// Base is for most work: six tries within about ten minutes.
	Base = Policy{Name: "base", Tries: 6, First: 10 * time.Second, Factor: 2, Longest: 5 * time.Minute, Jitter: 0.2,
		Limit: time.Minute, Grace: 10 * time.Second}
	// Critical is for what must not be given up while somebody else's server
	// has a bad day: sixteen tries within about a day and a half.
	Critical = Policy{Name: "critical", Tries: 16, First: 5 * time.Second, Factor: 2, Longest: 4 * time.Hour, Jitter: 0.2,
		Limit: 2 * time.Minute, Grace: 10 * time.Second}
	// Quick is for what is soon useless: three tries within seconds.
	Quick = Policy{Name: "quick", Tries: 3, First: time.Second, Factor: 2, Longest: 5 * time.Second, Jitter: 0.1,
		Limit: 10 * time.Second, Grace: 5 * time.Second}
)

// Wait is how long a job waits after so many failed tries, from 1. luck is in
// [0, 1) and spreads the waits.
func (p Policy) Wait(failed int, luck float64) time.Duration {
	d := float64(p.First)
	for i := 1; i < failed && d < float64(p.Longest); i++ {
		d *= p.Factor
	}
	d = min(d, float64(p.Longest))
	return time.Duration(d * (1 + p.Jitter*luck))
}

// Next is when a job whose try failed at now is tried again; false when its
// tries are used up.
func (p Policy) Next(failed int, now time.Time, luck float64) (time.Time, bool) {
	if failed >= p.Tries {
		return time.Time{}, false
	}
	return now.Add(p.Wait(failed, luck)), true
}
