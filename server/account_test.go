package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// fakeAccounts records who asked for what.
type fakeAccounts struct {
	// issuer, when set, is asked for the account.
	issuer *fakeIssuer

	mu    sync.Mutex
	calls []string
	err   error
	rows  int
}

func (f *fakeAccounts) note(parts ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSuffix(fmt.Sprintln(parts...), "\n"))
	return f.err
}

// want checks the one call so far.
func (f *fakeAccounts) want(t *testing.T, call string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) != 1 || f.calls[0] != call {
		t.Fatalf("asked %q, want %q", f.calls, call)
	}
	f.calls = nil
}

func (f *fakeAccounts) Account(_ context.Context, l authentication.LearnerID) (authentication.AccountView, error) {
	v := authentication.LearnerView{ID: l}
	if f.issuer != nil {
		in, err := f.issuer.answer()
		if err != nil {
			return authentication.AccountView{}, err
		}
		v = in.Learner
	}
	return authentication.AccountView{LearnerView: v, Role: authentication.RoleLearner, State: authentication.StateActive}, nil
}

func (f *fakeAccounts) Rename(_ context.Context, l authentication.LearnerID, name string) (authentication.AccountView, error) {
	return authentication.AccountView{LearnerView: authentication.LearnerView{ID: l, FullName: name}}, f.note("rename", l, name)
}

func (f *fakeAccounts) Logins(_ context.Context, l authentication.LearnerID, cur authentication.FamilyID) ([]authentication.LoginView, error) {
	return []authentication.LoginView{{ID: "f1", Device: "d", CreatedAt: 1, UsedAt: 2, Current: true}}, f.note("logins", l, cur)
}

func (f *fakeAccounts) EndLogin(_ context.Context, l authentication.LearnerID, id authentication.FamilyID) error {
	return f.note("end", l, id)
}

func (f *fakeAccounts) ChangePassword(_ context.Context, in authentication.ChangePasswordInput) error {
	return f.note("password", in.Learner, in.Family, in.Password, in.NewPassword, in.RemoteIP)
}

func (f *fakeAccounts) RequestPasswordReset(_ context.Context, email, ip string) error {
	return f.note("forgot", email, ip)
}

func (f *fakeAccounts) ResetPassword(_ context.Context, token, password string) error {
	return f.note("reset", token, password)
}

func (f *fakeAccounts) ChangeEmail(_ context.Context, in authentication.ConfirmedInput, email string) error {
	return f.note("email", in.Learner, in.Password, in.RemoteIP, email)
}

func (f *fakeAccounts) RequestEmailVerification(_ context.Context, l authentication.LearnerID, ip string) error {
	return f.note("again", l, ip)
}

func (f *fakeAccounts) ConfirmEmail(_ context.Context, token string) error {
	return f.note("verify", token)
}

func (f *fakeAccounts) Deactivate(_ context.Context, in authentication.ConfirmedInput) error {
	return f.note("deactivate", in.Learner, in.Password, in.RemoteIP)
}

func (f *fakeAccounts) Erase(_ context.Context, in authentication.ConfirmedInput) error {
	return f.note("erase", in.Learner, in.Password, in.RemoteIP)
}

func (f *fakeAccounts) Export(_ context.Context, l authentication.LearnerID, add func(authentication.PersonalRow) error) error {
	for i := range f.rows {
		if err := add(authentication.PersonalRow{Domain: "d", Kind: "k", Data: i}); err != nil {
			return err
		}
	}
	return f.note("export", l)
}

func (f *fakeAccounts) Accounts(_ context.Context, email string, before authentication.LearnerID, limit int) ([]authentication.AccountView, authentication.LearnerID, error) {
	return []authentication.AccountView{{LearnerView: authentication.LearnerView{ID: "l1"}}}, "l1", f.note("accounts", email, before, limit)
}

