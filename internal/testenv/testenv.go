// Package testenv gives tests real surroundings of their own: a private Redis
// server, an embedded one, free ports, a TCP proxy that cuts and stalls, and
// waiting that ends as soon as what is waited for is there. Everything stops
// with the test. Postgres is next door, in internal/sqldb/sqldbtest.
package testenv

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

// EnvRequire, set to 1, turns "left out, because this machine has no …" from
// a skip into a failure; make test sets it.
const EnvRequire = "FLUENTPRO_TEST_REQUIRE"

// Missing skips the test with the reason, or fails it where EnvRequire
// forbids to skip.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(EnvRequire) == "1" {
		t.Fatalf("needs %s, and %s=1 forbids to skip", what, EnvRequire)
	}
	t.Skipf("left out: needs %s; run make test, which installs it", what)
}

// Tool is the path of the first of names that is installed, else Missing.
func Tool(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(t, names[0])
	return ""
}

// Chromium is the path of a Chromium or Chrome, else Missing.
func Chromium(t testing.TB) string {
	t.Helper()
	return Tool(t, "chromium", "chromium-browser", "google-chrome", "headless-shell")
}

// FreePort is a port of 127.0.0.1 that nobody listened on a moment ago.
// Whoever starts a process on it should be ready to try another; a listener
// inside the test asks for port 0 instead.
func FreePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().(*net.TCPAddr).Port
}

// pollEvery is short, because a test's whole length is made of such waits.
const pollEvery = 2 * time.Millisecond

// Eventually waits until check returns nil, and fails the test with check's
// last error when it has not within that time.
func Eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	if err := poll(within, check); err != nil {
		t.Fatalf("not within %v: %v", within, err)
	}
}

// EventuallyTrue is Eventually for a condition; what names it in the failure.
func EventuallyTrue(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	Eventually(t, within, func() error {
		if cond() {
			return nil
		}
		return errNotYet(what)
	})
}

type errNotYet string

func (e errNotYet) Error() string { return string(e) }

func poll(within time.Duration, check func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return check() // what came true in the last moment counts
		case <-tick.C:
		}
	}
}
