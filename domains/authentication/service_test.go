package authentication

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluentpro/fluentpro/internal/fault"
)

func TestSignUpChecksEveryField(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	before := m.calls.Load()
	_, err := s.SignUp(t.Context(), SignUpInput{Email: "nonsense", Password: "short", FullName: " "})
	wantCode(t, err, fault.Invalid)
	var got []string
	for _, f := range fault.Of(err).Fields {
		got = append(got, f.Name+":"+f.Code)
	}
	want := []string{"email:malformed", "full_name:required", "password:too_short", "accept_terms:required", "age_confirmed:required"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if m.calls.Load() != before {
		t.Fatal("an invalid sign-up reached the store")
	}
}

func TestEmails(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ana@Example.COM": "ana@example.com", " a.b+c@d.co ": "a.b+c@d.co", "jos\u00e9@correo.es": "jos\u00e9@correo.es",
		"": "", "a": "", "a@b": "", "a@@b.c": "", "a b@c.de": "", "a@b..c": "", "a@-b.c": "", "Ana <a@b.co>": "",
		"a@b.c\r\nBcc: x@y.z": "", "a\x00@b.co": "", "a@[127.0.0.1]": "", "a@\xff.co": "",
		strings.Repeat("a", 65) + "@b.co": "", "a@" + strings.Repeat("b.", 130) + "co": "",
	} {
		got, ok := normalEmail(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"O'Neill": "", "Jean-Luc": "", "\u9673\u5927\u6587": "", "\u0645\u062d\u0645\u062f \u0639\u0644\u064a": "", "Dr. Ana  M. Souza": "",
		"": "required", "  ": "required", "\u9673": "too_short", strings.Repeat("a", 100): "", strings.Repeat("a", 101): "too_long",
		"a\x00b": "malformed", "ab\u202edc": "malformed", "\xff\xfe": "malformed", "--": "malformed",
	} {
		if _, got := normalName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got, _ := normalName("  Ana \t Souza "); got != "Ana Souza" {
		t.Errorf("got %q, want white space folded", got)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"12345678": "", "\u5bc6\u78bc\u5bc6\u78bc\u5bc6\u78bc\u5bc6\u78bc": "", strings.Repeat("\u00e9", 128): "", " 234567 ": "",
		"": "required", "1234567": "too_short", strings.Repeat("x", 129): "too_long", "1234567\xff": "malformed",
	} {
		if got := passwordProblem(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSignUpThenLogin(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	up := mustSignUp(t, s)
	if up.Learner.Email != "ana@example.com" || up.Learner.FullName != "Ana Souza" || up.Learner.CreatedAt == 0 {
		t.Fatalf("got %+v", up.Learner)
	}
	if up.Tokens.TokenType != "Bearer" || up.Tokens.ExpiresIn != 900 || up.Tokens.RefreshExpiresIn != 7*24*3600 {
		t.Fatalf("got %+v", up.Tokens)
	}
	in, err := s.Login(t.Context(), LoginInput{Email: "ANA@example.com", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Verify(t.Context(), up.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Verify(t.Context(), in.Tokens.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	if a.LearnerID != up.Learner.ID || b.LearnerID != a.LearnerID || a.SessionFamily == b.SessionFamily {
		t.Fatalf("got %+v and %+v, want one learner with two families", a, b)
	}
	me, err := s.Me(t.Context(), a.LearnerID)
	if err != nil || me != up.Learner {
		t.Fatalf("got %+v, %v, want %+v", me, err, up.Learner)
	}
	_, err = s.Me(t.Context(), "nobody")
	wantCode(t, err, fault.Unauthenticated)
}

func TestPasswordIsTakenUnchanged(t *testing.T) {
	t.Parallel()
	s, _, _ := newTestService(t)
	in := goodSignUp()
	in.Password = "  Tulip Glass  "
	if _, err := s.SignUp(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	_, err := s.Login(t.Context(), LoginInput{Email: in.Email, Password: "Tulip Glass"})
	wantCode(t, err, fault.InvalidCredentials)
	if _, err := s.Login(t.Context(), LoginInput{Email: in.Email, Password: in.Password}); err != nil {
		t.Fatal(err)
	}
}

func TestOneEmailGivesOneAccount(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	var made, taken atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_, err := s.SignUp(t.Context(), goodSignUp())
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, ErrEmailTaken):
				taken.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || taken.Load() != 99 || len(m.learners) != 1 {
		t.Fatalf("%d made, %d taken, %d stored", made.Load(), taken.Load(), len(m.learners))
	}
}

func TestLoginTellsNothing(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	mustSignUp(t, s)
	_, wrong := s.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "not her password"})
	_, unknown := s.Login(t.Context(), LoginInput{Email: "bob@example.com", Password: "not her password"})
	wantCode(t, wrong, fault.InvalidCredentials)
	wantCode(t, unknown, fault.InvalidCredentials)
	if wrong.Error() != unknown.Error() {
		t.Fatalf("got %q and %q, want one text", wrong, unknown)
	}
	if len(m.families) != 1 {
		t.Fatalf("%d families, want that of the sign-up only", len(m.families))
	}
	for _, bad := range []string{"", "not an e-mail"} {
		_, err := s.Login(t.Context(), LoginInput{Email: bad, Password: "x"})
		wantCode(t, err, fault.InvalidCredentials)
	}
}

// TestUnknownEmailCostsAHash compares at a cost that stands out from noise.
func TestUnknownEmailCostsAHash(t *testing.T) {
	t.Parallel()
	h, err := newHasher(HashCost{MemoryKiB: 64, Passes: 1}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	// With the only slot taken, a compare that does work must wait for it.
	done := make(chan error, 1)
	go func() {
		ok, stale, err := h.match(t.Context(), "nobody has this password", "")
		if ok || stale {
			err = errors.New("the dummy hash lets somebody in")
		}
		done <- err
	}()
	deadline := time.After(5 * time.Second)
	for h.waiting.Load() == 0 {
		select {
		case err := <-done:
			t.Fatalf("an unknown e-mail skipped the hash: %v", err)
		case <-deadline:
			t.Fatal("no compare began")
		default:
		}
	}
	h.give()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h.dummy, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatalf("the dummy hash has another cost: %s", h.dummy)
	}
}

func TestDefaultHashCost(t *testing.T) {
	t.Parallel()
	h, err := newHasher(HashCost{}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.hash(t.Context(), "correct horse")
	if err != nil || !strings.HasPrefix(s, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("got %s, %v", s, err)
	}
	if cap(h.slots) != 4 || h.queue != 50 {
		t.Fatalf("%d at once, queue %d", cap(h.slots), h.queue)
	}
}

func TestHashQueueIsBounded(t *testing.T) {
	t.Parallel()
	h, err := newHasher(cheap, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.waiting.Store(2)
	_, err = h.hash(t.Context(), "x")
	wantCode(t, err, fault.RateLimited)
	if fault.Of(err).RetryAfterMS == 0 {
		t.Fatal("no advice when to retry")
	}
	h.waiting.Store(0)
	h.give()
	if _, err := h.hash(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
}

func TestOldHashIsRenewedAtLogin(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := newMemory(c.now)
	mustSignUp(t, serviceOn(t, m, c))
	dearer, err := New(t.Context(), m, Config{Hash: HashCost{MemoryKiB: 16}, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := dearer.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := m.ByEmail(t.Context(), "ana@example.com")
	if err != nil || !strings.Contains(l.rec.PasswordHash, "$m=16,t=2,p=1$") {
		t.Fatalf("got %v, %v", l.rec.PasswordHash, err)
	}
}

func TestStorageFailuresAreTold(t *testing.T) {
	t.Parallel()
	s, m, _ := newTestService(t)
	up := mustSignUp(t, s)
	down := errDown
	m.broken.Store(&down)
	in := goodSignUp()
	in.Email = "new@example.com"
	_, e1 := s.SignUp(t.Context(), in)
	_, e2 := s.Login(t.Context(), LoginInput{Email: "ana@example.com", Password: "correct horse"})
	_, e3 := s.Refresh(t.Context(), up.Tokens.RefreshToken)
	e4 := s.Logout(t.Context(), LogoutInput{RefreshToken: up.Tokens.RefreshToken})
	_, e5 := s.Me(t.Context(), up.Learner.ID)
	for i, err := range []error{e1, e2, e3, e4, e5} {
		if !errors.Is(err, errDown) {
			t.Errorf("%d: got %v, want the storage failure", i, err)
		}
	}
	if _, err := s.Verify(t.Context(), up.Tokens.AccessToken); err != nil {
		t.Fatalf("verify needs storage: %v", err)
	}
	if _, err := New(t.Context(), m, Config{Hash: cheap}); !errors.Is(err, errDown) {
		t.Fatalf("got %v, want the storage failure", err)
	}
}
