package main

import (
	"errors"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// TestRedisIsUsedAsSoonAsItIsBack makes more failed calls than the pool has
// places and asserts that the first call after Redis' return gets through.
func TestRedisIsUsedAsSoonAsItIsBack(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	addr := m.Addr()
	for name, url := range map[string]string{"one primary": "redis://" + addr, "a cluster": "redis://" + addr + "?addr=" + addr} {
		rdb, err := newRedis(url)
		if err != nil {
			t.Fatal(err)
		}
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m.Close()
		for i := range 60 {
			err := rdb.Ping(t.Context()).Err()
			if err == nil {
				t.Fatalf("%s: call %d was answered by nobody", name, i)
			}
			if i > 20 && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("%s: call %d failed for another reason: %v", name, i, err)
			}
		}
		if err := m.StartAddr(addr); err != nil {
			t.Fatal(err)
		}
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Errorf("%s: the first call after the return: %v", name, err)
		}
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}
}
