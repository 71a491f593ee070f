package authentication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// cellar is a Holder for tests.
type cellar struct {
	rows   map[string][]string
	broken error
}

func (c *cellar) ExportPersonal(_ context.Context, learner string, add func(string, any) error) error {
	for _, r := range c.rows[learner] {
		if err := add("note", r); err != nil {
			return err
		}
	}
	return c.broken
}

func (c *cellar) ErasePersonal(_ context.Context, learner string) error {
	if c.broken == nil {
		delete(c.rows, learner)
	}
	return c.broken
}

func TestRename(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	v, err := h.Rename(t.Context(), up.Learner.ID, " Ana  O'Neill ")
	if err != nil || v.FullName != "Ana O'Neill" {
		t.Fatalf("got %+v, %v", v, err)
	}
	_, err = h.Rename(t.Context(), up.Learner.ID, "x")
	wantCode(t, err, fault.Invalid)
	if v, err := h.Account(t.Context(), up.Learner.ID); err != nil || v.FullName != "Ana O'Neill" || v.Role != RoleLearner || v.State != StateActive {
		t.Fatalf("got %+v, %v", v, err)
	}
	_, err = h.Rename(t.Context(), "nobody", "Ana")
	wantCode(t, err, fault.Unauthenticated)
}

func TestDeactivateAndComeBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	mine := ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"}
	if err := h.Deactivate(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "deactivated")
	_, err := h.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "a wrong guess"})
	wantCode(t, err, fault.InvalidCredentials)
	mustLogin(t, h.Service, "")
	h.wantHappened(t, "reactivated")
	// What an operator did the learner cannot undo.
	if err := h.Suspend(t.Context(), AtTheMachine, up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	_, err = h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"})
	wantCode(t, err, fault.AccountDisabled)
	_, err = h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "a wrong guess"})
	wantCode(t, err, fault.InvalidCredentials)
	if err := h.Deactivate(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if v, err := h.Find(t.Context(), "ANA@example.com"); err != nil || v.State != StateDeactivated || v.DeactivatedBy != ByOperator {
		t.Fatalf("got %+v, %v", v, err)
	}
	h.wantHappened(t, "deactivated")
	for range 2 {
		if err := h.Restore(t.Context(), AtTheMachine, up.Learner.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.wantHappened(t, "reactivated")
	mustLogin(t, h.Service, "")
	wantCode(t, h.Suspend(t.Context(), AtTheMachine, "nobody"), fault.NotFound)
	wantCode(t, h.Restore(t.Context(), AtTheMachine, "nobody"), fault.NotFound)
}

func TestRolesAreInTheToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	up := h.signUp(t)
	role := func(token string) Role {
		t.Helper()
		id, err := h.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return id.Role
	}
	if got := role(up.Tokens.AccessToken); got != RoleLearner {
		t.Fatalf("got %q", got)
	}
	wantCode(t, h.SetRole(t.Context(), AtTheMachine, up.Learner.ID, "root"), fault.Invalid)
	wantCode(t, h.SetRole(t.Context(), AtTheMachine, "nobody", RoleAdmin), fault.NotFound)
	if err := h.SetRole(t.Context(), AtTheMachine, up.Learner.ID, RoleOperator); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "role_changed")
	// A token that says the old role is not taken any more.
	_, err := h.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
	in, _ := mustLogin(t, h.Service, "")
	if got := role(in.Tokens.AccessToken); got != RoleOperator {
		t.Fatalf("got %q", got)
	}
	if err := h.SetRole(t.Context(), AtTheMachine, up.Learner.ID, RoleOperator); err != nil || role(in.Tokens.AccessToken) != RoleOperator {
		t.Fatalf("no change must end no login: %v", err)
	}
	h.wantHappened(t)
	// Nobody reaches above the own role.
	operator, admin := Actor{ID: "o", Role: RoleOperator}, Actor{ID: "a", Role: RoleAdmin}
	wantCode(t, h.SetRole(t.Context(), operator, up.Learner.ID, RoleLearner), fault.Forbidden)
	if err := h.SetRole(t.Context(), admin, up.Learner.ID, RoleAdmin); err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.Suspend(t.Context(), operator, up.Learner.ID), fault.Forbidden)
	wantCode(t, h.EraseAccount(t.Context(), operator, up.Learner.ID), fault.Forbidden)
	wantCode(t, h.Suspend(t.Context(), Actor{ID: "l", Role: RoleLearner}, up.Learner.ID), fault.Forbidden)
	if err := h.Suspend(t.Context(), admin, up.Learner.ID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.Restore(t.Context(), operator, up.Learner.ID), fault.Forbidden)
	for _, c := range []struct {
		have, want Role
		may        bool
	}{
		{RoleLearner, RoleLearner, true}, {RoleLearner, RoleOperator, false}, {RoleOperator, RoleLearner, true}, {RoleOperator, RoleAdmin, false},
		{RoleAdmin, RoleOperator, true}, {"", RoleLearner, false}, {RoleAdmin, "", false}, {"root", RoleLearner, false},
	} {
		if c.have.May(c.want) != c.may {
			t.Errorf("%+v", c)
		}
	}
}

