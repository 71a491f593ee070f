package conversation_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/conversation"
)

// cluster is a Nodes in memory, by the bubble's clock.
type cluster struct {
	mu    sync.Mutex
	rows  map[string]*conversation.Member
	beats map[string]int
	down  error
	// readOnly is what every write is refused with.
	readOnly error
	between  func(id string) // runs before a Bury looks
}

func (c *cluster) Register(_ context.Context, n conversation.Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.rows {
		if m.Instance == n.Instance {
			m.State = "dead"
		}
	}
	c.rows[n.ID] = &conversation.Member{Node: n, State: "active", HB: time.Now().UnixMicro()}
	return c.down
}

func (c *cluster) Heartbeat(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats[id]++
	m := c.rows[id]
	switch {
	case c.down != nil:
		return c.down
	case c.readOnly != nil:
		return c.readOnly
	case m == nil || m.State == "dead":
		return conversation.ErrNodeDead
	}
	m.HB = time.Now().UnixMicro()
	return nil
}

func (c *cluster) Members(context.Context) ([]conversation.Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []conversation.Member
	for _, m := range c.rows {
		x := *m
		x.AgeMicros = time.Now().UnixMicro() - m.HB
		out = append(out, x)
	}
	return out, c.down
}

func (c *cluster) Bury(ctx context.Context, id string, seen int64) (bool, error) {
	c.mu.Lock()
	between := c.between
	c.mu.Unlock()
	if between != nil {
		between(id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.rows[id]
	if c.readOnly != nil {
		return false, c.readOnly
	}
	if m == nil || m.HB != seen || m.State == "dead" {
		return false, nil
	}
	m.State = "dead"
	return true, nil
}

func (c *cluster) SetNodeState(_ context.Context, id, state string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[id].State = state
	return nil
}

func (c *cluster) beaten(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beats[id]
}

func (c *cluster) state(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows[id].State
}

// joined runs a test with a living node "n1" beside a silent "other".
func joined(t *testing.T, cfg conversation.MembershipConfig, fn func(t *testing.T, c *cluster, m *conversation.Membership)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{rows: map[string]*conversation.Member{}, beats: map[string]int{}}
		_ = c.Register(t.Context(), conversation.Node{ID: "other", Instance: "i2", Addr: "10.0.0.2:1"})
		m, err := conversation.Join(t.Context(), c, conversation.Node{ID: "n1", Instance: "i1"}, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(ctx) })
		fn(t, c, m)
		cancel()
		wg.Wait()
	})
}

func dial(err error) func(context.Context, string) error {
	return func(context.Context, string) error { return err }
}

func TestSuspectThatRefusesIsBuried(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(&netError{syscall.ECONNREFUSED})}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		time.Sleep(790 * time.Millisecond)
		if !m.IsAlive("other") || c.state("other") != "active" {
			t.Error("buried before it was suspect")
		}
		time.Sleep(300 * time.Millisecond)
		if m.IsAlive("other") || c.state("other") != "dead" {
			t.Errorf("alive %v, state %s", m.Alive(), c.state("other"))
		}
	})
}

type netError struct{ error }

func (e *netError) Unwrap() error { return e.error }

func TestSuspectThatAnswersIsAlive(t *testing.T) {
	for name, err := range map[string]error{"answers": nil, "times out": context.DeadlineExceeded, "no route": errors.New("no route to host")} {
		t.Run(name, func(t *testing.T) {
			joined(t, conversation.MembershipConfig{Dial: dial(err)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
				time.Sleep(2900 * time.Millisecond)
				if !m.IsAlive("other") || c.state("other") != "active" {
					t.Error("buried without a proof")
				}
				// Stale needs no proof.
				time.Sleep(time.Second)
				if m.IsAlive("other") || c.state("other") != "dead" {
					t.Errorf("alive %v, state %s", m.Alive(), c.state("other"))
				}
			})
		})
	}
}

// TestOneThatBeatsInBetweenIsAlive: it was suspect when it was looked at, and
// beat before it could be buried.
func TestOneThatBeatsInBetweenIsAlive(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(syscall.ECONNREFUSED)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		c.mu.Lock()
		c.between = func(id string) { _ = c.Heartbeat(t.Context(), id) }
		c.mu.Unlock()
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			if !m.IsAlive("other") {
				t.Fatal("given up although its heartbeat is fresh")
			}
		}
		if c.state("other") != "active" || c.beaten("other") == 0 {
			t.Errorf("state %s after %d beats in between", c.state("other"), c.beaten("other"))
		}
	})
}

func TestTheLossOfANodeIsTold(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(nil)}, func(t *testing.T, _ *cluster, m *conversation.Membership) {
		var lost atomic.Int64
		m.OnLoss(func() { lost.Add(1) })
		time.Sleep(time.Second)
		if !m.IsAlive("other") || lost.Load() != 0 {
			t.Fatalf("lost %d nodes while both live", lost.Load())
		}
		time.Sleep(10 * time.Second)
		if m.IsAlive("other") || lost.Load() != 1 {
			t.Errorf("told %d times of a node that is dead", lost.Load())
		}
	})
}

