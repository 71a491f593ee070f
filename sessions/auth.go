package sessions

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fluentpro/fluentpro/conversation"
	"github.com/fluentpro/fluentpro/internal/fault"
)

// AccessCookie carries the access token of browsers.
const AccessCookie = "fp_access"

const (
	// tokenProtocol precedes a token in the list of subprotocols.
	tokenProtocol = "base64url.bearer.conv."
	// ticketProtocol precedes a ticket there.
	ticketProtocol = "ticket.conv."
	// maxToken bounds what is given to a token parser.
	maxToken = 8 << 10
)

// Where a token came from.
const (
	fromNowhere = iota
	fromHeader
	fromProtocol
	fromTicket
	fromCookie
)

var (
	errSignIn  = fault.New(fault.Unauthenticated, "Sign in first.")
	errForeign = fault.New(fault.ForeignOrigin, "Requests from this origin are refused.")
	errExpired = fault.New(fault.TokenExpired, "The token has expired; connect again with a new one.")
)

// findToken looks for a token everywhere but in the URL. The explicit ways win
// over the cookie, which a browser sends unasked.
func findToken(r *http.Request, websocket bool) (token string, from int, err error) {
	switch h := r.Header.Values("Authorization"); len(h) {
	case 0:
	case 1:
		scheme, rest, ok := strings.Cut(h[0], " ")
		rest = strings.TrimSpace(rest)
		if !ok || !strings.EqualFold(scheme, "Bearer") || rest == "" || len(rest) > maxToken {
			return "", fromHeader, errSignIn
		}
		return rest, fromHeader, nil
	default:
		return "", fromHeader, errSignIn
	}
	if websocket {
		for _, p := range subprotocols(r) {
			if ticket, ok := strings.CutPrefix(p, ticketProtocol); ok {
				return ticket, fromTicket, nil
			}
			enc, ok := strings.CutPrefix(p, tokenProtocol)
			if !ok {
				continue
			}
			raw, err := base64.RawURLEncoding.DecodeString(enc)
			if err != nil || len(raw) == 0 || len(raw) > maxToken {
				return "", fromProtocol, errSignIn
			}
			return string(raw), fromProtocol, nil
		}
	}
	switch c := r.CookiesNamed(AccessCookie); {
	case len(c) == 0:
		return "", fromNowhere, nil
	case len(c) > 1 || c[0].Value == "" || len(c[0].Value) > maxToken:
		// Two cookies of one name mean that somebody else set one of them.
		return "", fromCookie, errSignIn
	default:
		return c[0].Value, fromCookie, nil
	}
}

// subprotocols lists what a client offers.
func subprotocols(r *http.Request) []string {
	var out []string
	for _, h := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(h, ",") {
			out = append(out, strings.TrimSpace(p))
		}
	}
	return out
}

// verify asks the Authenticator; an identity without a learner is no identity.
func (m *Manager) verify(ctx context.Context, token string) (Identity, error) {
	if token == "" || len(token) > maxToken {
		return Identity{}, errSignIn
	}
	id, err := m.cfg.Auth.Verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	if id.LearnerID == "" {
		return Identity{}, errSignIn
	}
	return id, nil
}

// authenticate is for requests that cannot bring a token later.
func (m *Manager) authenticate(r *http.Request) (Identity, error) {
	token, from, err := findToken(r, false)
	if err != nil {
		return Identity{}, err
	}
	if from == fromNowhere {
		return Identity{}, errSignIn
	}
	if from == fromCookie {
		if err := m.checkOrigin(r, false); err != nil {
			return Identity{}, err
		}
	}
	return m.verify(r.Context(), token)
}

func (id Identity) learner() conversation.LearnerID { return conversation.LearnerID(id.LearnerID) }

// origins is the list of pages that may connect besides our own.
type origins map[string]bool

func parseOrigins(list []string) (origins, error) {
	o := origins{}
	for _, s := range list {
		n, ok := normalOrigin(s)
		if !ok {
			return nil, fmt.Errorf("sessions: origin %q: want scheme://host[:port]", s)
		}
		o[n] = true
	}
	return o, nil
}

// normalOrigin writes an origin in its one form: lower case, no default port.
// Anything that is more or less than scheme, host and port is refused, so that
// no two programs can read it differently.
func normalOrigin(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || strings.HasSuffix(u.Hostname(), ".") ||
		strings.ContainsAny(s, "?#*") {
		return "", false
	}
	return u.Scheme + "://" + hostPort(u.Scheme, u.Host), true
}

// hostPort drops the port that the scheme implies.
func hostPort(scheme, host string) string {
	host = strings.ToLower(host)
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	default:
		return strings.TrimSuffix(host, ":443")
	}
}

// checkOrigin refuses what a foreign page may have caused. handshake is a
// WebSocket's, where a browser always tells its Origin; a plain GET of our own
// page comes without one.
func (m *Manager) checkOrigin(r *http.Request, handshake bool) error {
	if m.cfg.CheckOrigin != nil {
		return m.cfg.CheckOrigin(r)
	}
	site := r.Header.Get("Sec-Fetch-Site")
	switch got := r.Header.Values("Origin"); len(got) {
	case 0:
		if site != "" && site != "same-origin" {
			return errForeign
		}
		// Not a browser, or one that hides its origin: a cookie proves nothing.
		if handshake && r.Header.Get("Authorization") == "" && len(r.CookiesNamed(AccessCookie)) > 0 {
			return errForeign
		}
		return nil
	case 1:
		n, ok := normalOrigin(got[0])
		if !ok {
			return errForeign
		}
		if m.ownOrigin(r, n) {
			if site != "" && site != "same-origin" {
				return errForeign
			}
			return nil
		}
		if m.org[n] && (site == "" || site == "same-site" || site == "same-origin" || len(r.CookiesNamed(AccessCookie)) == 0) {
			return nil
		}
		return errForeign
	default:
		return errForeign
	}
}

// ownOrigin reports whether a normal origin is the host that was asked for. A
// page that came over http may not reach into an https server.
func (m *Manager) ownOrigin(r *http.Request, origin string) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	return hostPort(scheme, r.Host) == host && (scheme == "https" || !m.cfg.Secure(r))
}
