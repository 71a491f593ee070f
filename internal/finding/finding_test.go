package finding

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestString(t *testing.T) {
	t.Parallel()
	f := Finding{Name: "sql-fsync", Setting: "fsync", Value: "off", Why: "it loses data", Fix: "set fsync = on"}
	if got, want := f.String(), "sql-fsync: fsync is off: it loses data; set fsync = on"; got != want {
		t.Errorf("got %q", got)
	}
	f.At = "10.0.0.1:6379"
	if got, want := f.String(), "sql-fsync: fsync is off at 10.0.0.1:6379: it loses data; set fsync = on"; got != want {
		t.Errorf("got %q", got)
	}
}
