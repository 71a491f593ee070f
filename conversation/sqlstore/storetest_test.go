package sqlstore_test

import (
	"testing"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/memstore"
	"github.com/fluentpro/fluentpro/conversation/storetest"
)

// TestSameAsInMemory proves that the simulation's authority answers as this one.
func TestSameAsInMemory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		real := func(testing.TB) conversation.Store { return e.Store }
		inMemory := func(testing.TB) conversation.Store { return memstore.NewStore(memstore.NewDB(nil, nil), nil) }
		storetest.Compare(t, 16, storetest.StoreTranscript, real, inMemory)
	})
}

func TestBranches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) {
		storetest.Branches(t, func(*testing.T) conversation.Store { return e.Store })
	})
}

func TestCheckpointsOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e *env) { storetest.Checkpoints(t, e.Store) })
}
