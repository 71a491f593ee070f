package authentication

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/events"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// How a token of another issuer becomes a login here:
//
//	verified ─▶ its login is known? ─▶ not ended ─▶ Identity
//	               │no
//	               └▶ whose identity is it? ─nobody's─▶ a new account
//	                        └▶ issued after the last end of all logins, and the
//	                           account is in use ─▶ a login of its own
//
// The first use of a token is one transaction, later ones are answered from
// memory. What ends logins ends these too, because they are rows like ours.

// admission is the login that an access token belongs to.
type admission struct {
	learner LearnerID
	family  FamilyID
	role    Role
}

// admittedFor is how long a node believes what it read: less than endedFor,
// so that an end is heard of before it is forgotten.
const admittedFor = 10 * time.Minute

func newAdmissions(reg prometheus.Registerer) *resilience.Cache[admission] {
	return resilience.NewCache[admission](resilience.CacheConfig{Name: "foreign_logins", TTL: admittedFor, Entries: 50_000, Registerer: reg})
}

// issuerOf reads the issuer that a token names, unverified: only to know whom
// to ask.
func issuerOf(token string) string {
	parts := strings.SplitN(token, ".", 3)
	if len(parts) != 3 || len(token) > maxAccessToken {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Iss string `json:"iss"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}
	return c.Iss
}

// tokenKey names the login that a token belongs to: the issuer's own session
// where it has one, else the token alone.
func tokenKey(c Claims, token string) TokenHash {
	what := "token\x00" + token
	if c.Session != "" {
		what = "session\x00" + c.Issuer + "\x00" + c.Subject + "\x00" + c.Session
	}
	sum := sha256.Sum256([]byte(what))
	return TokenHash(hex.EncodeToString(sum[:]))
}

func (s *Service) verifyForeign(ctx context.Context, token string) (Identity, error) {
	c, err := s.cfg.Foreign.Verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	key := tokenKey(c, token)
	a, err := s.admitted.Get(ctx, resilience.Shared, string(key), func(ctx context.Context) (admission, error) {
		return s.admit(ctx, token, key, c)
	})
	if err != nil {
		return Identity{}, err
	}
	if s.ended.has(a.family) {
		return Identity{}, errUnauthenticated
	}
	role := a.role
	if c.Role != "" {
		role = c.Role // this token's; another of the same login may say less
	}
	return Identity{LearnerID: a.learner, SessionFamily: a.family, Role: role, ExpiresAt: c.ExpiresAt}, nil
}

// admit finds the login of a verified token, or begins it.
func (s *Service) admit(ctx context.Context, token string, key TokenHash, c Claims) (admission, error) {
	f, err := s.store.ForeignFamily(ctx, key)
	switch {
	case err == nil && !f.rec.RevokedAt.IsZero():
		return admission{}, errUnauthenticated
	case err == nil:
		l, err := s.store.ByID(ctx, f.rec.Learner)
		if err != nil {
			return admission{}, signedOut("admit", err)
		}
		return admission{l.ID(), f.rec.ID, l.rec.Role}, nil
	case !errors.Is(err, ErrNoToken):
		return admission{}, fmt.Errorf("admit: %w", err)
	}
	l, err := s.learnerOf(ctx, token, c)
	if err != nil {
		return admission{}, err
	}
	f = newFamily(l.ID(), "", s.now())
	f.rec.Issuer = c.Issuer
	if c.Session == "" {
		f.rec.ExpiresAt = c.ExpiresAt.Add(clockLeeway) // the token is all there is of it
	}
	f.rec.IdleUntil = f.rec.ExpiresAt
	err = s.store.Update(ctx, l.ID(), func(ctx context.Context, cur *Learner, _ time.Time) error {
		// Whoever lost a race for this login takes what the first one made.
		if first, err := s.store.ForeignFamily(ctx, key); err == nil {
			f, l = first, cur
			return nil
		} else if !errors.Is(err, ErrNoToken) {
			return err
		}
		if err := s.inTime(ctx, c); err != nil {
			return err
		}
		if !cur.Active() {
			return errDisabled // a token is no wish to come back; a login is
		}
		if err := s.takeRole(ctx, cur, c.Role); err != nil {
			return err
		}
		l = cur
		return s.startForeign(ctx, f, "", key, f.rec.ExpiresAt)
	})
	switch {
	case err != nil:
		return admission{}, signedOut("admit", err)
	case !f.rec.RevokedAt.IsZero():
		return admission{}, errUnauthenticated
	}
	return admission{l.ID(), f.rec.ID, l.rec.Role}, nil
}

// inTime refuses a token from before the last end of all logins of its
// identity. Issuers count seconds, so one from that very second is refused.
func (s *Service) inTime(ctx context.Context, c Claims) error {
	from, err := s.store.TokensFrom(ctx, ForeignIdentity{c.Issuer, c.Subject})
	if err == nil && !from.IsZero() && c.IssuedAt.Unix() <= from.Unix() {
		return errUnauthenticated
	}
	return err
}

// takeRole keeps what the issuer says of the role; the tokens carry it
// themselves, so nothing has to end.
func (s *Service) takeRole(ctx context.Context, l *Learner, role Role) error {
	if role == "" || role == l.rec.Role {
		return nil
	}
	from := l.rec.Role
	l.rec.Role = role
	return s.record(ctx, l.ID(), events.RoleChanged{LearnerID: string(l.ID()), From: string(from), To: string(role)})
}

// startForeign stores a login of another issuer; refresh may be "".
func (s *Service) startForeign(ctx context.Context, f *Family, refresh string, key TokenHash, until time.Time) error {
	var th TokenHash
	if refresh != "" {
		th = hashToken(refresh)
	}
	if err := s.store.StartFamily(ctx, f, th); err != nil {
		return err
	}
	return s.store.AddForeignToken(ctx, key, f.rec.ID, until)
}

// learnerOf finds whose identity it is; who is nobody's gets an account.
func (s *Service) learnerOf(ctx context.Context, token string, c Claims) (*Learner, error) {
	l, err := s.store.ByIdentity(ctx, ForeignIdentity{c.Issuer, c.Subject})
	if err == nil || !errors.Is(err, ErrNoLearner) {
		return l, err
	}
	if err := s.inTime(ctx, c); err != nil {
		return nil, err
	}
	if c.Email == "" {
		if c, err = s.cfg.Foreign.Profile(ctx, token, c); err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
	}
	return s.provision(ctx, c, ForeignSignUp{}, true)
}

// provision makes the account of an identity. Its e-mail is believed when the
// issuer says that it was proven, or when it was told at our own sign-up (in);
// an account that has it already stays another's. checkTime is false where the
// identity proved itself just now.
func (s *Service) provision(ctx context.Context, c Claims, in ForeignSignUp, checkTime bool) (*Learner, error) {
	now := s.now()
	rec := LearnerRecord{ID: LearnerID(uuid.Must(uuid.NewV7()).String()), Role: RoleLearner, DateOfBirth: in.DateOfBirth, CreatedAt: now, Version: 1}
	if c.Role != "" {
		rec.Role = c.Role
	}
	if in.Consented {
		rec.ConsentedAt = now
	}
	email, ok := normalEmail(c.Email)
	switch {
	case ok && c.EmailVerified:
		rec.Email, rec.EmailVerifiedAt = email, now
	case in.Email != "":
		rec.Email = in.Email
	default:
		rec.Email = string(rec.ID) + nowhere
	}
	if rec.FullName = in.FullName; rec.FullName == "" {
		name, code := normalName(c.Name)
		if rec.FullName = name; code != "" {
			rec.FullName = "Learner"
		}
	}
	l, id := &Learner{rec}, ForeignIdentity{c.Issuer, c.Subject}
	err := s.store.Register(ctx, l, nil, "", func(ctx context.Context) error {
		// The identity first: its row makes an erasure under way be over.
		if err := s.store.AddIdentity(ctx, l.ID(), id); err != nil {
			return err
		}
		if checkTime {
			if err := s.inTime(ctx, c); err != nil {
				return err
			}
		}
		return s.record(ctx, l.ID(), events.LearnerRegistered{LearnerID: string(l.ID())})
	})
	if errors.Is(err, ErrIdentityTaken) || errors.Is(err, ErrEmailTaken) {
		// Another first use was quicker; or the e-mail is somebody else's.
		first, again := s.store.ByIdentity(ctx, id)
		if again == nil || !errors.Is(again, ErrNoLearner) {
			return first, again
		}
		s.log.WarnContext(ctx, "an identity's e-mail belongs to another account", "issuer", c.Issuer)
		return nil, errJoin
	}
	if err != nil {
		if fault.CodeOf(err) == fault.Unauthenticated {
			return nil, err
		}
		return nil, fmt.Errorf("make account: %w", err)
	}
	s.log.InfoContext(ctx, "learner came from another issuer", "learner_id", l.ID(), "issuer", c.Issuer)
	return l, nil
}
