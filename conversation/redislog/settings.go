package redislog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/finding"
)

// maxLag is how many seconds a replica may be behind before it is mentioned.
const maxLag = 10

// CheckSettings looks at each primary for settings under which live state is
// lost without need, or writes fail. Everything it needs stands in INFO, so an
// ACL user that may read INFO is enough; what cannot be read is a finding too.
func CheckSettings(ctx context.Context, rdb redis.UniversalClient) ([]finding.Finding, error) {
	if c, ok := rdb.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		var out []finding.Finding
		err := c.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
			got, err := checkServer(ctx, one, one.Options().Addr)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, got...)
			return err
		})
		return out, err
	}
	return checkServer(ctx, rdb, "")
}

// info is what INFO says, by name.
type info map[string]string

func parseInfo(text string) info {
	out := info{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.HasPrefix(k, "#") {
			out[k] = v
		}
	}
	return out
}

// server is a client of one server.
type server interface {
	redis.Cmdable
	Do(ctx context.Context, args ...any) *redis.Cmd
}

func checkServer(ctx context.Context, rdb server, at string) ([]finding.Finding, error) {
	text, err := rdb.Info(ctx).Result()
	if err != nil {
		var re redis.Error
		if !errors.As(err, &re) {
			return nil, fmt.Errorf("read the settings of Redis: %w", err)
		}
		// Forbidden or renamed: the server answers, but not this.
		return []finding.Finding{{Name: "redis-unchecked", Setting: "INFO", Value: "not readable", At: at,
			Why: "its settings cannot be checked", Fix: "allow +info to the user, or see to what docs/redis.md asks for"}}, nil
	}
	out := judge(parseInfo(text))
	out = append(out, checkSave(ctx, rdb, parseInfo(text))...)
	if refused := (*conversation.RefusedError)(nil); errors.As(judged(rdb.Set(ctx, probeKey, "1", time.Second).Err()), &refused) && !slices.Contains([]string{"NOPERM", "READONLY", "MISCONF"}, refused.Reason) { // these have findings of their own
		out = append(out, finding.Finding{Name: "redis-refuses", Setting: "writes", Value: refused.Reason,
			Why: "it takes no writes: replies stand still until they are whole", Fix: "see docs/operations.md, \"When Redis takes no writes\""})
	}
	denied, err := probeRights(ctx, rdb)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].At = at
	}
	for i := range denied {
		denied[i].At = at
	}
	return append(out, denied...), nil
}

// judge finds what is wrong by INFO alone.
func judge(in info) []finding.Finding {
	var out []finding.Finding
	add := func(grave bool, name, setting, value, why, fix string) {
		out = append(out, finding.Finding{Name: name, Grave: grave, Setting: setting, Value: value, Why: why, Fix: fix})
	}
	if v := in["redis_version"]; !atLeast7(v) {
		add(true, "redis-version", "redis_version", orNone(v), "the scripts need commands that it lacks", "use Redis 7.0 or Valkey 7.2, or later")
	}
	if p := in["maxmemory_policy"]; p != "" && p != "noeviction" {
		limited := in["maxmemory"] != "" && in["maxmemory"] != "0"
		why := "with a memory limit keys will be thrown away, and open replies with them"
		if limited {
			why = "when its memory is full it throws keys away, and open replies with them"
		}
		add(limited, "redis-eviction", "maxmemory-policy", p, why, "set maxmemory-policy noeviction")
	}
	if r := in["role"]; r != "" && r != "master" {
		add(true, "redis-replica", "role", r, "a replica takes no writes", "name the primary, or a Sentinel set or Cluster, in FLUENTPRO_REDIS_URL")
	}
	if in["rdb_last_bgsave_status"] == "err" || in["aof_last_write_status"] == "err" || in["aof_last_bgrewrite_status"] == "err" {
		add(true, "redis-saving", "last save", "err", "it cannot write to its disk and refuses writes, or soon will", "free the disk, or see its log")
	}
	limit, _ := strconv.ParseInt(in["maxmemory"], 10, 64)
	if used, _ := strconv.ParseInt(in["used_memory"], 10, 64); limit > 0 && used >= limit/10*9 {
		add(false, "redis-memory", "used_memory", strconv.FormatInt(used, 10)+" of "+in["maxmemory"], "a full Redis takes no writes: replies stand still until they are whole",
			"raise maxmemory; docs/redis.md reckons what is needed")
	}
	replicas, _ := strconv.Atoi(in["connected_slaves"])
	if _, guarded := in["min_slaves_good_slaves"]; replicas > 0 && !guarded {
		add(false, "redis-min-replicas", "min-replicas-to-write", "0", "a primary that was cut off goes on answering; what it takes is lost",
			"set min-replicas-to-write 1 and min-replicas-max-lag 10")
	}
	for i := range replicas {
		for part := range strings.SplitSeq(in["slave"+strconv.Itoa(i)], ",") {
			k, v, _ := strings.Cut(part, "=")
			if lag, err := strconv.Atoi(v); k == "lag" && err == nil && lag > maxLag {
				add(false, "redis-replica-lag", "lag of slave"+strconv.Itoa(i), v+" s", "a failover to it would lose that much", "see why the replica does not keep up")
			}
		}
	}
	return out
}

