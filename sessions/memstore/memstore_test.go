package memstore

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/sessions/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ testing.TB, o storetest.Options) storetest.Backend {
		st := New(Options{SessionTTL: o.TTL, Lease: o.Lease, SessionsPerUser: o.SessionsPerUser})
		return storetest.Backend{Store: st, Lose: st.Wipe}
	})
}
