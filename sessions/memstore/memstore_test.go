package memstore_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/sessions"
	"github.com/fluentpro/fluentpro/sessions/memstore"
	"github.com/fluentpro/fluentpro/sessions/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ testing.TB, ttl time.Duration) sessions.Store { return memstore.New(ttl) })
}
