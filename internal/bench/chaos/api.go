package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/fluentpro/fluentpro/internal/bench"
	"github.com/fluentpro/fluentpro/internal/bench/chaos/history"
	"github.com/fluentpro/fluentpro/internal/client"
)

type object = map[string]any

// learner is a signed-in user.
type learner struct {
	email, password, scenario string

	mu     sync.Mutex // guards what follows
	access string
	signed time.Time
	issued []string // every access token there was
}

// user names the learner in a history.
func (l *learner) user() string { return history.Hash(l.email) }

// secrets are what no log may hold.
func (l *learner) secrets() (tokens []string, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.issued...), l.password
}

// login signs in once more, as another device does.
func (l *learner) login(ctx context.Context, c *http.Client, base string) (token string, err error) {
	var s struct {
		Token string `json:"access_token"`
	}
	err = call(ctx, c, base, "", "POST", "/auth/login", object{"email": l.email, "password": l.password}, &s)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.issued = append(l.issued, s.Token)
	return s.Token, err
}

func (l *learner) token() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.access
}

// refused is an answer that says no.
type refused struct {
	status int
	code   string
	what   string
}

func (r *refused) Error() string { return fmt.Sprintf("%s: status %d %s", r.what, r.status, r.code) }

// call sends body as JSON to a node and reads the answer into out.
func call(ctx context.Context, c *http.Client, base, token, method, path string, body, out any) error {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		rd = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/api/v2"+path, rd)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		var p struct{ Code string }
		_ = json.Unmarshal(b, &p) // an answer without a code reads as ""
		return &refused{resp.StatusCode, p.Code, method + " " + path}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// signIn gets a fresh token where the one there is grows old.
func (l *learner) signIn(ctx context.Context, c *http.Client, base string) error {
	l.mu.Lock()
	old := time.Since(l.signed) > 7*time.Minute
	l.mu.Unlock()
	if !old {
		return nil
	}
	at := time.Now()
	token, err := l.login(ctx, c, base)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.access, l.signed = token, at
	return nil
}

// newLearner signs up, answers the questions and asks for one scenario.
func newLearner(ctx context.Context, c *http.Client, base string) (*learner, error) {
	name := rand.Text()
	l := &learner{email: name + "@example.com", password: "correct horse " + name[:4], signed: time.Now()}
	var s struct {
		Token string `json:"access_token"`
	}
	if err := call(ctx, c, base, "", "POST", "/auth/sign-up", object{"email": l.email, "password": l.password,
		"full_name": "Chaos Client", "accept_terms": true, "age_confirmed": true}, &s); err != nil {
		return nil, err
	}
	l.access, l.issued = s.Token, []string{s.Token}
	for _, answer := range bench.Answers() {
		if err := call(ctx, c, base, l.access, "PUT", "/onboarding/steps/"+answer.Step, answer.Value, nil); err != nil {
			return nil, err
		}
	}
	if err := call(ctx, c, base, l.access, "POST", "/onboarding/complete", nil, nil); err != nil {
		return nil, err
	}
	if err := call(ctx, c, base, l.access, "POST", "/scenario-requests", object{}, nil); err != nil {
		return nil, err
	}
	var list struct {
		Scenarios []struct {
			ID string `json:"id"`
		} `json:"scenarios"`
	}
	return l, until(ctx, time.Minute, func() error {
		if err := call(ctx, c, base, l.access, "GET", "/scenarios", nil, &list); err != nil {
			return err
		}
		if len(list.Scenarios) == 0 {
			return errors.New("no scenario yet")
		}
		l.scenario = list.Scenarios[0].ID
		return nil
	})
}

// converse begins a conversation.
func (l *learner) converse(ctx context.Context, c *http.Client, base string) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	err := call(ctx, c, base, l.token(), "POST", "/conversations", object{"scenario_id": l.scenario, "client_id": rand.Text()}, &out)
	return out.ID, err
}

// picture is what a plain read of a conversation answers.
type picture struct {
	Cur   string       `json:"cur"`
	State client.State `json:"state"`
}

func (l *learner) read(ctx context.Context, c *http.Client, base, conv string) (picture, error) {
	var p picture
	return p, call(ctx, c, base, l.token(), "GET", "/conversations/"+conv, nil, &p)
}

// whole puts the older turns of a talk in front of the newest ones, which are
// all that a state holds.
func (l *learner) whole(ctx context.Context, c *http.Client, base, conv string, newest []client.Turn) ([]client.Turn, error) {
	for len(newest) > 0 && newest[0].N > 1 {
		var page struct {
			Turns []client.Turn `json:"turns"`
		}
		if err := call(ctx, c, base, l.token(), "GET", fmt.Sprintf("/conversations/%s/turns?limit=200&before=%d", conv, newest[0].N), nil, &page); err != nil {
			return nil, err
		}
		if len(page.Turns) == 0 {
			break // the checker finds the hole
		}
		newest = append(page.Turns, newest...)
	}
	return newest, nil
}
