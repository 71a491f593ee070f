package redislog_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/conversation/redislog"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// BenchmarkAppend appends tokens to many conversations at once, each watched
// by one subscriber as a node with a viewer is, and reports the CPU that Redis
// itself spent per append, which is what all learners share.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(writers)+" writers", func(b *testing.B) { benchAppend(b, writers) })
	}
}

func benchAppend(b *testing.B, writers int) {
	srv := testenv.Redis(b)
	rdb := client(b, srv.Addr)
	l := redislog.New(rdb, &registry{inc: map[string]int64{}}, redislog.Options{Mode: "r", Timeout: 5 * time.Second})
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	bell := redislog.NewBell(rdb, quiet())
	var wg sync.WaitGroup
	wg.Go(func() { _ = bell.Run(ctx) })
	defer wg.Wait()
	defer stop()
	type log struct {
		id conversation.ID
		ep conversation.Epoch
	}
	logs := make([]log, writers)
	for i := range logs {
		id := conversation.NewID()
		ep, err := l.Create(ctx, id, 1, conversation.Seed{Fence: fence, Header: header(id)})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.Begin(ctx, id, ep, begin(conversation.BeginRestart, 1, fence+1)); err != nil {
			b.Fatal(err)
		}
		if _, err := bell.Listen(ctx, id, func(conversation.Epoch, conversation.Event) {}); err != nil {
			b.Fatal(err)
		}
		logs[i] = log{id, ep}
	}
	before := redisCPU(b, rdb)
	b.ReportAllocs()
	b.ResetTimer()
	var writing sync.WaitGroup
	for i, lg := range logs {
		writing.Go(func() {
			for at := int64(0); at < int64((b.N+writers-1-i)/writers); at++ {
				if _, _, err := l.Append(ctx, lg.id, lg.ep, piece(1, fence+1, at*6, " token")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	b.StopTimer()
	b.ReportMetric((redisCPU(b, rdb)-before)*1e9/float64(b.N), "redis-ns/op")
}

// redisCPU is the CPU time that the Redis process has used, in seconds.
func redisCPU(b *testing.B, rdb interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
}) float64 {
	b.Helper()
	info, err := rdb.Info(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(info) {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
				s, err := strconv.ParseFloat(v, 64)
				if err != nil {
					b.Fatal(err)
				}
				sum += s
			}
		}
	}
	return sum
}
