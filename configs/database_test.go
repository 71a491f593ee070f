package configs

import (
	"strings"
	"testing"
)

func TestPoolSettingsAreChecked(t *testing.T) {
	t.Parallel()
	const postgres = "FLUENTPRO_DATABASE_URL=postgres://u@h/d"
	for env, want := range map[string]string{
		"MAX_CONNS=1": "too few", "MAX_CONNS=-1": "not between", "CONN_IDLE=0s": "not between", "CONN_LIFETIME=1s": "not between", "MIGRATE=maybe": "none of start",
	} {
		if got := problems(t, Input{Env: []string{postgres, "FLUENTPRO_DATABASE_" + env}}); !strings.Contains(got, want) {
			t.Errorf("%s: %s", env, got)
		}
	}
	load(t, "FLUENTPRO_DATABASE_MAX_CONNS=1") // SQLite can
}