func TestDeclaredDeadRejoins(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(nil)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		dropped, at := 0, ""
		m.OnDead(func() { dropped++; at = m.Self().ID })
		time.Sleep(1200 * time.Millisecond)
		if c.beaten("n1") != 2 || dropped != 0 {
			t.Fatalf("%d beats, dropped %d times", c.beaten("n1"), dropped)
		}
		_ = c.SetNodeState(t.Context(), "n1", "dead")
		time.Sleep(time.Second)
		self := m.Self()
		if dropped != 1 || at != "n1" || self.ID == "n1" || self.Instance != "i1" || c.state(self.ID) != "active" {
			t.Errorf("dropped %d times as %s; now %+v", dropped, at, self)
		}
		if alive := m.Alive(); !slices.Contains(alive, self.ID) || slices.Contains(alive, "n1") {
			t.Errorf("alive %v", alive)
		}
		time.Sleep(5 * time.Second)
		if m.Self() != self || dropped != 1 || c.beaten(self.ID) < 9 {
			t.Errorf("%d beats since, dropped %d times", c.beaten(self.ID), dropped)
		}
	})
}

func TestMembershipWithoutSQL(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(syscall.ECONNREFUSED)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		c.mu.Lock()
		c.down = errors.New("sql is away")
		c.mu.Unlock()
		time.Sleep(10 * time.Second)
		if !m.IsAlive("other") || m.Self().ID != "n1" {
			t.Error("somebody was given up without knowing")
		}
		c.mu.Lock()
		c.down = nil
		c.mu.Unlock()
		time.Sleep(600 * time.Millisecond)
		if m.IsAlive("other") || !m.IsAlive("n1") {
			t.Errorf("alive %v", m.Alive())
		}
	})
}

// While SQL is away nobody beats. When it is back, whoever looks first must not
// bury all the others: each of their runs would have lost an attempt. One that
// stays silent is dead as ever.
func TestNobodyIsBuriedForAnOutageOfSQL(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(c *cluster, err error){
		"SQL is away":         func(c *cluster, err error) { c.down = err },
		"SQL takes no writes": func(c *cluster, err error) { c.readOnly = err },
	} {
		t.Run(name, func(t *testing.T) {
			buriedForAnOutage(t, func(c *cluster, err error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				set(c, err)
			})
		})
	}
}

func buriedForAnOutage(t *testing.T, set func(c *cluster, err error)) {
	t.Helper()
	joined(t, conversation.MembershipConfig{Dial: dial(nil)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		outage := func() {
			set(c, errors.New("sql is in trouble"))
			time.Sleep(10 * time.Second)
			set(c, nil)
		}
		outage()
		time.Sleep(1400 * time.Millisecond) // time enough for many looks, and late for a beat
		if !m.IsAlive("other") || c.state("other") != "active" {
			t.Fatal("buried for the database's silence")
		}
		_ = c.Heartbeat(t.Context(), "other")
		time.Sleep(2500 * time.Millisecond)
		if !m.IsAlive("other") {
			t.Fatal("buried although it beats again")
		}
		outage()
		time.Sleep(3500 * time.Millisecond)
		if m.IsAlive("other") || c.state("other") != "dead" {
			t.Errorf("a silent node is alive: %v, state %s", m.Alive(), c.state("other"))
		}
	})
}

func TestDrainingLivesAndLeavingDoesNot(t *testing.T) {
	joined(t, conversation.MembershipConfig{Dial: dial(nil)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		if err := m.SetDraining(t.Context()); err != nil || c.state("n1") != "draining" {
			t.Errorf("state %s (%v)", c.state("n1"), err)
		}
		_ = c.SetNodeState(t.Context(), "other", "draining")
		time.Sleep(600 * time.Millisecond)
		if !m.IsAlive("other") {
			t.Error("a draining node still writes")
		}
		_ = c.SetNodeState(t.Context(), "other", "dead")
		time.Sleep(300 * time.Millisecond)
		if m.IsAlive("other") {
			t.Error("a node that left is alive")
		}
		if err := m.Leave(t.Context()); err != nil || c.state("n1") != "dead" {
			t.Errorf("state %s (%v)", c.state("n1"), err)
		}
	})
}

func TestSoloBeatsNothing(t *testing.T) {
	joined(t, conversation.MembershipConfig{Solo: true, Dial: dial(nil)}, func(t *testing.T, c *cluster, m *conversation.Membership) {
		time.Sleep(10 * time.Second)
		if c.beaten("n1") != 0 || !m.IsAlive("n1") {
			t.Errorf("%d beats, alive %v", c.beaten("n1"), m.Alive())
		}
	})
}
