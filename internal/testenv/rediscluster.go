package testenv

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisCluster is some primaries that share the slots; none has a replica.
type RedisCluster struct {
	Primaries []*RedisServer
	// URL names all of them, as FLUENTPRO_REDIS_URL takes it.
	URL string
}

const slots = 16384

// NewRedisCluster starts n primaries, each with its part of the slots, and
// returns when all of them know it.
func NewRedisCluster(t testing.TB, n int) *RedisCluster {
	t.Helper()
	c := &RedisCluster{}
	bus := make([]string, n)
	for i := range n {
		bus[i] = strconv.Itoa(FreePort(t))
		r := Redis(t, "--cluster-enabled", "yes", "--cluster-port", bus[i], "--cluster-node-timeout", "15000")
		c.Primaries = append(c.Primaries, r)
		if i == 0 {
			c.URL = r.URL[:strings.LastIndexByte(r.URL, '/')] + "?addr=" + r.Addr
		} else {
			c.URL += "&addr=" + r.Addr
		}
		must(t, r, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/n), strconv.Itoa(slots*(i+1)/n-1))
	}
	for i, r := range c.Primaries[1:] {
		must(t, c.Primaries[0], "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(r.port), bus[i+1])
	}
	Eventually(t, time.Minute, func() error {
		for _, r := range c.Primaries {
			info, err := r.Do("CLUSTER", "INFO")
			if err != nil {
				return err
			}
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", n)) {
				return fmt.Errorf("%s does not see the whole cluster", r.Addr)
			}
		}
		return nil
	})
	return c
}

func must(t testing.TB, r *RedisServer, args ...string) string {
	t.Helper()
	out, err := r.Do(args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

// Home is which primary serves a key, and the key's slot.
func (c *RedisCluster) Home(t testing.TB, key string) (at int, slot string) {
	t.Helper()
	slot = must(t, c.Primaries[0], "CLUSTER", "KEYSLOT", key)
	for i, r := range c.Primaries {
		// Asked of another one it is MOVED, or missing only where it belongs.
		if _, err := r.Do("EXISTS", key); err == nil {
			return i, slot
		}
	}
	t.Fatalf("nobody serves slot %s", slot)
	return 0, ""
}

// Move migrates a slot to another primary, key by key, as redis-cli's reshard
// does; between is called before each key moves and before the slot does.
func (c *RedisCluster) Move(t testing.TB, slot string, from, to int, between func()) {
	t.Helper()
	src, dst := c.Primaries[from], c.Primaries[to]
	srcID, dstID := must(t, src, "CLUSTER", "MYID"), must(t, dst, "CLUSTER", "MYID")
	must(t, dst, "CLUSTER", "SETSLOT", slot, "IMPORTING", srcID)
	must(t, src, "CLUSTER", "SETSLOT", slot, "MIGRATING", dstID)
	for {
		between()
		// One key of the slot, by a script: Do reads no arrays.
		key, err := src.Do("EVAL", "local k = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], 1) return k[1] or ''", "0", slot)
		if err != nil {
			t.Fatal(err)
		}
		if key == "" {
			break
		}
		must(t, src, "MIGRATE", "127.0.0.1", strconv.Itoa(dst.port), key, "0", "5000", "REPLACE")
	}
	for _, r := range []*RedisServer{dst, src} {
		must(t, r, "CLUSTER", "SETSLOT", slot, "NODE", dstID)
	}
}
