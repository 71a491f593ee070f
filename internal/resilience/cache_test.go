package resilience

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCacheReadsThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[int](CacheConfig{Name: "x", TTL: time.Minute, Registerer: prometheus.NewRegistry()})
		loads := 0
		get := func() int {
			v, err := c.Get(t.Context(), "ana", "k", func(context.Context) (int, error) { loads++; return loads, nil })
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for range 2 {
			if get() != 1 {
				t.Fatal("loaded twice")
			}
		}
		time.Sleep(time.Minute - 1)
		if get() != 1 {
			t.Fatal("gone before its time")
		}
		time.Sleep(time.Nanosecond)
		if get() != 2 {
			t.Fatal("served after its time")
		}
		c.Drop("ana")
		if get() != 3 || c.Len() != 1 {
			t.Fatal("served after a write")
		}
		if h, m := testutil.ToFloat64(c.reads.WithLabelValues("hit")), testutil.ToFloat64(c.reads.WithLabelValues("load")); h != 2 || m != 3 {
			t.Fatalf("%v hits and %v loads counted", h, m)
		}
	})
}

func TestCacheKeepsOwnersApart(t *testing.T) {
	t.Parallel()
	c := NewCache[string](CacheConfig{Name: "x"})
	// Owners and keys that a joined name would mix up.
	pairs := [][2]string{{"a", "b:c"}, {"a:b", "c"}, {"", "a:b:c"}, {"a:b:c", ""}, {Shared, "c"}, {"a", "c"}}
	var wg sync.WaitGroup
	for range 8 {
		for _, p := range pairs {
			wg.Go(func() {
				want := p[0] + "|" + p[1]
				if v, err := c.Get(t.Context(), p[0], p[1], func(context.Context) (string, error) { return want, nil }); v != want || err != nil {
					t.Errorf("%q got %q, %v", p, v, err)
				}
			})
		}
	}
	wg.Wait()
	c.Drop("a")
	if c.Len() != len(pairs)-2 {
		t.Fatalf("%d entries are left, want all but the two of a", c.Len())
	}
}

func TestCacheStampede(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[int](CacheConfig{Name: "x"})
		var loads atomic.Int32
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				v, err := c.Get(t.Context(), "ana", "k", func(context.Context) (int, error) {
					time.Sleep(time.Second)
					return int(loads.Add(1)), nil
				})
				if v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		wg.Wait()
		if loads.Load() != 1 {
			t.Fatalf("%d loads", loads.Load())
		}
	})
}

func TestCacheKeepsNoError(t *testing.T) {
	t.Parallel()
	c := NewCache[int](CacheConfig{Name: "x"})
	boom := errors.New("boom")
	if _, err := c.Get(t.Context(), "a", "k", func(context.Context) (int, error) { return 1, boom }); !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Get(t.Context(), "a", "k", func(context.Context) (int, error) { panic("boom") }); err == nil {
		t.Fatal("a panic of a load is no error")
	}
	if v, err := c.Get(t.Context(), "a", "k", func(context.Context) (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Fatalf("got %d, %v", v, err)
	}
}

// TestCacheDropWhileLoading: a load that began before a write neither serves
// nor stays for those who read after it.
func TestCacheDropWhileLoading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[string](CacheConfig{Name: "x"})
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			v, err := c.Get(t.Context(), "ana", "k", func(context.Context) (string, error) { <-release; return "old", nil })
			if v != "old" || err != nil {
				t.Errorf("who asked before the write got %q, %v", v, err)
			}
		})
		synctest.Wait()
		c.Drop("ana")
		get := func() string {
			v, err := c.Get(t.Context(), "ana", "k", func(context.Context) (string, error) { return "new", nil })
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if v := get(); v != "new" {
			t.Fatalf("got %q after the write", v)
		}
		close(release)
		wg.Wait()
		if v := get(); v != "new" {
			t.Fatalf("got %q: the old load was kept", v)
		}
	})
}

func TestCacheLoadOutlivesItsFirstCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewCache[int](CacheConfig{Name: "x", Load: time.Minute})
		slow := func(ctx context.Context) (int, error) {
			select {
			case <-time.After(2 * time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		first, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Get(first, "a", "k", slow); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if v, err := c.Get(t.Context(), "a", "k", slow); v != 1 || err != nil {
				t.Errorf("the second caller got %d, %v", v, err)
			}
		})
		wg.Wait()
		// When the last has left the load ends too, and the next begins anew.
		begun := time.Now()
		alone, leave2 := context.WithTimeout(t.Context(), time.Second)
		defer leave2()
		if _, err := c.Get(alone, "a", "k2", slow); err == nil {
			t.Fatal("no error")
		}
		synctest.Wait()
		if time.Since(begun) != time.Second {
			t.Fatal("waited for a load that nobody wants")
		}
		if v, err := c.Get(t.Context(), "a", "k2", slow); v != 1 || err != nil {
			t.Fatalf("got %d, %v", v, err)
		}
		if _, err := c.Get(t.Context(), "a", "k3", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v from a load without end", err)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := NewCache[int](CacheConfig{Name: "x", Entries: 10})
	get := func(i int) (loaded bool) {
		v, err := c.Get(t.Context(), "o"+strconv.Itoa(i%3), strconv.Itoa(i), func(context.Context) (int, error) { loaded = true; return i, nil })
		if v != i || err != nil {
			t.Fatalf("got %d, %v", v, err)
		}
		return loaded
	}
	for i := range 100 {
		get(i)
		get(0) // in use all the time
	}
	if c.Len() != 10 || get(0) || !get(50) || get(99) {
		t.Fatalf("%d entries, or the wrong ones went", c.Len())
	}
	for i := range 3 {
		c.Drop("o" + strconv.Itoa(i))
	}
	if c.Len() != 0 || len(c.owners) != 0 || len(c.entries) != 0 {
		t.Fatalf("%d entries and %d owners are left", c.Len(), len(c.owners))
	}
}
