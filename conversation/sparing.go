package conversation

import (
	"sync"
	"time"
)

// sparing lets one line through every ten seconds: what fails at every try, for
// every run, is said and not poured. It is safe for concurrent use.
type sparing struct {
	mu   sync.Mutex // guards last
	last time.Time
}

const lineEvery = 10 * time.Second

// may reports whether a line may be written now.
func (s *sparing) may() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < lineEvery {
		return false
	}
	s.last = time.Now()
	return true
}
