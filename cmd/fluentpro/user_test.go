package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluentpro/fluentpro/domains/authentication"
	authsql "github.com/fluentpro/fluentpro/domains/authentication/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
)

// TestUserAndKeys works on a database that a server uses at the same time.
func TestUserAndKeys(t *testing.T) {
	t.Parallel()
	url := sqldbtest.PostgresURL(t)
	env := []string{"FLUENTPRO_DATABASE_URL=" + url, "FLUENTPRO_DATA_DIR=" + t.TempDir()}
	must := func(line string) string {
		t.Helper()
		code, out, talk := cli(t, env, line)
		if code != exitOK {
			t.Fatalf("%s: %d %s", line, code, talk)
		}
		return out
	}
	must("migrate up")
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	server, err := authentication.New(t.Context(), authsql.New(db), authentication.Config{Hash: authentication.HashCost{MemoryKiB: 8, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	up, err := server.SignUp(t.Context(), authentication.SignUpInput{Email: "ana@example.com", Password: "correct horse 9", FullName: "Ana", AcceptTerms: true, AgeConfirmed: true})
	if err != nil {
		t.Fatal(err)
	}
	if out := must("user list --email ANA"); !strings.Contains(out, "ana@example.com") || !strings.Contains(out, "learner") {
		t.Fatalf("got\n%s", out)
	}
	must("user set-role ana@example.com admin")
	var v struct{ Role, State string }
	if err := json.Unmarshal([]byte(must("user show ana@example.com -o json")), &v); err != nil || v.Role != "admin" || v.State != "active" {
		t.Fatalf("got %+v, %v", v, err)
	}
	must("user deactivate " + string(up.Learner.ID))
	if _, err := server.Login(t.Context(), authentication.LoginInput{Email: "ana@example.com", Password: "correct horse 9"}); err == nil {
		t.Fatal("a deactivated account signs in")
	}
	must("user reactivate ana@example.com")
	link := must("user reset-link ana@example.com")
	_, secret, ok := strings.Cut(strings.TrimSpace(link), "/#/reset-password/")
	if !ok {
		t.Fatalf("got %q", link)
	}
	if err := server.ResetPassword(t.Context(), secret, "tulip under glass"); err != nil {
		t.Fatal(err)
	}
	if out := must("user export ana@example.com"); !strings.Contains(out, `"kind":"account"`) {
		t.Fatalf("got %s", out)
	}
	if out := must("keys rotate"); !strings.Contains(out, "signing") || !strings.Contains(out, "announced") {
		t.Fatalf("got\n%s", out)
	}
	if out := must("keys rotate --replace"); strings.Count(out, "\n") != 2 {
		t.Fatalf("got\n%s", out)
	}
	for line, want := range map[string]int{
		"user show nobody@example.com": exitNotFound, "user set-role ana@example.com root": exitUsage, "user erase ana@example.com": exitUsage,
		"user deactivate nobody": exitNotFound, "user set-role ana@example.com": exitUsage,
	} {
		if code, _, talk := cli(t, env, line); code != want {
			t.Errorf("%s: %d %s, want %d", line, code, talk, want)
		}
	}
	must("user erase ana@example.com --yes")
	if out := must("user list"); strings.Contains(out, "ana@") {
		t.Fatalf("got\n%s", out)
	}
}
