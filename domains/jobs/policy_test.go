package jobs_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fluentpro/fluentpro/domains/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy jobs.Policy
		waits  []time.Duration // without luck
		total  time.Duration   // of all tries, with the worst luck
	}{
		{jobs.Base, seconds(10, 20, 40, 80, 160), 372 * time.Second},
		{jobs.Critical, seconds(5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 14400, 14400, 14400), 76410 * time.Second},
		{jobs.Quick, seconds(1, 2), 3300 * time.Millisecond},
	} {
		t.Run(c.policy.Name, func(t *testing.T) {
			t.Parallel()
			if c.policy.Tries != len(c.waits)+1 {
				t.Fatalf("%d tries, want %d", c.policy.Tries, len(c.waits)+1)
			}
			var total time.Duration
			clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, want := range c.waits {
				failed := i + 1
				if got := c.policy.Wait(failed, 0); got != want {
					t.Errorf("after failure %d: got %v, want %v", failed, got, want)
				}
				next, again := c.policy.Next(failed, clock, 1)
				if !again {
					t.Fatalf("given up after failure %d", failed)
				}
				if most := time.Duration(float64(want) * (1 + c.policy.Jitter)); next.Sub(clock) != most {
					t.Errorf("after failure %d, with the worst luck: got %v, want %v", failed, next.Sub(clock), most)
				}
				total += next.Sub(clock)
				clock = next
			}
			if _, again := c.policy.Next(c.policy.Tries, clock, 0); again {
				t.Error("not given up after the last try")
			}
			if total != c.total {
				t.Errorf("all waits take %v, want %v", total, c.total)
			}
		})
	}
}

func seconds(n ...int) []time.Duration {
	out := make([]time.Duration, len(n))
	for i, v := range n {
		out[i] = time.Duration(v) * time.Second
	}
	return out
}

func TestPermanentSurvivesWrapping(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such learner")
	err := fmt.Errorf("welcome: %w", jobs.Permanent(cause))
	if !jobs.IsPermanent(err) || !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	if jobs.IsPermanent(cause) || jobs.Permanent(nil) != nil {
		t.Fatal("what nobody marked is permanent")
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	type args struct {
		Learner string `json:"learner_id"`
	}
	got, err := jobs.Decode[args](jobs.Job{Kind: "mail.welcome", Args: []byte(`{"learner_id":"a"}`)})
	if err != nil || got.Learner != "a" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := jobs.Decode[args](jobs.Job{Args: []byte("[]")}); !jobs.IsPermanent(err) {
		t.Fatalf("got %v, want a permanent error", err)
	}
}