func TestExportIsOwnAndWhole(t *testing.T) {
	t.Parallel()
	store := &cellar{}
	h := newHouse(t, func(cfg *Config) { cfg.Holders = []NamedHolder{{"cellar", store}} })
	up := h.signUp(t)
	ben := goodSignUp()
	ben.Email = "ben@example.com"
	other, err := h.SignUp(t.Context(), ben)
	if err != nil {
		t.Fatal(err)
	}
	store.rows = map[string][]string{string(up.Learner.ID): {"mine 1", "mine 2"}, string(other.Learner.ID): {"bens"}}
	var got []string
	err = h.Export(t.Context(), up.Learner.ID, func(r PersonalRow) error {
		got = append(got, fmt.Sprint(r.Domain, ".", r.Kind))
		return nil
	})
	if want := []string{"authentication.account", "authentication.login", "cellar.note", "cellar.note"}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
	stop := errors.New("the client is gone")
	if err := h.Export(t.Context(), up.Learner.ID, func(PersonalRow) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	wantCode(t, h.Export(t.Context(), "nobody", func(PersonalRow) error { return nil }), fault.Unauthenticated)
}

func TestEraseTakesEverythingOrNothing(t *testing.T) {
	t.Parallel()
	store := &cellar{}
	h := newHouse(t, func(cfg *Config) { cfg.Holders = []NamedHolder{{"cellar", store}} })
	up := h.signUp(t)
	ben := goodSignUp()
	ben.Email = "ben@example.com"
	other, err := h.SignUp(t.Context(), ben)
	if err != nil {
		t.Fatal(err)
	}
	h.happened()
	store.rows = map[string][]string{string(up.Learner.ID): {"mine"}, string(other.Learner.ID): {"bens"}}
	mine := ConfirmedInput{Learner: up.Learner.ID, Password: "correct horse"}
	wantCode(t, h.Erase(t.Context(), ConfirmedInput{Learner: up.Learner.ID, Password: "a wrong guess"}), fault.Invalid)
	store.broken = errDown
	if err := h.Erase(t.Context(), mine); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	mustRefresh(t, h.Service, up.Tokens.RefreshToken)
	store.broken = nil
	if err := h.Erase(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	h.wantHappened(t, "erased")
	_, err = h.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"})
	wantCode(t, err, fault.InvalidCredentials)
	if len(store.rows) != 1 || len(h.m.learners) != 1 || len(h.m.families) != 1 {
		t.Fatalf("left: %v, %d accounts, %d logins", store.rows, len(h.m.learners), len(h.m.families))
	}
	mustRefresh(t, h.Service, other.Tokens.RefreshToken)
	// The address is free again, for a new account.
	if again := mustSignUp(t, h.Service); again.Learner.ID == up.Learner.ID {
		t.Fatal("the old account came back")
	}
	wantCode(t, h.EraseAccount(t.Context(), AtTheMachine, "nobody"), fault.NotFound)
}

func TestAccountsForOperators(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	var ids []LearnerID
	for i := range 5 {
		in := goodSignUp()
		in.Email = fmt.Sprintf("ana%d@example.com", i)
		up, err := h.SignUp(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, up.Learner.ID)
	}
	var got []LearnerID
	for next, pages := LearnerID(""), 0; pages == 0 || next != ""; pages++ {
		list, after, err := h.Accounts(t.Context(), "", next, 2)
		if err != nil || pages > 3 {
			t.Fatal(err, pages)
		}
		for _, v := range list {
			got = append(got, v.ID)
		}
		next = after
	}
	slices.Reverse(got)
	if !slices.Equal(got, ids) {
		t.Fatalf("got %v, want %v", got, ids)
	}
	if v, err := h.Find(t.Context(), string(ids[3])); err != nil || v.Email != "ana3@example.com" {
		t.Fatalf("got %+v, %v", v, err)
	}
	_, err := h.Find(t.Context(), "nobody@example.com")
	wantCode(t, err, fault.NotFound)
	link, until, err := h.PasswordLink(t.Context(), ids[0])
	if err != nil || until.Sub(h.c.now()) != PasswordLinkTTL {
		t.Fatalf("%v until %v", err, until)
	}
	if err := h.ResetPassword(t.Context(), linkToken.FindStringSubmatch(link + "\n")[1], "tulip under glass"); err != nil {
		t.Fatal(err)
	}
	_, _, err = h.PasswordLink(t.Context(), "nobody")
	wantCode(t, err, fault.NotFound)
}
