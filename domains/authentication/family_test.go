package authentication

import (
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func mustRefresh(t *testing.T, s *Service, token string) string {
	t.Helper()
	out, err := s.Refresh(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if out.Tokens.RefreshToken == token {
		t.Fatal("the token was not replaced")
	}
	if _, err := s.Verify(t.Context(), out.Tokens.AccessToken); err != nil {
		t.Fatal(err)
	}
	return out.Tokens.RefreshToken
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	s, m, c := newTestService(t)
	up := mustSignUp(t, s)
	token := up.Tokens.RefreshToken
	for range 5 {
		c.advance(AccessTTL)
		token = mustRefresh(t, s, token)
	}
	for h := range m.tokens {
		if string(h) == token || len(h) != 64 {
			t.Fatal("a token lies in the store as it is")
		}
	}
}

func TestReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	s, _, c := newTestService(t)
	first := mustSignUp(t, s).Tokens.RefreshToken
	second := mustRefresh(t, s, first)
	c.advance(RefreshOverlap + time.Millisecond)
	_, err := s.Refresh(t.Context(), first)
	wantCode(t, err, fault.RefreshReused)
	// The honest holder is out as well: who is the thief cannot be told.
	_, err = s.Refresh(t.Context(), second)
	wantCode(t, err, fault.RefreshReused)
	if _, err := s.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"}); err != nil {
		t.Fatalf("another login must be possible: %v", err)
	}
}

func TestSecondToLastIsReuseAtOnce(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	first := mustSignUp(t, s).Tokens.RefreshToken
	mustRefresh(t, s, mustRefresh(t, s, first))
	_, err := s.Refresh(t.Context(), first)
	wantCode(t, err, fault.RefreshReused)
}

func TestOverlapForgivesALostAnswer(t *testing.T) {
	t.Parallel()
	s, _, c := newTestService(t)
	first := mustSignUp(t, s).Tokens.RefreshToken
	a := mustRefresh(t, s, first)
	c.advance(RefreshOverlap)
	b := mustRefresh(t, s, first)
	// Both answers of the overlap work later, whichever the client kept.
	c.advance(time.Hour)
	next := mustRefresh(t, s, a)
	c.advance(time.Second)
	mustRefresh(t, s, b)
	mustRefresh(t, s, next)
}

func TestRefreshEnds(t *testing.T) {
	t.Parallel()
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		s, _, c := newTestService(t)
		token := mustSignUp(t, s).Tokens.RefreshToken
		c.advance(RefreshIdle - time.Second)
		token = mustRefresh(t, s, token)
		c.advance(RefreshIdle)
		_, err := s.Refresh(t.Context(), token)
		wantCode(t, err, fault.TokenExpired)
	})
	t.Run("absolute", func(t *testing.T) {
		t.Parallel()
		s, _, c := newTestService(t)
		token := mustSignUp(t, s).Tokens.RefreshToken
		for range 29 {
			c.advance(24 * time.Hour)
			token = mustRefresh(t, s, token)
		}
		out, err := s.Refresh(t.Context(), token)
		if err != nil || out.Tokens.RefreshExpiresIn != 24*3600 {
			t.Fatalf("got %d s, %v, want what is left of 30 days", out.Tokens.RefreshExpiresIn, err)
		}
		c.advance(24 * time.Hour)
		_, err = s.Refresh(t.Context(), out.Tokens.RefreshToken)
		wantCode(t, err, fault.TokenExpired)
	})
}

func TestMadeUpRefreshTokens(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	up := mustSignUp(t, s)
	made, _ := newRefreshToken()
	for _, token := range []string{"", "x", made, up.Tokens.AccessToken, up.Tokens.RefreshToken + "A"} {
		_, err := s.Refresh(t.Context(), token)
		wantCode(t, err, fault.Unauthenticated)
	}
	mustRefresh(t, s, up.Tokens.RefreshToken)
}

func TestLogout(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	up := mustSignUp(t, s)
	other, err := s.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds it done
		if err := s.Logout(t.Context(), LogoutInput{RefreshToken: up.Tokens.RefreshToken}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Refresh(t.Context(), up.Tokens.RefreshToken)
	wantCode(t, err, fault.Unauthenticated)
	id, err := s.Verify(t.Context(), other.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	next := mustRefresh(t, s, other.Tokens.RefreshToken)
	if err := s.Logout(t.Context(), LogoutInput{Learner: id.LearnerID, Family: id.SessionFamily, RefreshToken: "unknown"}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Refresh(t.Context(), next)
	wantCode(t, err, fault.Unauthenticated)
	if err := s.Logout(t.Context(), LogoutInput{}); err != nil {
		t.Fatal(err)
	}
}

func TestRefreshOfADeletedAccount(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	up := mustSignUp(t, s)
	m.mu.Lock()
	delete(m.learners, up.Learner.ID)
	m.mu.Unlock()
	_, err := s.Refresh(t.Context(), up.Tokens.RefreshToken)
	wantCode(t, err, fault.Unauthenticated)
}
