package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/sqldb/sqldbtest"
	"github.com/fluentpro/fluentpro/internal/testenv"
)

// TestE2ECrowd is many at once at one thing, over HTTP, on both engines: a
// hundred sign-ups with one address give one account, fifty edits of one
// onboarding keep its rules.
func TestE2ECrowd(t *testing.T) {
	t.Parallel()
	for engine, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "c.db") },
		"postgres": func(t *testing.T) string { return sqldbtest.PostgresURL(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			p := start(t, "crowd", "FLUENTPRO_DATABASE_URL="+database(t))
			hundredSignUps(t, p)
			fiftyEdits(t, p)
		})
	}
}

func hundredSignUps(t *testing.T, p *process) {
	t.Helper()
	l := &learner{t: t, http: webClient(t), node: p.base, email: fmt.Sprintf("crowd%d@example.com", rand.Uint64())}
	var mu sync.Mutex
	status := map[int]int{}
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			// The address in either case is the same.
			email := []string{l.email, strings.ToUpper(l.email)}[n%2]
			for try := 0; ; try++ {
				a, err := l.try("POST", "/auth/sign-up", m{"email": email, "password": learnersPassword, "full_name": "Ann O'Neill", "accept_terms": true, "age_confirmed": true})
				if err != nil {
					t.Error(err)
					return
				}
				if a.status == http.StatusTooManyRequests && try < 200 { // the queue for hashes is full: once more
					continue
				}
				mu.Lock()
				status[a.status]++
				mu.Unlock()
				return
			}
		})
	}
	wg.Wait()
	if status[201] != 1 || status[201]+status[409]+status[429] != 100 || status[409] == 0 {
		t.Errorf("answers by status: %v, want one 201 and the rest 409", status)
	}
	l.login(learnersPassword)
	l.call("GET", "/me", nil, nil)
}

func fiftyEdits(t *testing.T, p *process) {
	t.Helper()
	l := signUp(t, p.base)
	l.onboard()
	edits := []struct {
		step string
		body m
	}{
		{"industry", m{"industry": "insurance"}}, {"industry", m{"industry": "banking_finance"}}, {"job", m{"title": "Broker", "description": "I sell insurance to companies."}},
		{"partners", m{"partners": []m{{"partner": "suppliers"}, {"partner": "clients"}}}}, {"partners", m{"partners": []m{{"partner": "colleagues"}}}},
		{"situations", m{"situations": []m{{"partner": "clients", "situations": []m{{"situation": "negotiations"}}}}}},
		{"situations", m{"situations": []m{{"partner": "colleagues", "situations": []m{{"situation": "briefings"}, {"situation": "meetings"}}}}}},
		{"role", m{"custom": m{"title": "Claims lead", "description": "Leads the people who settle claims."}}}, {"level", m{"level": "C1"}}, {"language", m{"language": "de"}},
	}
	var mu sync.Mutex
	done := map[string]int{}
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			e := edits[n%len(edits)]
			a, err := l.try("PUT", "/onboarding/steps/"+e.step, e.body)
			if err != nil || a.status != 200 && a.status != 409 && a.status != 422 {
				t.Errorf("%s: %d %s %v", e.step, a.status, a.body, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if a.status == 200 {
				done[e.step]++
			}
		})
	}
	wg.Wait()
	// Nothing before these can come to be open.
	if done["language"] != 5 || done["industry"] != 10 || done["job"] != 5 {
		t.Errorf("answers that nothing stands before were refused: %v", done)
	}
	var o struct {
		Complete bool
		Steps    []struct {
			Step        string
			Done, Stale bool
			Value       json.RawMessage
		}
	}
	l.call("GET", "/onboarding", nil, &o)
	var partners struct{ Partners []struct{ Partner string } }
	var situations struct {
		Situations []struct {
			Partner    string
			Situations []any
		}
	}
	all := true
	for _, s := range o.Steps {
		all = all && s.Done
		into := map[string]any{"partners": &partners, "situations": &situations}[s.Step]
		if into != nil && s.Done {
			if err := json.Unmarshal(s.Value, into); err != nil {
				t.Fatalf("%s: %v", s.Value, err)
			}
		}
		if s.Step == "situations" && s.Done {
			// A step that counts as done fits what it depends on.
			if len(situations.Situations) != len(partners.Partners) {
				t.Errorf("situations of %d partners, %d are chosen", len(situations.Situations), len(partners.Partners))
			}
			for n, one := range situations.Situations {
				if one.Partner != partners.Partners[n].Partner || len(one.Situations) == 0 {
					t.Errorf("situations of %s, the partner there is %s", one.Partner, partners.Partners[n].Partner)
				}
			}
		}
	}
	if o.Complete && !all {
		t.Errorf("complete with open steps: %+v", o)
	}
}

// TestE2ELogoutEverywhere: a logout of all devices at one node ends another
// device's socket, event stream and held poll at the other node.
func TestE2ELogoutEverywhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	l, conversation := ready(t, c.a.base)
	phone := &learner{t: t, http: webClient(t), node: c.b.base, email: l.email}
	phone.login(learnersPassword)
	w := connect(t, phone, c.b.base, phone.token, `{"t":"hello"}`)
	w.until("welcome", 0)
	var s struct{ Cur string }
	phone.call("GET", "/conversations/"+conversation, nil, &s)
	get := func(path string) <-chan string {
		out, begun := make(chan string, 1), make(chan struct{})
		go func() { // ends with its answer, which the logout or the test's end brings
			defer close(out)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.b.base+"/api/v2/conversations/"+conversation+path, nil)
			if err != nil {
				close(begun)
				return
			}
			req.Header.Set("Authorization", "Bearer "+phone.token)
			close(begun)
			res, err := phone.http.Do(req)
			if err != nil {
				return
			}
			defer func() { _ = res.Body.Close() }()
			body, _ := io.ReadAll(res.Body)
			out <- res.Status + " " + string(body)
		}()
		<-begun
		return out
	}
	stream := get("/events")
	var me struct{ ID string }
	l.call("GET", "/me", nil, &me)
	// The poll is held again and again, so that one is when the logout comes.
	ended := make(chan string, 1)
	go func() {
		defer close(ended)
		for {
			answer, ok := <-get("/log?wait=20&after=" + s.Cur)
			if !ok || !strings.HasPrefix(answer, "200") {
				ended <- answer
				return
			}
		}
	}()
	deadline := time.After(soon)
	for {
		list := sessionsOf(t, l, c.b, me.ID)
		kinds := map[string]bool{}
		for _, conn := range list.Connections {
			kinds[conn.Transport] = true
		}
		if kinds["ws"] && kinds["sse"] {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("not attached: %+v", list.Connections)
		case <-time.After(20 * time.Millisecond):
		}
	}
	l.call("POST", "/auth/logout", m{"all": true}, nil)
	w.until("", 4401)
	for name, answer := range map[string]<-chan string{"event stream": stream, "poll": ended} {
		select {
		case got := <-answer:
			if !strings.Contains(got, "unauthenticated") {
				t.Errorf("%s: %.300s", name, got)
			}
		case <-time.After(soon):
			t.Errorf("the %s goes on", name)
		}
	}
	testenv.Eventually(t, soon, func() error { // the other node hears of it within seconds
		if a, err := phone.try("GET", "/me", nil); err != nil || a.code() != "unauthenticated" {
			return fmt.Errorf("%d %w", a.status, err)
		}
		return nil
	})
}
