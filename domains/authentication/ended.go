package authentication

import (
	"context"
	"sync"
	"time"
)

const (
	// endedEvery is how often a node asks which logins were ended elsewhere.
	endedEvery = 2 * time.Second
	// endedOverlap is how far back each look goes behind the one before: an
	// end is dated before its commit, which may be slow.
	endedOverlap = 30 * time.Second
	// endedFor is how long an end matters: until the last access token of the
	// login is over, whatever the clocks say.
	endedFor = AccessTTL + 2*clockLeeway
	// lookTimeout bounds one look.
	lookTimeout = 5 * time.Second
)

// endedLogins is the memory of the ended logins whose access tokens may still
// be about. SQL is where they are kept; this is what Verify asks.
type endedLogins struct {
	closer Closer

	mu sync.RWMutex // guards the rest
	at map[FamilyID]time.Time
	// seen is the store's clock at the last look.
	seen time.Time
}

func newEndedLogins(c Closer) *endedLogins {
	return &endedLogins{closer: c, at: map[FamilyID]time.Time{}}
}

func (e *endedLogins) has(f FamilyID) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, ok := e.at[f]
	return ok
}

// add notes ends and closes what hangs on those that are news.
func (e *endedLogins) add(list ...Ended) {
	var news []Ended
	e.mu.Lock()
	for _, x := range list {
		if _, ok := e.at[x.Family]; !ok {
			e.at[x.Family] = x.At
			news = append(news, x)
		}
	}
	e.mu.Unlock()
	for _, x := range news {
		e.closer.LoginEnded(x.Learner, x.Family)
	}
}

// since is where the next look begins; zero stands for the first one.
func (e *endedLogins) since() time.Time {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.seen.IsZero() {
		return time.Time{}
	}
	return e.seen.Add(-endedOverlap)
}

// looked notes a look and forgets what matters no more.
func (e *endedLogins) looked(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = now
	for f, at := range e.at {
		if now.Sub(at) > endedFor {
			delete(e.at, f)
		}
	}
}

// loginsEnded is for the node that ended logins: it need not look.
func (s *Service) loginsEnded(learner LearnerID, families ...FamilyID) {
	now := s.now()
	list := make([]Ended, len(families))
	for i, f := range families {
		list[i] = Ended{Learner: learner, Family: f, At: now}
	}
	s.ended.add(list...)
}

// LoginEnded reports that a login was ended, as far as this node knows by now;
// it asks nobody. Ends are remembered until no access token is left of them.
func (s *Service) LoginEnded(f FamilyID) bool { return s.ended.has(f) }

// lookEnded learns which logins were ended, here or on another node.
func (s *Service) lookEnded(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	list, now, err := s.store.Ended(ctx, s.ended.since())
	if err != nil {
		return err
	}
	s.ended.add(list...)
	s.ended.looked(now)
	return nil
}

// Run keeps this node's knowledge fresh until ctx ends: which logins were
// ended elsewhere (every 2 s), and which signing keys there are. While SQL is
// away it goes on with what it knows.
func (s *Service) Run(ctx context.Context) {
	ended, keys := time.NewTicker(endedEvery), time.NewTicker(ringFresh)
	defer ended.Stop()
	defer keys.Stop()
	failing := false
	for {
		err := s.lookEnded(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.log.WarnContext(ctx, "ended logins are not known", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ended.C:
		case <-keys.C:
			if err := s.tendKeys(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "signing keys are not tended", "err", err)
			}
		}
	}
}
