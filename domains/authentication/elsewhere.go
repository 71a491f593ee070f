package authentication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// What follows is for passwords that another service keeps. The account here
// and the one there cannot be made in one step; whatever breaks off in between
// is finished by the next sign-up or login with the right password.

// maxForeignRefresh bounds another service's refresh token.
const maxForeignRefresh = 2048

func (s *Service) longestRefresh() int {
	if s.cfg.Passwords != nil {
		return maxForeignRefresh
	}
	return maxRefreshToken
}

// signUpElsewhere makes the account there, then here, then signs in.
func (s *Service) signUpElsewhere(ctx context.Context, a application, in SignUpInput) (SignedIn, error) {
	now := s.now()
	taken := func() (SignedIn, error) {
		s.signUps.failed(ctx, "", in.RemoteIP, now)
		return SignedIn{}, fmt.Errorf("sign up: %w", ErrEmailTaken)
	}
	switch _, err := s.store.ByEmail(ctx, a.email); {
	case err == nil:
		return taken() // also an account of our own: nothing is made there for it
	case !errors.Is(err, ErrNoLearner):
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	told := ForeignSignUp{Email: a.email, Password: a.password, FullName: a.fullName, DateOfBirth: a.birth, Consented: a.consented}
	err := s.cfg.Passwords.SignUp(ctx, told)
	again := errors.Is(err, ErrUserExists)
	if err != nil && !again {
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	if again {
		// Perhaps the first try of the same person broke off; the password tells.
		if err := s.guard.refuse(ctx, a.email, in.RemoteIP, now); err != nil {
			return SignedIn{}, err
		}
	}
	t, c, err := s.signInElsewhere(ctx, a.email, a.password, in.RemoteIP)
	if fault.CodeOf(err) == fault.InvalidCredentials && err != nil && again {
		s.guard.failed(ctx, a.email, in.RemoteIP, now)
		return taken()
	}
	if err != nil {
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	switch _, err := s.store.ByIdentity(ctx, ForeignIdentity{c.Issuer, c.Subject}); {
	case err == nil && again:
		s.giveBack(ctx, t)
		return taken()
	case err != nil && !errors.Is(err, ErrNoLearner):
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	l, err := s.provision(ctx, c, told, false)
	if err != nil {
		s.giveBack(ctx, t)
		return SignedIn{}, fmt.Errorf("sign up: %w", err)
	}
	return s.startElsewhere(ctx, l, t, c, in.Device)
}

// giveBack revokes tokens that nobody gets.
func (s *Service) giveBack(ctx context.Context, t ForeignTokens) {
	if t.Refresh == "" {
		return
	}
	if err := s.cfg.Passwords.Revoke(ctx, t.Refresh); err != nil {
		s.log.WarnContext(ctx, "a refresh token that nobody has was not revoked", "err", err)
	}
}

func (s *Service) loginElsewhere(ctx context.Context, email string, in LoginInput) (SignedIn, error) {
	t, c, err := s.signInElsewhere(ctx, email, in.Password, in.RemoteIP)
	if err != nil {
		if fault.CodeOf(err) == fault.InvalidCredentials {
			s.guard.failed(ctx, email, in.RemoteIP, s.now())
			return SignedIn{}, errCredentials
		}
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	s.guard.succeeded(ctx, email, in.RemoteIP, s.now())
	l, err := s.store.ByIdentity(ctx, ForeignIdentity{c.Issuer, c.Subject})
	if errors.Is(err, ErrNoLearner) {
		l, err = s.catchUp(ctx, c, email, in.KnownOnly)
	}
	if err != nil {
		s.giveBack(ctx, t)
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	return s.startElsewhere(ctx, l, t, c, in.Device)
}

// catchUp makes the account of somebody whose password was right there and who
// is not known here: one whose sign-up broke off, or who comes from elsewhere.
func (s *Service) catchUp(ctx context.Context, c Claims, email string, knownOnly bool) (*Learner, error) {
	told, ok, err := s.cfg.Passwords.SignedUp(ctx, c.Subject)
	switch {
	case err != nil:
		return nil, err
	case !ok && knownOnly:
		return nil, fault.New(fault.NotFound, "This account is not known here yet; sign up with the same e-mail and password.")
	case ok:
		told.Email = email
		if name, code := normalName(told.FullName); code == "" {
			told.FullName = name
		} else {
			told.FullName = ""
		}
		if code, _ := birthProblem(told.DateOfBirth, s.now()); code != "" {
			told.DateOfBirth = ""
		}
	}
	return s.provision(ctx, c, told, false)
}

// signInElsewhere checks a password there and what came back.
func (s *Service) signInElsewhere(ctx context.Context, email, password, ip string) (ForeignTokens, Claims, error) {
	t, err := s.cfg.Passwords.Login(ctx, email, password, ip)
	if err != nil {
		return t, Claims{}, err
	}
	c, err := s.identify(ctx, t)
	if err != nil {
		s.giveBack(ctx, t)
	}
	return t, c, err
}

var errForeignTokens = fault.New(fault.DependencyUnavailable, "The service that signs you in does not answer as it should.")

// identify verifies tokens that were just handed out: tokens that we would not
// take later must not be given to anybody.
func (s *Service) identify(ctx context.Context, t ForeignTokens) (Claims, error) {
	own := func(err error) error {
		if code := fault.CodeOf(err); code == fault.Unauthenticated || code == fault.TokenExpired {
			s.log.ErrorContext(ctx, "the tokens of a login are not for us; look at issuer and audience", "issuer", s.cfg.Foreign.Name())
			return errForeignTokens
		}
		return err
	}
	c, err := s.cfg.Foreign.Verify(ctx, t.Access)
	if err != nil {
		return c, own(err)
	}
	if t.ID == "" {
		return c, nil
	}
	id, err := s.cfg.Foreign.VerifyID(ctx, t.ID, s.cfg.Passwords.Client(), "")
	if err != nil || id.Subject != c.Subject {
		if err == nil {
			err = errUnauthenticated
		}
		return c, own(err)
	}
	c.Email, c.EmailVerified, c.Name = id.Email, id.EmailVerified, id.Name
	return c, nil
}

// startElsewhere begins a login here for tokens from there.
func (s *Service) startElsewhere(ctx context.Context, l *Learner, t ForeignTokens, c Claims, device string) (SignedIn, error) {
	f := newFamily(l.ID(), device, s.now())
	f.rec.Issuer = c.Issuer
	err := s.store.Update(ctx, l.ID(), func(ctx context.Context, cur *Learner, _ time.Time) error {
		if l = cur; !l.Active() {
			if err := l.Reactivate(ByLearner); err != nil {
				return err
			}
			if err := s.record(ctx, l.ID(), events.LearnerReactivated{LearnerID: string(l.ID())}); err != nil {
				return err
			}
		}
		if err := s.takeRole(ctx, l, c.Role); err != nil {
			return err
		}
		return s.startForeign(ctx, f, t.Refresh, tokenKey(c, t.Access), c.ExpiresAt.Add(clockLeeway))
	})
	if err != nil {
		s.giveBack(ctx, t)
		if errors.Is(err, ErrNoLearner) {
			err = errCredentials
		}
		return SignedIn{}, fmt.Errorf("login: %w", err)
	}
	l = s.keepEmail(ctx, l, c)
	return s.fromElsewhere(l, f, t, t.Refresh), nil
}

// keepEmail takes an address that the issuer says was proven. Where another
// account has it, nothing changes.
func (s *Service) keepEmail(ctx context.Context, l *Learner, c Claims) *Learner {
	email, ok := normalEmail(c.Email)
	if !ok || !c.EmailVerified || l.rec.Email == email && !l.rec.EmailVerifiedAt.IsZero() {
		return l
	}
	changed := l
	err := s.store.Update(ctx, l.ID(), func(ctx context.Context, cur *Learner, now time.Time) error {
		cur.rec.Email, cur.rec.EmailVerifiedAt = email, now
		changed = cur
		return s.record(ctx, cur.ID(), events.EmailVerified{LearnerID: string(cur.ID())})
	})
	if err != nil {
		if !errors.Is(err, ErrEmailTaken) {
			s.log.WarnContext(ctx, "a proven e-mail was not kept", "learner_id", l.ID(), "err", err)
		}
		return l
	}
	return changed
}

func (s *Service) fromElsewhere(l *Learner, f *Family, t ForeignTokens, refresh string) SignedIn {
	return SignedIn{Learner: l.View(), Tokens: Tokens{
		AccessToken: t.Access, RefreshToken: refresh, TokenType: "Bearer", ExpiresIn: int64(t.ExpiresIn / time.Second),
		RefreshExpiresIn: int64(f.refreshLeft(s.now()) / time.Second),
	}}
}

// refreshElsewhere has the service there replace a refresh token whose login
// lives here. Our own row decides first, so that a login that was ended here
// is not renewed, whatever they say there.
func (s *Service) refreshElsewhere(ctx context.Context, token string, f *Family) (SignedIn, error) {
	if s.cfg.Passwords == nil {
		return SignedIn{}, errUnauthenticated
	}
	t, err := s.cfg.Passwords.Refresh(ctx, token)
	if err != nil {
		if fault.CodeOf(err) == fault.Unauthenticated {
			// There the login is over, perhaps because the token was used twice.
			if _, ended := s.store.EndLogin(ctx, f.rec.Learner, f.rec.ID, RevokedReuse); ended != nil {
				return SignedIn{}, fmt.Errorf("refresh: %w", ended)
			}
			s.loginsEnded(f.rec.Learner, f.rec.ID)
			return SignedIn{}, errUnauthenticated
		}
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	}
	next := t.Refresh
	if next == "" {
		next = token // they do not rotate there
	}
	c, err := s.identify(ctx, t)
	if err != nil {
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	}
	l, err := s.store.ByIdentity(ctx, ForeignIdentity{c.Issuer, c.Subject})
	if err != nil || l.ID() != f.rec.Learner {
		if err == nil || errors.Is(err, ErrNoLearner) {
			err = errUnauthenticated
		}
		return SignedIn{}, err
	}
	var outcome error
	err = s.store.UseToken(ctx, hashToken(token), func(cur *Family, generation int64, now time.Time) *TokenHash {
		f = cur
		if next == token {
			outcome = cur.mayUse(generation, now)
			return nil
		}
		if outcome = cur.Use(generation, now); outcome != nil {
			return nil
		}
		th := hashToken(next)
		return &th
	})
	switch {
	case errors.Is(err, ErrNoToken):
		outcome = errUnauthenticated
	case err != nil:
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	}
	if outcome != nil {
		s.giveBack(ctx, t)
		return SignedIn{}, outcome
	}
	if err := s.store.AddForeignToken(ctx, tokenKey(c, t.Access), f.rec.ID, c.ExpiresAt.Add(clockLeeway)); err != nil {
		return SignedIn{}, fmt.Errorf("refresh: %w", err)
	}
	return s.fromElsewhere(s.keepEmail(ctx, l, c), f, t, next), nil
}

// subjectElsewhere is who a learner is at the service that keeps passwords.
func (s *Service) subjectElsewhere(ctx context.Context, l LearnerID) (string, bool, error) {
	if s.cfg.Passwords == nil {
		return "", false, nil
	}
	list, err := s.store.Identities(ctx, l)
	n := slices.IndexFunc(list, func(id ForeignIdentity) bool { return id.Issuer == s.cfg.Foreign.Name() })
	if err != nil || n < 0 {
		return "", false, err
	}
	return list[n].Subject, true, nil
}

// confirmElsewhere is confirmed for a learner without a password here. Where
// nobody can be asked for one, none may be given, and the token is enough.
func (s *Service) confirmElsewhere(ctx context.Context, l *Learner, in ConfirmedInput) error {
	subject, known, err := s.subjectElsewhere(ctx, l.ID())
	if err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	wrong := func() error {
		return invalid("The password is wrong.", passwordField("password", "wrong", "This is not your password."))
	}
	if !known || l.address() == "" {
		if in.Password != "" {
			return wrong()
		}
		return nil
	}
	t, err := s.cfg.Passwords.Check(ctx, l.rec.Email, in.Password, in.RemoteIP)
	if err == nil {
		var c Claims
		if c, err = s.identify(ctx, t); err == nil && c.Subject == subject {
			return nil
		}
		if err == nil {
			err = errCredentials
		}
	}
	if fault.CodeOf(err) == fault.InvalidCredentials {
		s.guard.failed(ctx, l.rec.Email, in.RemoteIP, s.now())
		return wrong()
	}
	return fmt.Errorf("confirm: %w", err)
}

// mailElsewhere has the other service prove the address.
func (s *Service) mailElsewhere(ctx context.Context, l *Learner) error {
	subject, known, err := s.subjectElsewhere(ctx, l.ID())
	if err != nil || !known || !l.rec.EmailVerifiedAt.IsZero() || l.rec.DeactivatedBy == ByOperator {
		return err
	}
	return s.cfg.Passwords.MailVerification(ctx, subject)
}

// eraseElsewhere deletes the account there, before the one here: when the
// latter fails the wish can be repeated, because the token is still good.
func (s *Service) eraseElsewhere(ctx context.Context, learner LearnerID, by Actor) error {
	l, err := s.store.ByID(ctx, learner)
	if err != nil {
		return err
	}
	if err := by.over(l); err != nil {
		return err
	}
	subject, known, err := s.subjectElsewhere(ctx, learner)
	if err != nil || !known {
		return err
	}
	return s.cfg.Passwords.Remove(ctx, subject)
}
