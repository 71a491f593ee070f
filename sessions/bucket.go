package sessions

import "time"

// bucket is a token bucket; it is confined to one goroutine.
type bucket struct {
	rate, burst float64
	left        float64
	at          time.Time
}

func newBucket(rate float64, burst int, now time.Time) bucket {
	return bucket{rate: rate, burst: float64(burst), left: float64(burst), at: now}
}

// take uses one token, or tells how long until there is one.
func (b *bucket) take(now time.Time) (wait time.Duration, ok bool) {
	if d := now.Sub(b.at); d > 0 {
		b.left = min(b.burst, b.left+d.Seconds()*b.rate)
		b.at = now
	}
	if b.left >= 1 {
		b.left--
		return 0, true
	}
	return time.Duration((1 - b.left) / b.rate * float64(time.Second)), false
}
