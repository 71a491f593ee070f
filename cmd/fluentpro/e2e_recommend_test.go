package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestE2ERecommendations: onboarding is completed on one node, the list is
// stored by whoever takes the event, and is new after a changed choice,
// whatever happens to Redis in between.
func TestE2ERecommendations(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "FLUENTPRO_JOBS_POLL=50ms", "FLUENTPRO_EVENTS_IDLE=1s")
	l := signUp(t, c.a.base)
	if a, err := l.try(http.MethodGet, "/recommendations", nil); err != nil || a.status != http.StatusConflict {
		t.Fatalf("before onboarding: %d, %v", a.status, err)
	}
	l.onboard()
	type list struct {
		MadeAt      int64 `json:"made_at"`
		Suggestions []struct {
			Situation struct{ ID string } `json:"situation"`
			Reasons   []struct{ Text string }
		} `json:"suggestions"`
	}
	read := func() (out list) {
		t.Helper()
		l.call(http.MethodGet, "/recommendations", nil, &out)
		return out
	}
	// A list that is not stored yet is made at each reading, so its time moves.
	settled := func() list {
		t.Helper()
		var got list
		testenv.EventuallyTrue(t, soon, "the list is stored", func() bool {
			first, second := read(), read()
			got = second
			return first.MadeAt == second.MadeAt && jobsDone(t, c.b.ops) > 0
		})
		return got
	}
	got := settled()
	if len(got.Suggestions) != 1 || got.Suggestions[0].Situation.ID != "meetings" || len(got.Suggestions[0].Reasons) != 4 {
		t.Fatalf("got %+v", got)
	}
	c.redis.Flush()
	type m = map[string]any
	l.call(http.MethodPut, "/onboarding/steps/situations", m{"situations": []m{{"partner": "clients", "situations": []m{{"situation": "meetings"}, {"custom": "A walk around the vault"}}}}}, nil)
	l.call(http.MethodPut, "/onboarding/steps/summary", m{"confirmed": true}, nil)
	testenv.EventuallyTrue(t, soon, "the new list is stored", func() bool {
		first, second := read(), read()
		return len(second.Suggestions) == 2 && first.MadeAt == second.MadeAt && second.MadeAt != got.MadeAt
	})
}

// jobsDone counts recommendations that were made, as any node tells it.
func jobsDone(t *testing.T, ops string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ops+"/ops/v1/jobs?kind=practice.recommend&state=done", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := webClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer drainBody(res)
	var out struct{ Jobs []json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return len(out.Jobs)
}
