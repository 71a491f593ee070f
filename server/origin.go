package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/fluentpro/fluentpro/internal/fault"
)

// origins decides which web pages may act with a browser's cookies.
type origins struct {
	allowed map[string]bool
	std     *http.CrossOriginProtection
}

var errForeignOrigin = fault.New(fault.ForeignOrigin, "Requests from this origin are refused; whoever runs this server can name it in its settings.")

func newOrigins(list []string) (*origins, error) {
	o := &origins{allowed: map[string]bool{}, std: http.NewCrossOriginProtection()}
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+strings.ToLower(u.Host) != s {
			return nil, fmt.Errorf("origin %q: want scheme://host[:port] in lower case, without a path", s)
		}
		if err := o.std.AddTrustedOrigin(s); err != nil {
			return nil, err
		}
		o.allowed[s] = true
	}
	return o, nil
}

// own reports whether origin is exactly ours for this request.
func (o *origins) own(r *http.Request, origin string) bool {
	if len(o.allowed) > 0 {
		return o.allowed[origin]
	}
	// No origin is configured: the page and we share the host that was asked
	// for. A DNS name could be rebound to us by its owner, an address cannot.
	scheme := "http"
	if isSecure(r.Context()) {
		scheme = "https"
	}
	return rebindProof(r.Host) && origin == scheme+"://"+r.Host
}

// rebindProof reports whether host is a name that nobody else can point at us.
func rebindProof(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// hasCookie reports whether the browser's ambient credentials came along.
func hasCookie(r *http.Request) bool {
	return len(r.CookiesNamed(AccessCookie)) > 0 || len(r.CookiesNamed(RefreshCookie)) > 0
}

// check refuses what another page may have caused. upgrade marks a WebSocket
// handshake, which is a GET and yet acts.
func (o *origins) check(r *http.Request, upgrade bool) error {
	if !upgrade {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return nil
		}
		if err := o.std.Check(r); err != nil {
			return errForeignOrigin
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin":
	default:
		return errForeignOrigin
	}
	switch got := r.Header.Values("Origin"); len(got) {
	case 0:
		// Not a browser, or one that hides its origin: a cookie is no proof then.
		if hasCookie(r) && r.Header.Get("Authorization") == "" {
			return errForeignOrigin
		}
		return nil
	case 1:
		if !o.own(r, got[0]) {
			return errForeignOrigin
		}
		return nil
	default:
		return errForeignOrigin
	}
}

// checkOrigin is the middleware for JSON routes.
func (s *Server) checkOrigin(c *gin.Context) {
	if err := s.origins.check(c.Request, false); err != nil {
		c.Abort()
		s.refuse(c, err)
	}
}

// peerAddr is the direct peer's address, invalid when it has none.
func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// parseProxies reads addresses and CIDRs.
func parseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("trusted proxy %q: want an address or a CIDR", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("trusted proxy %q would trust everybody", s)
		}
		out = append(out, p)
	}
	return out, nil
}
