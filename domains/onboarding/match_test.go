package onboarding

import (
	"encoding/json"
	"os"
	"testing"
)

// labelled are jobs in people's own words with the role they mean.
func labelled(t *testing.T) (out []struct{ Industry, Role, Title, Description string }) {
	t.Helper()
	raw, err := os.ReadFile("testdata/jobs.json")
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil || len(out) < 36 {
		t.Fatalf("%d jobs, %v", len(out), err)
	}
	return out
}

// TestJobsInOwnWords: with the industry known or not, the role meant is first
// for nearly all and in the list for all.
func TestJobsInOwnWords(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		first := 0
		jobs := labelled(t)
		for _, j := range jobs {
			industry := ""
			if known {
				industry = j.Industry
			}
			got, err := WordMatcher{}.Match(t.Context(), Question{Job: Job{j.Title, j.Description}, Industry: industry, Candidates: Reference().RolesOf(industry)})
			if err != nil {
				t.Fatal(err)
			}
			at := -1
			for i, m := range got {
				if m.Role == j.Role {
					at = i
				}
			}
			switch at {
			case 0:
				first++
			case -1:
				t.Errorf("%s in %q: %s is not in %+v", j.Title, industry, j.Role, got)
			}
		}
		if first < len(jobs)*95/100 {
			t.Errorf("industry known %v: %d of %d first", known, first, len(jobs))
		}
	}
}

// TestSharedWordsAreNotEnough: everyday words make nothing strong.
func TestSharedWordsAreNotEnough(t *testing.T) {
	t.Parallel()
	for _, j := range []Job{
		{"Employee", "I do many different things and talk to people on the phone."},
		{"Team member", "I am part of a team and we have meetings every week."},
		{"Freelancer", "I write poems and sometimes I translate them."},
	} {
		got, err := WordMatcher{}.Match(t.Context(), Question{Job: j, Candidates: Reference().Roles})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			if m.Strength != Possible {
				t.Errorf("%s: %+v", j.Title, m)
			}
		}
	}
}

func TestAUnknownCandidateIsScoredToo(t *testing.T) {
	t.Parallel()
	role := Role{Slug: "beekeeper", Title: "Beekeeper", Keywords: []string{"hives", "honey"}, Description: "Keeps bees."}
	got, err := WordMatcher{}.Match(t.Context(), Question{Job: Job{"Beekeeper", "Honey and hives."}, Candidates: []Role{role}})
	if err != nil || len(got) != 1 || got[0].Strength != Strong {
		t.Fatalf("got %+v, %v", got, err)
	}
}
