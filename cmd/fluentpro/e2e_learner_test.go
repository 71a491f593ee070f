package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/client"
	"github.com/fluentpro/fluentpro/internal/testenv"
	"github.com/fluentpro/fluentpro/internal/upstream/fake"
)

// learner is somebody who practises, over REST.
type learner struct {
	t     *testing.T
	http  *http.Client
	token string
	// email signs in, with learnersPassword.
	email string
	// node is whom to ask; tests change it.
	node string
}

const learnersPassword = "correct horse 9"

// answer is what REST said.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (a answered) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p) // an answer without a code reads as ""
	return p.Code
}

// try sends a request; body is JSON for anything but []byte.
func (l *learner) try(method, path string, body any, header ...string) (answered, error) {
	var raw []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		raw = b
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			return answered{}, err
		}
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), soon)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, l.node+"/api/v2"+path, bytes.NewReader(raw))
	if err != nil {
		return answered{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if l.token != "" {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := l.http.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer drainBody(res)
	got, err := io.ReadAll(res.Body)
	return answered{res.StatusCode, res.Header, got}, err
}

// call is try that must succeed; out, when not nil, gets the answer.
func (l *learner) call(method, path string, body, out any) {
	l.t.Helper()
	a, err := l.try(method, path, body)
	if err != nil {
		l.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status >= 300 {
		l.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			l.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// signUp makes a new learner.
func signUp(t *testing.T, node string) *learner {
	t.Helper()
	l := &learner{t: t, http: webClient(t), node: node, email: fmt.Sprintf("e2e%d@example.com", rand.Uint64())}
	var s struct {
		AccessToken string `json:"access_token"`
	}
	l.call("POST", "/auth/sign-up", map[string]any{"email": l.email, "password": learnersPassword,
		"full_name": "Ann O'Neill", "accept_terms": true, "age_confirmed": true}, &s)
	l.token = s.AccessToken
	return l
}

// onboard answers every step.
func (l *learner) onboard() {
	l.t.Helper()
	type m = map[string]any
	put := func(step string, v m) { l.t.Helper(); l.call("PUT", "/onboarding/steps/"+step, v, nil) }
	put("language", m{"language": "zh_Hant"})
	put("industry", m{"industry": "banking_finance"})
	put("job", m{"title": "Relationship manager", "description": "I look after corporate clients and their loans."})
	var roles struct{ Matches []struct{ Role string } }
	l.call("GET", "/onboarding/role-matches", nil, &roles)
	if len(roles.Matches) == 0 {
		l.t.Fatal("no role matches the job")
	}
	put("role", m{"role": roles.Matches[0].Role})
	put("partners", m{"partners": []m{{"partner": "clients"}}})
	put("situations", m{"situations": []m{{"partner": "clients", "situations": []m{{"situation": "meetings"}}}}})
	put("level", m{"level": "B1"})
	put("summary", m{"confirmed": true})
	var done struct{ Complete bool }
	l.call("POST", "/onboarding/complete", nil, &done)
	if !done.Complete {
		l.t.Fatal("onboarding is not complete after its last step")
	}
}

// askScenario asks for a scenario and returns the request's id.
func (l *learner) askScenario() string {
	l.t.Helper()
	var q struct{ ID string }
	l.call("POST", "/scenario-requests", map[string]any{}, &q)
	return q.ID
}

// converse begins a conversation from the newest scenario.
func (l *learner) converse() string {
	l.t.Helper()
	var list struct{ Scenarios []struct{ ID string } }
	l.call("GET", "/scenarios", nil, &list)
	if len(list.Scenarios) == 0 {
		l.t.Fatal("there is no scenario")
	}
	var c struct{ ID string }
	l.call("POST", "/conversations", map[string]any{"scenario_id": list.Scenarios[0].ID}, &c)
	return c.ID
}

// ready takes a new learner as far as an empty conversation, without watching.
func ready(t *testing.T, node string) (*learner, string) {
	t.Helper()
	l := signUp(t, node)
	l.onboard()
	id := l.askScenario()
	testenv.Eventually(t, soon, func() error {
		var s struct{ State client.State }
		l.call("GET", "/scenario-requests/"+id, nil, &s)
		if len(s.State.Failure) > 0 && string(s.State.Failure) != "null" {
			t.Fatalf("the scenario failed: %s", s.State.Failure)
		}
		if len(s.State.Result) == 0 {
			return errors.New("no scenario yet")
		}
		return nil
	})
	return l, l.converse()
}

// say posts a message whose answer is checkable by tag.
func (l *learner) say(conversation, tag string) client.Accepted {
	l.t.Helper()
	var a client.Accepted
	l.call("POST", "/conversations/"+conversation+"/messages", map[string]any{"client_id": tag, "text": message(tag)}, &a)
	return a
}

func message(tag string) string {
	return "Good morning, could we talk about the budget? [tag " + tag + "]"
}

// newTag is a tag that no other message has.
func newTag() string { return fmt.Sprintf("t%07x", rand.Uint32()>>4) }

// reply is the whole text that answers a message with this tag.
func reply(tag string) string { return fake.Checkable(tag, tokens) }

// at makes options that connect to these nodes in turn.
func (l *learner) at(bases ...string) *client.Options {
	return &client.Options{Bases: bases, Token: func() string { return l.token }, HTTP: l.http, MaxBackoff: 200 * time.Millisecond}
}

// watch follows a conversation until the test ends.
func (l *learner) watch(over client.Transport, conversation string, bases ...string) *client.View {
	l.t.Helper()
	v := client.NewView(conversation)
	ctx, stop := context.WithCancel(context.WithoutCancel(l.t.Context()))
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = client.Follow(ctx, l.at(bases...), over, v) })
	l.t.Cleanup(func() {
		stop()
		wg.Wait()
		if err != nil && !errors.Is(err, context.Canceled) {
			l.t.Errorf("following over %s: %v", over, err)
		}
	})
	return v
}

// everywhere watches over all three transports, the first node preferred by
// one half and the second by the other, and returns when all have caught up.
func (l *learner) everywhere(conversation string, a, b *process) map[string]*client.View {
	l.t.Helper()
	views := map[string]*client.View{}
	for _, over := range []client.Transport{client.OverWS, client.OverSSE, client.OverPoll} {
		views[string(over)+" at a first"] = l.watch(over, conversation, a.base, b.base)
		views[string(over)+" at b first"] = l.watch(over, conversation, b.base, a.base)
	}
	for name, v := range views {
		until(l.t, v, name+": something seen", func(f *client.Fold) bool { return f.Cursor() != "" })
	}
	return views
}

// newcomers looks at a conversation again and again as somebody would who has
// just come and remembers nothing: the text they find open never is shorter
// than what others were shown before. A node that is gone ends it.
func (l *learner) newcomers(conversation string, p *process) {
	l.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(l.t.Context()))
	web, token := webClient(l.t), l.token
	look := func() (got struct {
		Cur   string
		State client.State
	}, err error,
	) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/api/v2/conversations/"+conversation, nil)
		if err != nil {
			return got, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := web.Do(req)
		if err != nil {
			return got, err
		}
		defer drainBody(res)
		return got, json.NewDecoder(res.Body).Decode(&got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		most := map[[2]int64]string{}
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.exited:
				return
			case <-tick.C:
			}
			got, err := look()
			o := got.State.Open
			if err != nil || got.Cur == "" || o == nil {
				continue // without a cursor it is SQL's picture, while Redis is away
			}
			key := [2]int64{o.Run, o.Base}
			if !strings.HasPrefix(o.Text, most[key]) {
				l.t.Errorf("a newcomer at %s finds %d bytes of run %d open (attempt %d, cursor %s), %d were there before", p.name, len(o.Text), o.Run, o.Attempt, got.Cur, len(most[key]))
				return
			}
			most[key] = o.Text
		}
	})
	l.t.Cleanup(func() { stop(); wg.Wait() })
}

