// Package v1 is the surface that the app of the first version calls: its
// paths, fields and shapes over the use cases that serve v2. It decides
// nothing; what the old backend got wrong (crashes, leaks, lost choices) is not
// kept. There is one file per resource, and one handler per route:
//
//	func (a *API) profile(ctx context.Context, r *Request) (Answer, error)
//
// A handler returns fault errors; WriteError gives them the old shape. The
// package knows no router: the server mounts Routes and does what is the same
// for every request (limits, origins, tokens, logs).
package v1

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fluentpro/fluentpro/domains/authentication"
	"github.com/fluentpro/fluentpro/domains/onboarding"
)

// Prefix is where this version lives.
const Prefix = "/api/v1"

// Authentication is what the sign-in routes call; authentication.Service is
// one, and so is whatever stands before another issuer.
type Authentication interface {
	SignUp(ctx context.Context, in authentication.SignUpInput) (authentication.SignedIn, error)
	Login(ctx context.Context, in authentication.LoginInput) (authentication.SignedIn, error)
	Refresh(ctx context.Context, refreshToken string) (authentication.SignedIn, error)
	Logout(ctx context.Context, in authentication.LogoutInput) error
	Me(ctx context.Context, id authentication.LearnerID) (authentication.LearnerView, error)
	Verify(ctx context.Context, accessToken string) (authentication.Identity, error)
}

// Onboarding is what the other routes call; onboarding.Service is one.
type Onboarding interface {
	Get(ctx context.Context, learner onboarding.LearnerID) (onboarding.Overview, error)
	View(ctx context.Context, learner onboarding.LearnerID) (onboarding.View, error)
	Answer(ctx context.Context, learner onboarding.LearnerID, step string, value json.RawMessage) (onboarding.Overview, error)
	AnswerSituations(ctx context.Context, learner onboarding.LearnerID, partner string, list []onboarding.SituationChoice) (onboarding.Overview, error)
	Settle(ctx context.Context, learner onboarding.LearnerID) (onboarding.Overview, error)
	Question(ctx context.Context, learner onboarding.LearnerID) (onboarding.OpenQuestion, error)
	AnswerQuestion(ctx context.Context, learner onboarding.LearnerID, key, said string) (onboarding.OpenQuestion, error)
	RoleMatches(ctx context.Context, learner onboarding.LearnerID) ([]onboarding.RoleMatch, error)
}

// Deps is what the API calls; Interviews may be nil, there is no phase 2 then.
type Deps struct {
	Authentication Authentication
	Onboarding     Onboarding
	Interviews     Interviews
	// Healthy says whether the node should get traffic; nil means always.
	Healthy func(ctx context.Context) bool
	// Version of the binary and Environment are shown by the health route.
	Version, Environment string
	// External says that sign-up and login are another issuer's.
	External bool
}

// API is the surface; it is safe for concurrent use.
type API struct {
	deps   Deps
	auth   Authentication
	onb    Onboarding
	routes []Route
}

// Request is one request, after the server has checked its body's form and,
// where the route is not public, its token.
type Request struct {
	// Learner and AccessToken are empty on public routes.
	Learner     string
	AccessToken string
	RemoteIP    string
	// Body is one JSON object, or empty.
	Body []byte
	// Partner is the path's parameter of that name.
	Partner string
}

// Answer is a good answer: a status and the fields besides success and meta.
type Answer struct {
	Status int
	Body   object
}

type object = map[string]any

// Route is one route, with the paths it answers at, params as :partner.
type Route struct {
	// Name is kebab-case, for tests and documents.
	Name   string
	Method string
	Paths  []string
	// Public routes need no token.
	Public bool
	Handle func(ctx context.Context, r *Request) (Answer, error)
}

// New makes the surface.
func New(d Deps) (*API, error) {
	if d.Authentication == nil || d.Onboarding == nil {
		return nil, errors.New("v1: Authentication and Onboarding are needed")
	}
	a := &API{deps: d, auth: d.Authentication, onb: d.Onboarding}
	a.routes = a.table()
	return a, nil
}

// Routes is the route table.
func (a *API) Routes() []Route { return a.routes }

// at puts paths under the version's prefix.
func at(paths ...string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = Prefix + p
	}
	return out
}

// table lists every route. The first path is the one that the app calls; the
// others are names that the same thing had at some time.
func (a *API) table() []Route {
	const get, post, patch = http.MethodGet, http.MethodPost, http.MethodPatch
	t := []Route{
		{"health", get, append(at("/health/"), "/health/", "/api/health/"), true, a.health},
		{"sign-up", post, at("/auth/signup/", "/auth/users/signup/"), true, a.signUp},
		{"login", post, at("/auth/login/", "/auth/sessions/login/"), true, a.login},
		{"refresh", post, at("/auth/refresh/", "/auth/sessions/refresh/"), true, a.refresh},
		{"logout", post, at("/auth/logout/", "/auth/sessions/logout/"), false, a.logout},
		{"callback", post, at("/auth/callback/"), true, a.callback},
		{"profile", get, at("/user/profile/"), false, a.profile},
		{"update-profile", patch, at("/user/profile/"), false, a.updateProfile},
		{"job-input", post, at("/roles/job-input/", "/onboarding/phase1/job-input/"), false, a.jobInput},
		{"role-selection", post, at("/roles/role-selection/", "/onboarding/phase1/role-selection/"), false, a.selectRole},
		{"new-role", post, at("/roles/new-role/", "/onboarding/phase1/new-role/"), false, a.newRole},
		{"languages", get, at("/onboarding/languages/", "/onboarding/phase1/languages/"), false, a.languages},
		{"set-language", post, at("/onboarding/set-language/", "/onboarding/language/set/", "/onboarding/phase1/set-language/"), false, a.setLanguage},
		{"industries", get, at("/onboarding/industries/", "/onboarding/phase1/industries/"), false, a.industries},
		{"set-industry", post, at("/onboarding/set-industry/", "/onboarding/industry/set/", "/onboarding/phase1/set-industry/"), false, a.setIndustry},
		{"communication-partners", get, at("/onboarding/communication-partners/"), false, a.partners},
		{"select-partners", post, at("/onboarding/select-partners/", "/onboarding/communication/partners/select/"), false, a.selectPartners},
		{"user-partners", get, at("/onboarding/user-partners/"), false, a.userPartners},
		{"units", get, at("/onboarding/partner/:partner/units/"), false, a.units},
		{"select-units", post, at("/onboarding/partner/:partner/select-units/"), false, a.selectUnits},
		{"user-units", get, at("/onboarding/partner/:partner/user-units/"), false, a.userUnits},
		{"summary", get, at("/onboarding/summary/"), false, a.summary},
	}
	if a.deps.Interviews != nil {
		t = append(t,
			Route{"start-conversation", post, at("/onboarding/phase2/start-conversation/"), false, a.startConversation},
			Route{"continue-conversation", post, at("/onboarding/phase2/continue-conversation/"), false, a.continueConversation})
	}
	return t
}

// iso is a time as v1 writes it, nil for none.
func iso(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}
