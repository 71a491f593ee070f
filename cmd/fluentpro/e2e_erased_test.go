package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestErasedLearnerIsNowhere has a learner with something of everything that
// is kept, in every state of it, erases the account, and then looks for the
// address, the name, every word and the id in each column of each table and in
// each key of Redis. What docs/operations.md lists may still name the id, and
// nothing else; a row there that is not needed fails too.
func TestErasedLearnerIsNowhere(t *testing.T) {
	t.Parallel()
	may := mayStay(t)
	needed := &sync.Map{}
	t.Run("engines", func(t *testing.T) {
		for engine, database := range map[string]func(*testing.T) string{
			"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "e.db") },
			"postgres": func(t *testing.T) string { return sqldbtest.PostgresURL(t) },
		} {
			t.Run(engine, func(t *testing.T) { t.Parallel(); erasedIsNowhere(t, database(t), may, needed) })
		}
	})
	if os.Getenv(sqldbtest.EnvURL) == "" {
		return // half the evidence
	}
	for place := range may {
		if _, ok := needed.Load(place); !ok {
			t.Errorf("docs/operations.md says that %s may name an erased learner; nothing there does", place)
		}
	}
}

// mayStay is the table in docs/operations.md: place to why.
func mayStay(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(raw), "<!-- what an erased account leaves -->")
	part, _, ok2 := strings.Cut(part, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatal("docs/operations.md does not say what an erased account leaves")
	}
	out := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(part, -1) {
		out[row[1]] = row[2]
	}
	return out
}

func erasedIsNowhere(t *testing.T, database string, may map[string]string, needed *sync.Map) {
	box, server := newPostbox(t), testenv.Redis(t)
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	env := []string{"FLUENTPRO_DATABASE_URL=" + database, "FLUENTPRO_REDIS_URL=" + server.URL, "FLUENTPRO_SMTP_URL=smtp://" + box.addr,
		"FLUENTPRO_MAIL_FROM=FluentPro <no-reply@example.com>", "FLUENTPRO_PUBLIC_URL=https://english.example.com", "FLUENTPRO_JOBS_POLL=50ms", "FLUENTPRO_ACCOUNTS_SIGN_UP=immediate",
		"FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=3000", "FLUENTPRO_LOG_LEVEL=debug"}
	p := start(t, "erasing", env...)
	other := newThief(t, p)
	stays := (&prey{learner: other}).settled(p)
	ann := newPrey(t, p)
	ann.call("PATCH", "/me", m{"full_name": "Ottoline " + mark}, nil)
	var me struct{ ID string }
	ann.call("GET", "/me", nil, &me)
	ann.settled(p)
	_, local, _ := strings.Cut(ann.email, "e2e")
	local, _, _ = strings.Cut(local, "@")
	words := []string{strings.ToLower(mark), local, "ottoline"}

	// Mails that a server refused for good, and for now; one that nobody took yet.
	refuse := func(answer string) { box.mu.Lock(); box.refuse = answer; box.mu.Unlock() }
	job := func(state string) {
		t.Helper()
		testenv.Eventually(t, soon, func() error {
			var list struct{ Jobs []struct{ Kind string } }
			if err := opsGet(ann.http, p, "/ops/v1/jobs?state="+state, &list); err != nil || len(list.Jobs) == 0 {
				return fmt.Errorf("no job is %s: %w", state, err)
			}
			return nil
		})
	}
	refuse("550 5.1.1 nobody here:")
	ann.call("POST", "/me/email-verifications", nil, nil)
	job("dead")
	refuse("451 4.3.0 come back later:")
	ann.call("POST", "/auth/forgot-password", m{"email": ann.email}, nil)
	job("retrying")
	// Who is attached: a socket, a stream, a ticket that nobody used.
	w := connect(t, ann.learner, p.base, ann.token, `{"t":"hello","client":"erased/1"}`)
	w.until("welcome", 0)
	w.send(fmt.Sprintf(`{"t":"sub","id":"1","c":%q}`, ann.conversation))
	w.until("sub_ok", 0)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.base+"/api/v2/conversations/"+ann.conversation+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ann.token)
	stream, err := ann.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	ann.call("POST", "/tickets", m{}, nil)
	testenv.EventuallyTrue(t, soon, "the learner in Redis", func() bool {
		found := search(redisWords(t, rdb), append(words, me.ID))
		kinds := map[string]bool{}
		for key := range found {
			kinds[redisPlace(key)] = true
			needed.Store(redisPlace(key), true)
		}
		// Otherwise an empty Redis would pass for a clean one.
		return kinds["st:{…}"] && kinds["sd:{…}"] && kinds["sc:{…}"] && kinds["cv:{…}"] && kinds["ev:{bus}:stream"]
	})

	ann.call("POST", "/me/erase", m{"password": learnersPassword}, nil)
	w.until("", 4401)
	check := func(what string, found map[string][]string, place func(string) string) (err error) {
		for _, where := range slices.Sorted(maps.Keys(found)) {
			for _, word := range found[where] {
				if may[place(where)] == "" || word != me.ID {
					err = errors.Join(err, fmt.Errorf("%s: %s still has %q", what, where, word))
				}
			}
			needed.Store(place(where), true)
		}
		return err
	}
	all := append(words, me.ID)
	testenv.Eventually(t, 3*soon, func() error { // on a slow machine the job is late
		return check("redis", search(redisWords(t, rdb), all), redisPlace)
	})
	(&prey{learner: other}).settled(p)
	p.signal(syscall.SIGTERM)
	p.wait(soon)
	tables := tableWords(t, database)
	if err := check("sql", search(tables, all), func(column string) string { table, _, _ := strings.Cut(column, "."); return table }); err != nil {
		t.Error(err)
	}
	said := p.out.String()
	for _, word := range words {
		if strings.Contains(strings.ToLower(said), word) {
			t.Errorf("the log has %q", word)
		}
	}
	// Nobody else lost anything, and the trail is whole.
	p = start(t, "after", env...)
	other.node = p.base
	if now := (&prey{learner: other}).settled(p); now != stays {
		t.Errorf("another learner's data changed from\n%s\nto\n%s", stays, now)
	}
	var report struct{ Findings []any }
	if err := opsGet(other.http, p, "/ops/v1/events/verify", &report); err != nil || len(report.Findings) > 0 {
		t.Errorf("the trail: %v %v", report, err)
	}
}

