package server

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// fakeAccounts records who asked for what.
type fakeAccounts struct {
	mu    sync.Mutex
	calls []string
	err   error
}

func (f *fakeAccounts) note(parts ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := ""
	for _, p := range parts {
		call += " " + p
	}
	f.calls = append(f.calls, call[1:])
	return f.err
}

func (f *fakeAccounts) Logins(_ context.Context, l authentication.LearnerID, cur authentication.FamilyID) ([]authentication.LoginView, error) {
	return []authentication.LoginView{{ID: "f1", Device: "d", CreatedAt: 1, UsedAt: 2, Current: true}}, f.note("logins", string(l), string(cur))
}

func (f *fakeAccounts) EndLogin(_ context.Context, l authentication.LearnerID, id authentication.FamilyID) error {
	return f.note("end", string(l), string(id))
}

func newAccountFixture(t *testing.T) (*fixture, *fakeAccounts) {
	t.Helper()
	acc := &fakeAccounts{}
	return newFixture(t, func(d *Deps) {
		d.Accounts, d.Authenticator = acc, NewAuthenticator(&fakeIssuer{})
	}), acc
}

func (f *fakeAccounts) want(t *testing.T, call string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) != 1 || f.calls[0] != call {
		t.Fatalf("asked %q, want %q", f.calls, call)
	}
	f.calls = nil
}

func TestLogins(t *testing.T) {
	t.Parallel()
	f, acc := newAccountFixture(t)
	w := f.call(t, "GET", Prefix+"/me/logins", "", ann)
	if w.Code != http.StatusOK || w.Body.String() != `{"logins":[{"id":"f1","device":"d","created_at":1,"used_at":2,"current":true}]}`+"\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	acc.want(t, "logins ann fam-ann")
	if w := f.call(t, "DELETE", Prefix+"/me/logins/f1", "", ann); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	acc.want(t, "end ann f1")
	acc.err = fault.New(fault.NotFound, "No such login.")
	wantProblem(t, f.call(t, "DELETE", Prefix+"/me/logins/f1", "", ann), fault.NotFound)
}