func (f *fakeAccounts) Find(_ context.Context, key string) (authentication.AccountView, error) {
	return authentication.AccountView{}, f.note("find", key)
}

func (f *fakeAccounts) SetRole(_ context.Context, by authentication.Actor, l authentication.LearnerID, r authentication.Role) error {
	return f.note("role", by.ID, by.Role, l, r)
}

func (f *fakeAccounts) Suspend(_ context.Context, by authentication.Actor, l authentication.LearnerID) error {
	return f.note("suspend", by.ID, by.Role, l)
}

func (f *fakeAccounts) Restore(_ context.Context, by authentication.Actor, l authentication.LearnerID) error {
	return f.note("restore", by.ID, by.Role, l)
}

func (f *fakeAccounts) EraseAccount(_ context.Context, by authentication.Actor, l authentication.LearnerID) error {
	return f.note("erase account", by.ID, by.Role, l)
}

func (f *fakeAccounts) PublicKeys() []authentication.JWK {
	return []authentication.JWK{{Kty: "OKP", Crv: "Ed25519", X: "x", KID: "k1", Use: "sig", Alg: "EdDSA"}}
}

func TestKeysArePublished(t *testing.T) {
	t.Parallel()
	f, _ := newAccountFixture(t)
	w := f.call(t, "GET", "/.well-known/jwks.json", "")
	if w.Code != 200 || w.Body.String() != `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"x","kid":"k1","use":"sig","alg":"EdDSA"}]}` ||
		w.Header().Get("Cache-Control") != "public, max-age=300" || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

func newAccountFixture(t *testing.T) (*fixture, *fakeAccounts) {
	t.Helper()
	acc := &fakeAccounts{}
	return newFixture(t, func(d *Deps) {
		d.Accounts, d.Authenticator = acc, NewAuthenticator(&fakeIssuer{})
	}), acc
}

func TestAccountRoutesPassOn(t *testing.T) {
	t.Parallel()
	const from = "192.0.2.1"
	for _, c := range []struct {
		method, path, body string
		status             int
		call               string
	}{
		{"PATCH", "/me", `{"full_name":"Ann O'Neill"}`, 200, "rename ann Ann O'Neill"},
		{"GET", "/me/logins", "", 200, "logins ann fam-ann"},
		{"DELETE", "/me/logins/f1", "", 204, "end ann f1"},
		{"POST", "/me/password", `{"password":"old","new_password":" new "}`, 204, "password ann fam-ann old  new  " + from},
		{"POST", "/me/email", `{"email":"a@b.co","password":"pw"}`, 204, "email ann pw " + from + " a@b.co"},
		{"POST", "/me/email-verifications", "", 204, "again ann " + from},
		{"POST", "/me/deactivate", `{"password":"pw"}`, 204, "deactivate ann pw " + from},
		{"POST", "/me/erase", `{"password":"pw"}`, 204, "erase ann pw " + from},
		{"POST", "/auth/forgot-password", `{"email":"a@b.co"}`, 204, "forgot a@b.co " + from},
		{"POST", "/auth/reset-password", `{"token":"t","new_password":"new"}`, 204, "reset t new"},
		{"POST", "/auth/verify-email", `{"token":"t"}`, 204, "verify t"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			f, acc := newAccountFixture(t)
			if !strings.HasPrefix(c.path, "/auth/") {
				wantProblem(t, f.call(t, c.method, Prefix+c.path, c.body), fault.Unauthenticated)
				if len(acc.calls) != 0 {
					t.Fatal("a stranger's wish reached the domain")
				}
			}
			w := f.call(t, c.method, Prefix+c.path, c.body, ann)
			if w.Code != c.status || c.status != 200 && w.Body.Len() != 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			acc.want(t, c.call)
			acc.err = fault.New(fault.RateLimited, "Too many attempts.")
			wantProblem(t, f.call(t, c.method, Prefix+c.path, c.body, ann), fault.RateLimited)
		})
	}
}

