package resilience

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Shared owns what belongs to nobody in particular.
const Shared = ""

// CacheConfig sets up a Cache; a zero takes the default in brackets.
type CacheConfig struct {
	// Name is the cache's in metrics.
	Name string
	// TTL is how long a value serves [1 min].
	TTL time.Duration
	// Entries is the most that are kept, the longest unused goes first [1000].
	Entries int
	// Load bounds one load [30 s].
	Load time.Duration
	// Registerer gets the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Cache keeps what is slow to get, in this process. Each entry has an owner (a
// learner, or Shared): keys of two owners never meet, and Drop forgets all of
// one owner's at once.
//
// Drop reaches this process only. A value that another node may change must
// therefore have its version, or what it is made from, in its key; then no
// node serves an old one, and Drop and TTL only bound memory.
//
// It is safe for concurrent use.
type Cache[V any] struct {
	cfg CacheConfig

	mu      sync.Mutex // guards what follows
	entries map[cacheKey]*list.Element
	recent  *list.List // of *entry[V], the latest used in front
	owners  map[string]map[cacheKey]struct{}
	flights map[cacheKey]*flight[V]

	reads   *prometheus.CounterVec
	dropped prometheus.Counter
}

type cacheKey struct{ owner, key string }

type entry[V any] struct {
	key   cacheKey
	value V
	until time.Time
}

// flight is one load under way with those who wait for it.
type flight[V any] struct {
	done    chan struct{}
	value   V
	err     error
	waiters int
	cancel  context.CancelFunc
}

// NewCache makes a Cache.
func NewCache[V any](cfg CacheConfig) *Cache[V] {
	if cfg.TTL <= 0 {
		cfg.TTL = time.Minute
	}
	if cfg.Entries <= 0 {
		cfg.Entries = 1000
	}
	if cfg.Load <= 0 {
		cfg.Load = 30 * time.Second
	}
	c := &Cache[V]{cfg: cfg, entries: map[cacheKey]*list.Element{}, recent: list.New(),
		owners: map[string]map[cacheKey]struct{}{}, flights: map[cacheKey]*flight[V]{}}
	labels := prometheus.Labels{"cache": cfg.Name}
	c.reads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fluentpro_cache_reads_total", ConstLabels: labels,
		Help: "Reads of a cache by result: hit, load, joined (waited for another's load)."}, []string{"result"})
	c.dropped = prometheus.NewCounter(prometheus.CounterOpts{Name: "fluentpro_cache_evictions_total", ConstLabels: labels,
		Help: "Entries that a full cache let go."})
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(c.reads, c.dropped,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fluentpro_cache_entries", Help: "Entries in a cache.", ConstLabels: labels},
				func() float64 { return float64(c.Len()) }))
	}
	return c
}

// Get returns an owner's value of key, or loads it. However many ask for a key
// at once, one load runs; it has its own time limit and goes on until the last
// of those who wait has gone. An error is told to all of them and not kept.
func (c *Cache[V]) Get(ctx context.Context, owner, key string, load func(context.Context) (V, error)) (V, error) {
	var none V
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	k := cacheKey{owner, key}
	c.mu.Lock()
	if v, ok := c.fresh(k); ok {
		c.mu.Unlock()
		c.reads.WithLabelValues("hit").Inc()
		return v, nil
	}
	f := c.flights[k]
	if f == nil {
		f = c.start(ctx, k, load)
		c.reads.WithLabelValues("load").Inc()
	} else {
		c.reads.WithLabelValues("joined").Inc()
	}
	f.waiters++
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		c.mu.Lock()
		if f.waiters--; f.waiters == 0 {
			// Nobody wants it: whoever comes now begins anew.
			f.cancel()
			if c.flights[k] == f {
				delete(c.flights, k)
			}
		}
		c.mu.Unlock()
		return none, context.Cause(ctx)
	}
}

// Drop forgets everything of an owner. A load under way still answers those
// who wait for it, but is not kept, and nobody joins it any more: what is read
// after Drop was loaded after Drop.
func (c *Cache[V]) Drop(owner string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.owners[owner] {
		c.remove(k)
	}
	for k := range c.flights {
		if k.owner == owner {
			delete(c.flights, k)
		}
	}
}

// Len is how many entries there are, old ones included.
func (c *Cache[V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}

func (c *Cache[V]) start(ctx context.Context, k cacheKey, load func(context.Context) (V, error)) *flight[V] {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Load)
	f := &flight[V]{done: make(chan struct{}), cancel: cancel}
	c.flights[k] = f
	go func() {
		defer cancel()
		defer func() {
			if p := recover(); p != nil { // the request's own guard is not on this stack
				f.err = fmt.Errorf("cache %s: load: %v", c.cfg.Name, p)
				c.land(k, f)
			}
		}()
		f.value, f.err = load(ctx)
		if f.err != nil && ctx.Err() != nil {
			f.err = errors.Join(context.Cause(ctx), f.err)
		}
		c.land(k, f)
	}()
	return f
}

// land ends a flight and keeps its value, unless Drop came in between.
func (c *Cache[V]) land(k cacheKey, f *flight[V]) {
	c.mu.Lock()
	if c.flights[k] == f {
		delete(c.flights, k)
		if f.err == nil {
			c.put(k, f.value)
		}
	}
	c.mu.Unlock()
	close(f.done)
}

func (c *Cache[V]) fresh(k cacheKey) (v V, ok bool) {
	el := c.entries[k]
	if el == nil {
		return v, false
	}
	e := el.Value.(*entry[V])
	if !time.Now().Before(e.until) {
		c.remove(k)
		return v, false
	}
	c.recent.MoveToFront(el)
	return e.value, true
}

func (c *Cache[V]) put(k cacheKey, v V) {
	c.entries[k] = c.recent.PushFront(&entry[V]{k, v, time.Now().Add(c.cfg.TTL)})
	if c.owners[k.owner] == nil {
		c.owners[k.owner] = map[cacheKey]struct{}{}
	}
	c.owners[k.owner][k] = struct{}{}
	for c.recent.Len() > c.cfg.Entries {
		c.remove(c.recent.Back().Value.(*entry[V]).key)
		c.dropped.Inc()
	}
}

func (c *Cache[V]) remove(k cacheKey) {
	c.recent.Remove(c.entries[k])
	delete(c.entries, k)
	if delete(c.owners[k.owner], k); len(c.owners[k.owner]) == 0 {
		delete(c.owners, k.owner)
	}
}
