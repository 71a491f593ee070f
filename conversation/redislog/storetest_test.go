package redislog_test

import (
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/conversation/storetest"
)

// TestSameAsInMemory proves that the simulation's log answers as this one.
func TestSameAsInMemory(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, e *env) {
		real := func(testing.TB) storetest.LogRig {
			drop := func(id conversation.ID, kind string) {
				for _, k := range e.keys(id) {
					if k[len(k)-1:] == kind {
						e.do("DEL", k)
					}
				}
			}
			return storetest.LogRig{Log: e.open(redislog.Options{MaxEntries: 16, MaxTurns: 4}), Flush: e.flush, Drop: drop}
		}
		inMemory := func(testing.TB) storetest.LogRig {
			s := memstore.NewServer("one", nil)
			return storetest.LogRig{Log: memstore.NewLog(s, e.reg, memstore.LogOptions{MaxEntries: 16, MaxTurns: 4}), Flush: s.Flush, Drop: s.Drop}
		}
		storetest.Compare(t, 30, storetest.LogTranscript, real, inMemory)
	})
}

func TestLocksSuite(t *testing.T) {
	t.Parallel()
	srv := testenvRedis(t)
	storetest.Locks(t, redislog.NewLocks(client(t, srv.Addr), 5*time.Second), func(d time.Duration) { <-time.After(d) })
}