// search tells which of the words are where, without regard to case.
func search(places map[string]string, words []string) map[string][]string {
	found := map[string][]string{}
	for place, text := range places {
		text = strings.ToLower(text)
		for _, word := range words {
			if strings.Contains(text, word) {
				found[place] = append(found[place], word)
			}
		}
	}
	return found
}

// redisPlace is a key without its id.
func redisPlace(key string) string {
	if strings.HasPrefix(key, "ev:") {
		return key
	}
	return key[:strings.IndexByte(key+":", ':')] + ":{…}"
}

// redisWords is everything in Redis, by key; the key is part of the text.
func redisWords(t *testing.T, rdb *redis.Client) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	out := map[string]string{}
	for it := rdb.Scan(ctx, 0, "*", 500).Iterator(); it.Next(ctx); {
		key := it.Val()
		kind, err := rdb.Type(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		var v any
		switch kind {
		case "none": // gone since
			continue
		case "string":
			v, err = rdb.Get(ctx, key).Result()
		case "hash":
			v, err = rdb.HGetAll(ctx, key).Result()
		case "list":
			v, err = rdb.LRange(ctx, key, 0, -1).Result()
		case "set":
			v, err = rdb.SMembers(ctx, key).Result()
		case "zset":
			v, err = rdb.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			v, err = rdb.XRange(ctx, key, "-", "+").Result()
		default:
			t.Fatalf("%s is a %s, which this test cannot read", key, kind)
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		out[key] = key + " " + fmt.Sprint(v)
	}
	return out
}

// tableWords is everything in SQL, by table.column.
func tableWords(t *testing.T, database string) map[string]string {
	t.Helper()
	ctx := t.Context()
	db, err := sqldb.Open(ctx, database, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	list := func(q string, args ...any) (out [][]string) {
		t.Helper()
		rows, err := db.Conn(ctx).QueryContext(ctx, q, args...)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			cells := make([]sql.NullString, len(columns))
			into := make([]any, len(columns))
			for i := range cells {
				into[i] = &cells[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			row := make([]string, len(cells))
			for i, c := range cells {
				row[i] = c.String
			}
			out = append(out, row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	query := "SELECT m.name, c.name, '' FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
	if db.Engine == sqldb.Postgres {
		query = "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name) " +
			"WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
	}
	out, tables := map[string]string{}, map[string]bool{}
	for _, c := range list(query) {
		text := `CAST("` + c[1] + `" AS TEXT)`
		if c[2] == "bytea" {
			text = `encode("` + c[1] + `", 'escape')`
		}
		var b strings.Builder
		for _, row := range list("SELECT " + text + ` FROM "` + c[0] + `"`) {
			b.WriteString(row[0] + "\n")
		}
		out[c[0]+"."+c[1]], tables[c[0]] = b.String(), true
	}
	if len(tables) < 25 {
		t.Fatalf("only %d tables", len(tables))
	}
	return out
}
