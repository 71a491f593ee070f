package prompts

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryFileIsListedAndEveryVersionInUseIsThere(t *testing.T) {
	t.Parallel()
	entries, err := files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	all := Files()
	if len(all) != len(entries) {
		t.Errorf("%d of %d files follow the form name.vN.txt or name.vN.schema.json", len(all), len(entries))
	}
	used := map[string]bool{}
	for _, f := range all {
		if f.Text == "" || f.Version < 1 {
			t.Errorf("%+v", f)
		}
		if f.InUse {
			used[f.ID()] = true
		}
	}
	for _, id := range []string{ScenarioVersion, PartnerVersion, "scenario.v1.schema"} {
		if !used[id] {
			t.Errorf("%s is in use and not listed as such", id)
		}
	}
}
