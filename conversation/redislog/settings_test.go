package redislog

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/internal/finding"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

func found(t *testing.T, rdb redis.UniversalClient) map[string]finding.Finding {
	t.Helper()
	got, err := CheckSettings(t.Context(), rdb)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]finding.Finding{}
	for _, f := range got {
		if f.Setting == "" || f.Value == "" || f.Why == "" || f.Fix == "" {
			t.Errorf("incomplete %+v", f)
		}
		out[f.Name] = f
	}
	return out
}

func open(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	o.ContextTimeoutEnabled, o.MaxRetries, o.Protocol = true, -1, 2
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// TestSettingsOfRealRedis: what a server says of itself.
func TestSettingsOfRealRedis(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		args  []string
		grave string
		want  []string
	}{
		{"as docs/redis.md asks for", []string{"--appendonly", "yes"}, "", nil},
		{"eviction", []string{"--appendonly", "yes", "--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru"}, "redis-eviction", []string{"redis-eviction"}},
		{"eviction without a limit", []string{"--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"}, "", []string{"redis-eviction"}},
		{"nothing kept", []string{"--appendonly", "no", "--save", ""}, "", []string{"redis-persistence"}},
		{"a replica of nobody", []string{"--appendonly", "yes", "--replicaof", "127.0.0.1 1"}, "redis-replica", []string{"redis-replica"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := found(t, open(t, &redis.Options{Addr: testenv.Redis(t, tc.args...).Addr}))
			for name, f := range got {
				if !slices.Contains(tc.want, name) || f.Grave != (name == tc.grave) {
					t.Errorf("found %+v", f)
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestSettingsWithReplica: a primary with a replica wants its writes guarded.
func TestSettingsWithReplica(t *testing.T) {
	t.Parallel()
	primary := testenv.Redis(t, "--appendonly", "yes")
	host, port, _ := strings.Cut(primary.Addr, ":")
	testenv.Redis(t, "--replicaof", host+" "+port)
	rdb := open(t, &redis.Options{Addr: primary.Addr})
	testenv.EventuallyTrue(t, time.Minute, "the replica is there", func() bool {
		f, ok := found(t, rdb)["redis-min-replicas"]
		return ok && !f.Grave
	})
	if _, err := primary.Do("CONFIG", "SET", "min-replicas-to-write", "1"); err != nil {
		t.Fatal(err)
	}
	// Until the replica has said how far it is, the primary takes no writes.
	testenv.EventuallyTrue(t, time.Minute, "nothing is found", func() bool {
		got := found(t, rdb)
		if f, ok := got["redis-refuses"]; ok && (f.Value != "NOREPLICAS" || f.Grave) {
			t.Errorf("found %v", f)
		}
		return len(got) == 0
	})
}

// TestSettingsOfFullRedis: what is full, and what soon will be.
func TestSettingsOfFullRedis(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t, "--appendonly", "yes", "--maxmemory", "1")
	got := found(t, open(t, &redis.Options{Addr: srv.Addr}))
	if f := got["redis-refuses"]; f.Value != "OOM" || f.Grave {
		t.Errorf("found %+v", f)
	}
	if f := got["redis-memory"]; f.Name == "" || f.Grave || len(got) != 2 {
		t.Errorf("found %v", got)
	}
}

// TestRights: the user that docs/redis.md recommends may do all that is needed;
// one right less is found out.
func TestRights(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ACL SETUSER fluentpro .*$`).FindString(string(doc))
	if line == "" {
		t.Fatal("docs/redis.md recommends no user")
	}
	srv := testenv.Redis(t, "--appendonly", "yes")
	for n, tc := range []struct{ add, want, says string }{
		{"", "", ""},
		{"-@scripting", "redis-acl", "EVAL"},
		{"-xadd", "redis-acl", "XADD"},
		{"-getdel", "redis-acl", "GETDEL"},
		{"-subscribe", "redis-acl", "SUBSCRIBE"},
		{"resetchannels &cv:*", "redis-acl", "SUBSCRIBE ss:orders"},
		{"resetkeys ~cv:* ~ev:*", "redis-acl", "DEL sd:{probe}"},
		{"-info", "redis-unchecked", ""},
	} {
		user := "user" + string(rune('a'+n))
		args := strings.Fields(strings.Replace(strings.Replace(line, "fluentpro", user, 1), ">PASSWORD", ">secret", 1) + " " + tc.add)
		if out, err := srv.Do(args...); err != nil || strings.HasPrefix(out, "ERR") {
			t.Fatalf("%v: %s %v", args, out, err)
		}
		got := found(t, open(t, &redis.Options{Addr: srv.Addr, Username: user, Password: "secret"}))
		f, ok := got[tc.want]
		if tc.want == "" && len(got) != 0 || tc.want != "" && (!ok || !strings.Contains(f.Value, tc.says)) {
			t.Errorf("with %q: found %v", tc.add, got)
		}
		if ok && f.Grave != (tc.want == "redis-acl") {
			t.Errorf("with %q: grave %v", tc.add, f.Grave)
		}
	}
	if n, err := srv.Do("DBSIZE"); err != nil || strings.Trim(n, ":\r\n") != "0" {
		t.Errorf("%s keys are left, %v", n, err)
	}
	srv.Kill()
	if _, err := CheckSettings(t.Context(), open(t, &redis.Options{Addr: srv.Addr})); err == nil {
		t.Error("a server that is not there was found in order")
	}
}

// TestRightsAreComplete: every command of a script is among those that are
// tried.
func TestRightsAreComplete(t *testing.T) {
	t.Parallel()
	var tried []string
	for _, r := range rights {
		tried = append(tried, r[0].(string))
	}
	files, err := filepath.Glob("scripts/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../sessions/redisstore/*.go")
	if err != nil || len(files) < 5 || len(more) < 4 {
		t.Fatalf("%d and %d files, %v", len(files), len(more), err)
	}
	for _, path := range append(files, more...) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`call\('([A-Z]+)'`).FindAllStringSubmatch(string(raw), -1) {
			if m[1] != "INFO" && !slices.Contains(tried, m[1]) {
				t.Errorf("%s uses %s, which is not tried", path, m[1])
			}
		}
	}
}

// TestJudge: what needs an old, a broken or a slow server.
func TestJudge(t *testing.T) {
	t.Parallel()
	good := "redis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\nmaxmemory:0\r\n"
	for _, tc := range []struct {
		name, text string
		grave      bool
	}{
		{"", good, false},
		{"redis-version", strings.Replace(good, "7.0.15", "6.2.14", 1), true},
		{"redis-version", strings.Replace(good, "redis_version:7.0.15", "", 1), true},
		{"", strings.Replace(good, "7.0.15", "10.1", 1), false},
		{"redis-saving", good + "rdb_last_bgsave_status:err\r\n", true},
		{"redis-saving", good + "aof_last_write_status:err\r\n", true},
		{"redis-replica-lag", good + "connected_slaves:2\r\nmin_slaves_good_slaves:2\r\nslave0:ip=10.0.0.1,port=1,state=online,offset=1,lag=0\r\nslave1:ip=10.0.0.2,port=1,state=online,offset=1,lag=31\r\n", false},
		{"redis-min-replicas", good + "connected_slaves:1\r\nslave0:ip=10.0.0.1,lag=1\r\n", false},
	} {
		got := judge(parseInfo(tc.text))
		if tc.name == "" && len(got) != 0 || tc.name != "" && (len(got) != 1 || got[0].Name != tc.name || got[0].Grave != tc.grave) {
			t.Errorf("%q: found %v", tc.name, got)
		}
	}
}