// until waits for what a view must come to show.
func until(t *testing.T, v *client.View, what string, ok func(*client.Fold) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := v.Wait(ctx, ok); err != nil {
		t.Fatalf("%s: %v; violations %v, troubles %v", what, err, v.Violations(), v.Troubles())
	}
}

// reaches waits until at least n units of a run are shown.
func reaches(t *testing.T, v *client.View, run int64, n int64) {
	t.Helper()
	until(t, v, fmt.Sprintf("%d units of run %d", n, run), func(f *client.Fold) bool {
		r := f.Runs[run]
		return r != nil && r.Len() >= n
	})
}

// ends waits for the run's end and checks every promise and the whole text.
func ends(t *testing.T, name string, v *client.View, run int64, want string) {
	t.Helper()
	until(t, v, name+": the run ends", func(f *client.Fold) bool {
		r := f.Runs[run]
		if r != nil && r.Ended != "" {
			return true
		}
		return r == nil && hasTurnOf(f, run) // it began and ended between two looks
	})
	v.Look(func(f *client.Fold) {
		text, ended := "", ""
		if r := f.Runs[run]; r != nil {
			text, ended = r.Text(), r.Ended
			if r.Restarts > 0 {
				t.Errorf("%s: the text began anew %d times", name, r.Restarts)
			}
		} else {
			for _, turn := range f.Turns {
				if turn.Run == run && turn.Author == "partner" {
					text, ended = turn.Text, "completed"
				}
			}
		}
		if ended != "completed" {
			t.Errorf("%s: the run %s, want completed", name, ended)
		}
		if text != want {
			t.Errorf("%s: %s", name, differ(text, want))
		}
		for _, b := range f.Violations {
			t.Errorf("%s: %s at seq %d: %s", name, b.Kind, b.Seq, b.Detail)
		}
	})
}

