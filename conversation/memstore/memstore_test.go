package memstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
	"github.com/fluentpro/fluentpro/conversation/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLocks runs in fake time: the terms are the clock's.
func TestLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := memstore.NewDB(nil, nil)
		l := memstore.NewLog(memstore.NewServer("a", nil), memstore.NewStore(db, nil), memstore.LogOptions{})
		storetest.Locks(t, memstore.NewLocks(l, nil), func(d time.Duration) { <-time.After(d) })
	})
}

func TestBranches(t *testing.T) {
	t.Parallel()
	storetest.Branches(t, func(*testing.T) conversation.Store { return memstore.NewStore(memstore.NewDB(nil, nil), nil) })
}

func TestCheckpointsOnce(t *testing.T) {
	t.Parallel()
	storetest.Checkpoints(t, memstore.NewStore(memstore.NewDB(nil, nil), nil))
}
