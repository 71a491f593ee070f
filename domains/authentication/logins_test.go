package authentication

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// closings records what was closed.
type closings struct {
	mu   sync.Mutex
	list []FamilyID
}

func (c *closings) LoginEnded(_ LearnerID, f FamilyID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, f)
}

func (c *closings) take() []FamilyID {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.list
	c.list = nil
	return out
}

// node is one of several services over the same store.
func node(t *testing.T, m *memory, c *clock) (*Service, *closings) {
	t.Helper()
	out := &closings{}
	s, err := New(t.Context(), m, Config{Hash: cheap, Now: c.now, Closer: out})
	if err != nil {
		t.Fatal(err)
	}
	return s, out
}

func mustLogin(t *testing.T, s *Service, device string) (SignedIn, FamilyID) {
	t.Helper()
	in, err := s.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse", Device: device})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Verify(t.Context(), in.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	return in, id.SessionFamily
}

// TestEndedLoginIsRefusedOnEveryNode: the access token of an ended login is
// good for 15 minutes by itself; no node takes it once it knows.
func TestEndedLoginIsRefusedOnEveryNode(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *Service, in SignedIn, f FamilyID) error{
		"logout": func(s *Service, in SignedIn, _ FamilyID) error {
			return s.Logout(context.Background(), LogoutInput{RefreshToken: in.Tokens.RefreshToken})
		},
		"logout by access token": func(s *Service, in SignedIn, f FamilyID) error {
			return s.Logout(context.Background(), LogoutInput{Learner: in.Learner.ID, Family: f})
		},
		"everywhere": func(s *Service, in SignedIn, f FamilyID) error {
			return s.Logout(context.Background(), LogoutInput{Learner: in.Learner.ID, Family: f, All: true})
		},
		"one device": func(s *Service, in SignedIn, f FamilyID) error {
			return s.EndLogin(context.Background(), in.Learner.ID, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			m := newMemory(c.now)
			a, closedA := node(t, m, c)
			b, closedB := node(t, m, c)
			mustSignUp(t, a)
			in, family := mustLogin(t, a, "")
			if err := b.lookEnded(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.advance(time.Second)
			if err := end(a, in, family); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Verify(t.Context(), in.Tokens.AccessToken); fault.CodeOf(err) != fault.Unauthenticated {
				t.Fatalf("the node that ended it says %v", err)
			}
			if got := closedA.take(); !slices.Contains(got, family) {
				t.Fatalf("closed %v here, want %v", got, family)
			}
			if err := b.lookEnded(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Verify(t.Context(), in.Tokens.AccessToken); fault.CodeOf(err) != fault.Unauthenticated {
				t.Fatalf("another node says %v", err)
			}
			if got := closedB.take(); !slices.Contains(got, family) {
				t.Fatalf("closed %v there, want %v", got, family)
			}
			// A second look closes nothing again, and a start knows at once.
			if err := b.lookEnded(t.Context()); err != nil || len(closedB.take()) != 0 {
				t.Fatalf("closed twice (%v)", err)
			}
			fresh, _ := node(t, m, c)
			if _, err := fresh.Verify(t.Context(), in.Tokens.AccessToken); fault.CodeOf(err) != fault.Unauthenticated {
				t.Fatalf("a node that just started says %v", err)
			}
			// When the last token is over, the end is forgotten.
			c.advance(endedFor + time.Second)
			if err := b.lookEnded(t.Context()); err != nil || b.ended.has(family) {
				t.Fatalf("still remembered (%v)", err)
			}
		})
	}
}

func TestLogoutEverywhereEndsAllOfOneLearner(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	up := mustSignUp(t, s)
	other := goodSignUp()
	other.Email = "ben@example.com"
	ben, err := s.SignUp(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := mustLogin(t, s, "")
	// By a refresh token alone, as a browser's cookie brings it.
	if err := s.Logout(t.Context(), LogoutInput{RefreshToken: in.Tokens.RefreshToken, All: true}); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{up.Tokens.RefreshToken, in.Tokens.RefreshToken} {
		_, err := s.Refresh(t.Context(), token)
		wantCode(t, err, fault.Unauthenticated)
	}
	mustRefresh(t, s, ben.Tokens.RefreshToken)
}

func TestReuseClosesWhatHangsOnTheLogin(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	s, closed := node(t, m, c)
	up := mustSignUp(t, s)
	mustRefresh(t, s, up.Tokens.RefreshToken)
	c.advance(RefreshOverlap + time.Second)
	_, err := s.Refresh(t.Context(), up.Tokens.RefreshToken)
	wantCode(t, err, fault.RefreshReused)
	if len(closed.take()) != 1 {
		t.Fatal("the thief's connection stays open")
	}
	_, err = s.Verify(t.Context(), up.Tokens.AccessToken)
	wantCode(t, err, fault.Unauthenticated)
}

func TestLoginsListDevices(t *testing.T) {
	t.Parallel()
	s, _, c := newTestService(t)
	up := mustSignUp(t, s)
	c.advance(time.Minute)
	_, phone := mustLogin(t, s, "Phone\x1b[31m \u202e"+strings.Repeat("x", 300))
	list, err := s.Logins(t.Context(), up.Learner.ID, phone)
	if err != nil || len(list) != 2 {
		t.Fatalf("got %+v, %v, want two", list, err)
	}
	if n := len([]rune(list[0].Device)); n != 120 || !strings.HasPrefix(list[0].Device, "Phone[31m xx") {
		t.Fatalf("device %q of %d", list[0].Device, n)
	}
	if !list[0].Current || list[1].Current || list[0].CreatedAt <= list[1].CreatedAt {
		t.Fatalf("got %+v", list)
	}
	wantCode(t, s.EndLogin(t.Context(), "somebody else", phone), fault.NotFound)
	if err := s.EndLogin(t.Context(), up.Learner.ID, phone); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.EndLogin(t.Context(), up.Learner.ID, phone), fault.NotFound)
	if list, err = s.Logins(t.Context(), up.Learner.ID, ""); err != nil || len(list) != 1 {
		t.Fatalf("got %+v, %v, want one", list, err)
	}
}

// TestRunLearnsWithinSeconds: what hangs on an ended login closes within 5 s
// on a node that was told nothing.
func TestRunLearnsWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(time.Now)
		a, err := New(t.Context(), m, Config{Hash: cheap})
		if err != nil {
			t.Fatal(err)
		}
		closed := &closings{}
		b, err := New(t.Context(), m, Config{Hash: cheap, Closer: closed})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.Run(ctx) }()
		up := mustSignUp(t, a)
		time.Sleep(7 * time.Second)
		down := errDown
		m.broken.Store(&down) // it survives a time without storage
		time.Sleep(7 * time.Second)
		m.broken.Store(nil)
		if err := a.Logout(t.Context(), LogoutInput{RefreshToken: up.Tokens.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := closed.take(); len(got) != 1 {
			t.Fatalf("closed %v, want the login", got)
		}
		stop()
		<-done
	})
}

// TestPasswordChangedDuringLogin: a login that compared the old hash does not
// begin after the new one was stored.
func TestPasswordChangedDuringLogin(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	up := mustSignUp(t, s)
	l, err := m.ByID(t.Context(), up.Learner.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = m.Update(t.Context(), l.ID(), func(_ context.Context, l *Learner, _ time.Time) error {
		l.setPassword("another")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.startLogin(t.Context(), l, "", ""); err == nil || len(m.families) != 1 {
		t.Fatalf("got %v with %d families, want no login", err, len(m.families))
	}
}