func TestErasedDeactivatedAndResetLeaveNoCookie(t *testing.T) {
	t.Parallel()
	f, _ := newAccountFixture(t)
	for path, body := range map[string]string{"/me/erase": `{"password":"pw"}`, "/me/deactivate": `{"password":"pw"}`, "/auth/reset-password": `{"token":"t","new_password":"n"}`} {
		w := f.call(t, "POST", Prefix+path, body, ourOrigin, "Cookie: fp_access=tok-ann")
		if list := w.Result().Cookies(); w.Code != 204 || len(list) != 2 || list[0].MaxAge >= 0 || list[1].MaxAge >= 0 {
			t.Errorf("%s: %d, cookies %v", path, w.Code, list)
		}
	}
}

func TestExportOfTheAccount(t *testing.T) {
	t.Parallel()
	f, acc := newAccountFixture(t)
	acc.rows = 2
	w := f.call(t, "GET", Prefix+"/me/export", "", ann, "Accept: application/x-ndjson")
	if w.Code != 200 || w.Body.String() != `{"domain":"d","kind":"k","data":0}`+"\n"+`{"domain":"d","kind":"k","data":1}`+"\n" ||
		w.Header().Get("Content-Disposition") == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	acc.want(t, "export ann")
	acc.err = fault.New(fault.StorageUnavailable, "Storage does not answer.")
	wantProblem(t, f.call(t, "GET", Prefix+"/me/export", "", ann), fault.StorageUnavailable)
	// What is out is out: a failure then must not look like the end.
	acc.rows = exportPage + 1
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("got %v, want a cut connection", v)
			}
		}()
		f.call(t, "GET", Prefix+"/me/export", "", ann)
	}()
}

// TestRolesOnTheRoutes is the matrix of roles and the routes that need one:
// the document says which they are, so a new route is in it.
func TestRolesOnTheRoutes(t *testing.T) {
	t.Parallel()
	const operator, admin = authentication.RoleOperator, authentication.RoleAdmin
	routes := []struct {
		method, path, body string
		least              authentication.Role
		call               string
	}{
		{"GET", "/accounts?email=a&before=x&limit=7", "", operator, "accounts a x 7"},
		{"GET", "/accounts/l1", "", operator, "find l1"},
		{"PUT", "/accounts/l1/role", `{"role":"operator"}`, admin, "role WHO WHO l1 operator"},
		{"POST", "/accounts/l1/deactivate", "", operator, "suspend WHO WHO l1"},
		{"POST", "/accounts/l1/reactivate", "", operator, "restore WHO WHO l1"},
		{"POST", "/accounts/l1/erase", "", admin, "erase account WHO WHO l1"},
	}
	f, acc := newAccountFixture(t)
	if n := strings.Count(string(f.OpenAPI()), "For the role "); n != len(routes) {
		t.Fatalf("%d routes need a role, the matrix has %d", n, len(routes))
	}
	for _, r := range routes {
		wantProblem(t, f.call(t, r.method, Prefix+r.path, r.body), fault.Unauthenticated)
		for _, who := range []authentication.Role{authentication.RoleLearner, operator, admin} {
			w := f.call(t, r.method, Prefix+r.path, r.body, "Authorization: Bearer tok-"+string(who))
			if !who.May(r.least) {
				wantProblem(t, w, fault.Forbidden)
				if len(acc.calls) != 0 {
					t.Fatalf("%s %s reached the domain for a %s", r.method, r.path, who)
				}
				continue
			}
			if w.Code >= 300 {
				t.Fatalf("%s %s for a %s: %d %s", r.method, r.path, who, w.Code, w.Body)
			}
			acc.want(t, strings.ReplaceAll(r.call, "WHO", string(who)))
		}
	}
	wantProblem(t, f.call(t, "PUT", Prefix+"/accounts/l1/role", `{"role":"root"}`, "Authorization: Bearer tok-admin"), fault.Invalid)
}
