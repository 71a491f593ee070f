package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// learner is a signed-in user with conversations, made through the API.
type learner struct {
	token         string
	scenario      string
	conversations []string
}

// api calls one node.
type api struct {
	client *http.Client
	base   string
}

func newAPI(base string) *api {
	return &api{base: base, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
}

func (a *api) close() { a.client.CloseIdleConnections() }

// call sends body as JSON and reads the answer into out, if that is not nil.
func (a *api) call(ctx context.Context, token, method, path string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+"/api/v2"+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: status %d: %.300s", method, path, resp.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

type object = map[string]any

// seed makes learners with so many conversations each, on a node of its own
// that writes scenarios without pauses and is gone before anything is measured.
func (o *Options) seed(ctx context.Context, redis string, learners, conversations int) ([]learner, error) {
	node, err := o.serve(ctx, "seed", o.Binary, redis, "", "")
	if err != nil {
		return nil, err
	}
	defer node.stop()
	a := newAPI(node.base)
	defer a.close()
	begun := time.Now()
	out := make([]learner, learners)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range out {
		g.Go(func() error {
			l, err := a.learner(gctx, conversations)
			out[i] = l
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("make learners: %w", err)
	}
	o.say("made %d learners with %d conversations each in %.0f s", learners, conversations, time.Since(begun).Seconds())
	return out, nil
}

// Answer is what a learner of a benchmark says to one step of onboarding.
type Answer struct {
	Step  string
	Value map[string]any
}

// Answers are those of all steps, in order.
func Answers() []Answer {
	return []Answer{
		{"language", object{"language": "zh_Hant"}},
		{"industry", object{"industry": "banking_finance"}},
		{"job", object{"title": "Relationship manager", "description": "I look after corporate clients and their loans."}},
		{"role", object{"custom": object{"title": "Relationship manager", "description": "Looks after corporate clients."}}},
		{"partners", object{"partners": []object{{"partner": "clients"}}}},
		{"situations", object{"situations": []object{{"partner": "clients", "situations": []object{{"situation": "meetings"}}}}}},
		{"level", object{"level": "B1"}},
		{"summary", object{"confirmed": true}},
	}
}

// learner signs up, answers the questions, asks for one scenario and begins
// conversations from it.
func (a *api) learner(ctx context.Context, conversations int) (learner, error) {
	var l learner
	var signed struct {
		Token string `json:"access_token"`
	}
	name := rand.Text()
	err := a.call(ctx, "", "POST", "/auth/sign-up", object{"email": name + "@example.com", "password": "correct horse " + name[:4],
		"full_name": "Load Client", "accept_terms": true, "age_confirmed": true}, &signed)
	if err != nil {
		return l, err
	}
	l.token = signed.Token
	for _, answer := range Answers() {
		if err := a.call(ctx, l.token, "PUT", "/onboarding/steps/"+answer.Step, answer.Value, nil); err != nil {
			return l, err
		}
	}
	if err := a.call(ctx, l.token, "POST", "/onboarding/complete", nil, nil); err != nil {
		return l, err
	}
	if l.scenario, err = a.scenario(ctx, l.token); err != nil {
		return l, err
	}
	l.conversations, err = a.begin(ctx, &l, conversations)
	return l, err
}

// begin makes conversations from the learner's scenario.
func (a *api) begin(ctx context.Context, l *learner, conversations int) ([]string, error) {
	var out []string
	for range conversations {
		var c struct {
			ID string `json:"id"`
		}
		if err := a.call(ctx, l.token, "POST", "/conversations", object{"scenario_id": l.scenario, "client_id": rand.Text()}, &c); err != nil {
			return out, err
		}
		out = append(out, c.ID)
	}
	return out, nil
}

func (a *api) scenario(ctx context.Context, token string) (string, error) {
	var asked struct {
		ID string `json:"id"`
	}
	if err := a.call(ctx, token, "POST", "/scenario-requests", object{}, &asked); err != nil {
		return "", err
	}
	var list struct {
		Scenarios []struct {
			ID string `json:"id"`
		} `json:"scenarios"`
	}
	var err error
	uerr := until(ctx, 30*time.Second, 50*time.Millisecond, func() bool {
		err = a.call(ctx, token, "GET", "/scenarios", nil, &list)
		return err != nil || len(list.Scenarios) > 0
	})
	if err == nil {
		err = uerr
	}
	if err != nil {
		return "", fmt.Errorf("wait for a scenario: %w", err)
	}
	return list.Scenarios[0].ID, nil
}