// checkSave mentions a Redis that keeps nothing; whether it takes snapshots is
// not in INFO, and CONFIG may be forbidden.
func checkSave(ctx context.Context, rdb server, in info) []finding.Finding {
	if in["aof_enabled"] != "0" {
		return nil
	}
	save, err := rdb.ConfigGet(ctx, "save").Result()
	if err != nil || save["save"] != "" {
		return nil
	}
	return []finding.Finding{{Name: "redis-persistence", Setting: "save and appendonly", Value: "off",
		Why: "a restart ends all visits, and replies whose writer dies with it begin anew", Fix: "set appendonly yes, if a restart should cost less"}}
}

// atLeast7 reads "7.0.15".
func atLeast7(v string) bool {
	major, _, _ := strings.Cut(v, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 7
}

func orNone(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}

// rights are harmless calls of each command that scripts and stores use, on a
// key that is not there, and one write under each prefix.
var rights = [][]any{
	{"EVAL", "return redis.call('TIME')", 0}, {"SCRIPT", "LOAD", "return 1"}, {"TIME"}, {"PING"},
	{"HSET", probeKey, "f", "1"}, {"HGET", probeKey, "f"}, {"HMGET", probeKey, "f"}, {"HGETALL", probeKey}, {"HVALS", probeKey}, {"HLEN", probeKey},
	{"HEXISTS", probeKey, "f"}, {"HDEL", probeKey, "f"}, {"SET", probeKey, "1", "PX", 1000}, {"GET", probeKey}, {"APPEND", probeKey, "1"},
	{"STRLEN", probeKey}, {"GETRANGE", probeKey, 0, 0}, {"GETDEL", probeKey}, {"PTTL", probeKey}, {"EXISTS", probeKey},
	{"RPUSH", probeKey, "1"}, {"LRANGE", probeKey, 0, 0}, {"LLEN", probeKey}, {"LTRIM", probeKey, 1, 0}, {"ZADD", probeKey, 1, "m"},
	{"ZRANGEBYSCORE", probeKey, 0, 1}, {"ZREMRANGEBYSCORE", probeKey, 0, 1}, {"ZREM", probeKey, "m"}, {"XADD", probeKey, "*", "e", "1"},
	{"XRANGE", probeKey, "-", "+", "COUNT", 1}, {"XREVRANGE", probeKey, "+", "-", "COUNT", 1}, {"XTRIM", probeKey, "MAXLEN", 0},
	{"XGROUP", "CREATE", probeKey, "g", "$"}, {"XREADGROUP", "GROUP", "g", "c", "STREAMS", probeKey, ">"}, {"XACK", probeKey, "g", "1-0"},
	{"XPENDING", probeKey, "g"}, {"XAUTOCLAIM", probeKey, "g", "c", 0, "0"}, {"XINFO", "CONSUMERS", probeKey, "g"},
	{"TYPE", probeKey}, {"RENAME", probeKey, probeKey}, {"EXPIRE", probeKey, 1}, {"PEXPIRE", probeKey, 1000}, {"PUBLISH", probeKey, ""}, {"PUBSUB", "NUMSUB", probeKey},
	{"DEL", probeKey}, {"DEL", "sd:{probe}"}, {"DEL", "sc:{probe}"}, {"DEL", "sv:{probe}"}, {"DEL", "sn:{nodes}probe"}, {"DEL", "st:{probe}"},
	{"DEL", "ev:{probe}"}, {"PUBLISH", "ss:probe", ""},
}

// probeKey is in no use: ids of shards are numbers.
const probeKey = "cv:{probe}:rights"

// probeRights finds what the user may not do. Only refusals count: that a key
// is not there or of another type is no matter.
func probeRights(ctx context.Context, rdb server) ([]finding.Finding, error) {
	var denied []string
	note := func(what string, err error) error {
		var re redis.Error
		switch {
		case err == nil, errors.Is(err, redis.Nil):
		case !errors.As(err, &re):
			return fmt.Errorf("try %s: %w", what, err)
		case strings.HasPrefix(err.Error(), "NOPERM"), strings.Contains(err.Error(), "can't run this command"), strings.Contains(err.Error(), "unknown command"):
			denied = append(denied, what)
		}
		return nil
	}
	for _, args := range rights {
		words := []string{}
		for _, a := range args[:min(2, len(args))] {
			if w := fmt.Sprint(a); w != probeKey && !strings.HasPrefix(w, "return") {
				words = append(words, w)
			}
		}
		if err := note(strings.Join(words, " "), rdb.Do(ctx, args...).Err()); err != nil {
			return nil, err
		}
	}
	if c, ok := rdb.(interface {
		Subscribe(ctx context.Context, channels ...string) *redis.PubSub
	}); ok {
		for _, ch := range []string{"cv:{0}probe", "ss:orders"} {
			ps := c.Subscribe(ctx, ch)
			_, err := ps.ReceiveTimeout(ctx, 2*time.Second)
			_ = ps.Close() // nothing was to be received
			if err := note("SUBSCRIBE "+ch, err); err != nil {
				return nil, err
			}
		}
	}
	if len(denied) == 0 {
		return nil, nil
	}
	return []finding.Finding{{Name: "redis-acl", Grave: true, Setting: "ACL of this user", Value: "without " + strings.Join(denied, ", "),
		Why: "the server cannot do its work", Fix: "give the user the rights that docs/redis.md lists"}}, nil
}
