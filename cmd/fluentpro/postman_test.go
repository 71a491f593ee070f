package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// The committed Postman collection runs green against a fresh server: the
// journey succeeds, and every other request is answered as documented.
func TestPostmanCollection(t *testing.T) {
	t.Parallel()
	bin := node(t)
	newman := "../../web/clienttests/node_modules/newman/bin/newman.js"
	if _, err := os.Stat(newman); err != nil {
		testenv.Missing(t, "newman (npm ci in web/clienttests; scripts/test.sh does it)")
	}
	p := start(t, "postman", "FLUENTPRO_UPSTREAM_SCRIPT_TOKENS_PER_SECOND=2000")
	report := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), 9*soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, newman, "run", "../../api/postman.json", "--env-var", "base_url="+p.base,
		"--reporters", "json", "--reporter-json-export", report, "--timeout-request", "30000", "--ignore-redirects")
	out, failed := cmd.CombinedOutput()
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("newman says %v: %s", failed, out)
	}
	var r struct {
		Run struct {
			Stats struct {
				Requests, Assertions struct{ Total, Failed int }
			}
			Failures []struct {
				Source struct{ Name string }
				Error  struct{ Test, Message string }
			}
		}
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Run.Failures {
		t.Errorf("%s: %s: %s", f.Source.Name, f.Error.Test, f.Error.Message)
	}
	st := r.Run.Stats
	if failed != nil || st.Requests.Failed > 0 || st.Requests.Total < 50 || st.Assertions.Total < 60 {
		t.Errorf("newman says %v: %+v", failed, st)
	}
	t.Logf("%d requests, %d assertions", st.Requests.Total, st.Assertions.Total)
}
