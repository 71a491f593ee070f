package docs

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGuideIsThere(t *testing.T) {
	t.Parallel()
	if !bytes.HasPrefix(MigratingToV2, []byte("# From v1 to v2\n")) {
		t.Fatalf("got %.60q", MigratingToV2)
	}
}
