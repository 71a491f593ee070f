package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/configs"
	"github.com/fluentpro/fluentpro/conversation/openai"
	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/domains/onboarding/azuresearch/standin"
	onboardingsql "github.com/fluentpro/fluentpro/domains/onboarding/sqlstore"
	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

func cashier() onboarding.Question {
	return onboarding.Question{Learner: "ana", Job: onboarding.Job{Title: "Cashier", Description: "I take deposits at the counter of a branch."},
		Industry: "banking_finance", Candidates: onboarding.Reference().RolesOf("banking_finance")}
}

func newMatching(t *testing.T, env ...string) (matching, *prometheus.Registry, *bytes.Buffer) {
	t.Helper()
	cfg, err := configs.Load(configs.Input{Env: append(env, "FLUENTPRO_DATA_DIR="+t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	reg, out := prometheus.NewRegistry(), &bytes.Buffer{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return matching{cfg: cfg, db: sqldbtest.SQLite(t), transport: transport, reg: reg, log: slog.New(slog.NewTextHandler(out, nil))}, reg, out
}

// askCashier asks for the role whatever the matcher is: the shape is one.
func askCashier(t *testing.T, m matching) {
	t.Helper()
	rm, err := m.matcher()
	if err != nil {
		t.Fatal(err)
	}
	got, err := rm.Match(t.Context(), cashier())
	if err != nil || len(got) == 0 || len(got) > 5 || got[0].Role != "bank_teller" || got[0].Strength != onboarding.Strong {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func fallbacks(t *testing.T, reg *prometheus.Registry) (n float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "fluentpro_role_match_fallbacks_total" {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestRolesByWords(t *testing.T) {
	t.Parallel()
	m, reg, _ := newMatching(t)
	askCashier(t, m)
	if fallbacks(t, reg) != 0 {
		t.Fatal("words fell back on words")
	}
}

// TestRolesByEmbeddings goes over the wire of an OpenAI-compatible server to
// vectors in SQL, and on to words when that server fails.
func TestRolesByEmbeddings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model string
		kept  bool
	}{{"text-embedding-x", true}, {"fault-500", false}} {
		srv, err := fake.Listen(fake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close() })
		client, err := openai.New(openai.Config{Name: "primary", BaseURL: srv.URL, Model: "scripted", Preset: "generic"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		m, reg, log := newMatching(t, "FLUENTPRO_UPSTREAM_BASE_URL="+srv.URL, "FLUENTPRO_UPSTREAM_EMBEDDING_MODEL="+c.model)
		m.embedder = client
		rm, err := m.matcher()
		if err != nil {
			t.Fatal(err)
		}
		got, err := rm.Match(t.Context(), cashier())
		if err != nil || len(got) == 0 {
			t.Fatalf("got %+v, %v", got, err)
		}
		vectors, err := onboardingsql.NewVectors(m.db).Load(t.Context(), c.model)
		if err != nil || (len(vectors) == len(onboarding.Reference().Roles)) != c.kept {
			t.Fatalf("%s: %d vectors are kept, %v", c.model, len(vectors), err)
		}
		if n := fallbacks(t, reg); (n == 0) != c.kept {
			t.Fatalf("%s: %v fallbacks", c.model, n)
		}
		if !c.kept && (got[0].Role != "bank_teller" || strings.Contains(log.String(), "deposits")) {
			t.Fatalf("got %+v, logged %s", got, log)
		}
	}
}

func TestRolesByAzure(t *testing.T) {
	t.Parallel()
	s := &standin.Service{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	env := func(key string) []string {
		return []string{"FLUENTPRO_ROLES_AZURE_ENDPOINT=" + srv.URL, "FLUENTPRO_ROLES_AZURE_KEY=" + key, "FLUENTPRO_ROLES_AZURE_INDEX=roles"}
	}
	for _, step := range []struct {
		args, key string
		code      int
		says      string
	}{
		{"status", standin.AdminKey, exitConflict, "run fluentpro roles index create"},
		{"fill", standin.AdminKey, exitNotFound, "create first"},
		{"create", standin.QueryKey, exitNotAllowed, "admin key"},
		{"create", standin.AdminKey, exitOK, "the index is there"},
		{"status", standin.AdminKey, exitConflict, "index fill"},
		{"fill", standin.AdminKey, exitOK, "roles are in the index"},
		{"status", standin.QueryKey, exitOK, "current"},
		{"status -o json", standin.QueryKey, exitOK, `"exists": true`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"roles", "index"}, strings.Fields(step.args)...), env(step.key), &out, &errs)
		if code != step.code || !strings.Contains(out.String()+errs.String(), step.says) || strings.Contains(errs.String(), step.key) {
			t.Fatalf("%s with %s: exit %d, %s%s", step.args, step.key, code, &out, &errs)
		}
	}
	m, reg, _ := newMatching(t, env(standin.QueryKey)...)
	askCashier(t, m)
	if len(s.Queries()) == 0 || fallbacks(t, reg) != 0 {
		t.Fatalf("%d queries, %v fallbacks", len(s.Queries()), fallbacks(t, reg))
	}
	s.SetDown(true)
	m, reg, _ = newMatching(t, env(standin.QueryKey)...)
	askCashier(t, m)
	if fallbacks(t, reg) != 1 {
		t.Fatalf("%v fallbacks while Azure is down", fallbacks(t, reg))
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"roles", "index", "status"}, nil, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "FLUENTPRO_ROLES_AZURE_ENDPOINT") {
		t.Fatalf("exit %d, %s", code, &errs)
	}
}
