package simulation

import (
	"flag"
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

var (
	seedFlag      = flag.Int64("seed", -1, "run this schedule alone")
	schedulesFlag = flag.Int("schedules", 0, "how many schedules to run; 0 means as many as CI has time for")
	fromFlag      = flag.Int64("from", 1, "seed of the first schedule")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// One goroutine at a time: with fake time and seeded delays that makes a
	// schedule repeat itself.
	runtime.GOMAXPROCS(1)
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