func hasTurnOf(f *client.Fold, run int64) bool {
	for _, turn := range f.Turns {
		if turn.Run == run && turn.Author == "partner" {
			return true
		}
	}
	return false
}

// differ tells where two texts part; they are made of tokens, nobody's words.
func differ(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	cut := func(s string) string { return s[min(len(s), max(0, i-20)):min(len(s), i+20)] }
	return fmt.Sprintf("text differs at byte %d of %d (want %d): %q, want %q", i, len(got), len(want), cut(got), cut(want))
}

// answeredOnce checks the stored conversation: one learner turn with this
// text, one partner turn by its run, whole.
func (l *learner) answeredOnce(conversation, tag string, run int64) {
	l.t.Helper()
	var got struct{ State client.State }
	testenv.Eventually(l.t, soon, func() error {
		l.call("GET", "/conversations/"+conversation, nil, &got)
		if got.State.Open != nil {
			return errors.New("a run is still open")
		}
		return nil
	})
	asked, told := 0, 0
	for _, turn := range got.State.Turns {
		switch {
		case turn.Author == "learner" && turn.Text == message(tag):
			asked++
		case turn.Author == "partner" && (turn.Run == run || strings.Contains(turn.Text, tag+".")):
			told++
			if turn.Text != reply(tag) {
				l.t.Errorf("stored: %s", differ(turn.Text, reply(tag)))
			}
		}
	}
	if asked != 1 || told != 1 {
		l.t.Errorf("stored: %d messages and %d replies with this tag, want one of each", asked, told)
	}
}

// oneModelText checks the model's own record: the first call began at
// nothing, every later one got exactly a beginning of the reply.
func (m *model) oneModelText(t *testing.T, tag string, atLeast int) {
	t.Helper()
	calls := m.callsFor(tag)
	if len(calls) < atLeast {
		t.Errorf("%d calls of the model, want at least %d", len(calls), atLeast)
	}
	for i, c := range calls {
		if i == 0 && c.Kept != 0 {
			t.Errorf("the first call has a prefix of %d bytes", c.Kept)
		}
		if i > 0 && !c.Continued {
			t.Errorf("call %d of %d: its prefix of %d bytes is no beginning of the reply", i+1, len(calls), c.Kept)
		}
	}
}
