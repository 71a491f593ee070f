package main

import (
	"bytes"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/internal/finding"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestFindings: production does not run on a Redis that evicts, unless it is
// told to; development warns; operators can look.
func TestFindings(t *testing.T) {
	t.Parallel()
	srv := testenv.Redis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	for _, tc := range []struct {
		profile, allow string
		refused        bool
	}{
		{"production", "", true}, {"staging", "redis-version", true}, {"production", "redis-eviction", false}, {"development", "", false},
	} {
		cfg, err := configs.Load(configs.Input{Env: []string{"FLUENTPRO_PROFILE=" + tc.profile, "FLUENTPRO_ALLOW_RISKS=" + tc.allow,
			"FLUENTPRO_REDIS_URL=" + srv.URL, "FLUENTPRO_ALLOW_EMBEDDED=database,upstream", "FLUENTPRO_DATA_DIR=" + t.TempDir(),
			"FLUENTPRO_LISTEN=127.0.0.1:0", "FLUENTPRO_OPS_LISTEN=127.0.0.1:0", "FLUENTPRO_PUBLIC_ORIGINS=https://app.example"}})
		if err != nil {
			t.Fatal(err)
		}
		var logs bytes.Buffer
		a, err := newApp(t.Context(), cfg, slog.New(slog.NewTextHandler(&logs, nil)))
		if tc.refused {
			for _, word := range []string{tc.profile, "redis-eviction", "maxmemory-policy is allkeys-lru", "noeviction", "FLUENTPRO_ALLOW_RISKS="} {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("%s: does not say %q: %v", tc.profile, word, err)
				}
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s with %q: %v", tc.profile, tc.allow, err)
		}
		if !strings.Contains(logs.String(), "finding=redis-eviction") {
			t.Errorf("%s: nothing was said of it:\n%s", tc.profile, logs.String())
		}
		if v, err := a.Findings(t.Context()); err != nil || len(v.(map[string]any)["findings"].([]finding.Finding)) == 0 {
			t.Errorf("operators see %v, %v", v, err)
		}
		a.sessions.Close()
		a.close()
	}
}

// TestRisksAreKnown: every finding that can keep a server from starting can be
// accepted by name, and no other.
func TestRisksAreKnown(t *testing.T) {
	t.Parallel()
	var named []string
	for _, dir := range []string{"../../conversation/redislog/settings.go", "../../internal/sqldb/settings.go"} {
		named = append(named, graveNames(t, dir)...)
	}
	slices.Sort(named)
	if got := slices.Compact(named); !slices.Equal(got, configs.Risks) {
		t.Errorf("the code has %v, the settings accept %v", got, configs.Risks)
	}
}

// graveNames reads the names of the findings in a file; those that are only
// mentioned are told apart by a list.
func graveNames(t *testing.T, path string) (out []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mild := []string{"redis-unchecked", "redis-persistence", "redis-min-replicas", "redis-replica-lag", "redis-refuses", "redis-memory"}
	for _, m := range regexp.MustCompile(`"((?:redis|sql|sqlite)-[a-z-]+)"`).FindAllStringSubmatch(string(raw), -1) {
		if !slices.Contains(mild, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}
