package configs

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validate returns everything that is wrong with values that could be read.
func (c *Config) validate() Problems {
	v := &validator{c: c, origin: map[string]string{}, env: map[string]string{}}
	for _, f := range fields(c) {
		v.env[f.key], v.origin[f.key] = f.env(), c.origins[f.key]
	}
	v.addresses()
	v.urls()
	v.times()
	v.limits()
	v.roles()
	v.auth()
	v.background()
	v.strict()
	return v.out
}

type validator struct {
	c           *Config
	env, origin map[string]string
	out         Problems
}

func (v *validator) bad(key, format string, args ...any) {
	v.out = append(v.out, Problem{v.env[key], v.origin[key], fmt.Sprintf(format, args...)})
}

func (v *validator) warn(key, format string, args ...any) {
	v.c.warnings = append(v.c.warnings, v.env[key]+" "+fmt.Sprintf(format, args...))
}

func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q has no port between 0 and 65535", addr)
	}
	if strings.ContainsAny(host, "/ @?#") {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	return host, int(n), nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

func everywhere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// opsDefault is loopback on the port after listen, so that two processes on
// one machine need only a listen address each.
func opsDefault(host string, port int) string {
	at := "127.0.0.1"
	if loopback(host) && !strings.EqualFold(host, "localhost") {
		at = host // 127.0.0.2 stays apart from 127.0.0.1
	}
	switch port {
	case 0:
		return net.JoinHostPort(at, "0")
	case 65535:
		return net.JoinHostPort(at, "65534")
	}
	return net.JoinHostPort(at, strconv.Itoa(port+1))
}

func (v *validator) addresses() {
	c := v.c
	host, port, err := splitAddr(c.Listen)
	if err != nil {
		v.bad("listen", "%v", err)
	}
	if c.Ops.Listen != Off && (err == nil || c.Ops.Listen != "") {
		oh, op, oerr := splitAddr(c.Ops.Listen)
		switch {
		case oerr != nil:
			v.bad("ops.listen", "%v; or write off", oerr)
		case err == nil && op == port && op != 0 && (oh == host || everywhere(oh) || everywhere(host)):
			v.bad("ops.listen", "%q uses the port of %s; operators need a listener of their own", c.Ops.Listen, v.env["listen"])
		case !loopback(oh) && c.Ops.Token.Reveal() == "":
			v.bad("ops.token", "is needed because %s=%s is not loopback", v.env["ops.listen"], c.Ops.Listen)
		}
	}
	if t := c.Ops.Token.Reveal(); t != "" && (len(t) < 16 || strings.TrimSpace(t) != t || strings.ContainsAny(t, "\r\n\t ")) {
		v.bad("ops.token", "must have at least 16 characters and no white space")
	}
	if c.AdvertiseAddr != "" {
		ah, ap, aerr := splitAddr(c.AdvertiseAddr)
		if aerr != nil || ap == 0 || everywhere(ah) {
			v.bad("advertise_addr", "%q is not an address that other nodes can dial; write host:port", c.AdvertiseAddr)
		}
	}
	for _, p := range c.TrustedProxies {
		prefix, perr := netip.ParsePrefix(p)
		if addr, aerr := netip.ParseAddr(p); aerr == nil {
			prefix, perr = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case perr != nil:
			v.bad("trusted_proxies", "%q is neither an address nor a CIDR", p)
		case prefix.Bits() == 0:
			v.bad("trusted_proxies", "%q would believe everybody", p)
		}
	}
	for i, o := range c.PublicOrigins {
		norm, oerr := parseOrigin(o)
		if oerr != nil {
			v.bad("public_origins", "%q %v", o, oerr)
			continue
		}
		c.PublicOrigins[i] = norm
	}
	if err == nil && !loopback(host) && len(c.PublicOrigins) == 0 && !c.Strict() {
		v.warn("public_origins", "is not set: pages opened under another name than 127.0.0.1 or localhost cannot connect")
	}
}

// parseOrigin checks one origin and returns it as browsers send it.
func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return "", fmt.Errorf("is not an origin; write https://host or http://host:port")
	case strings.Contains(text, "*"):
		return "", fmt.Errorf("has a wildcard; name every origin")
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(text, "#"):
		return "", fmt.Errorf("has more than scheme, host and port; leave out the rest, a slash too")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.HasSuffix(u.Host, ":") {
		return "", fmt.Errorf("ends with a colon")
	}
	if port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// Origins are the origins whose pages may connect, given the address that
// listen was bound to: those set, else the loopback names with its port.
func (c *Config) Origins(bound string) []string {
	if len(c.PublicOrigins) > 0 {
		return slices.Clone(c.PublicOrigins)
	}
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return nil
	}
	hosts := []string{"127.0.0.1", "localhost"}
	if !everywhere(host) && !slices.Contains(hosts, host) {
		hosts = append(hosts, host)
	}
	var out []string
	for _, h := range hosts {
		if o, err := parseOrigin("http://" + net.JoinHostPort(h, port)); err == nil {
			out = append(out, o)
		}
	}
	return out
}

func (v *validator) urls() {
	c := v.c
	if raw := c.Database.URL.Reveal(); strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		switch {
		case !c.Database.URL.hasScheme("postgres", "postgresql"):
			v.bad("database.url", "must begin with postgres:// or be the path of a SQLite file")
		case err != nil || u.Host == "" && u.Query().Get("host") == "":
			v.bad("database.url", "is not a URL with a host; special characters in a password must be percent-encoded")
		case u.Query().Get("sslmode") == "disable" && u.Hostname() != "" && !loopback(u.Hostname()) && c.Strict():
			v.warn("database.url", "switches encryption off towards another machine (sslmode=disable)")
		}
	}
	if raw := c.Redis.URL.Reveal(); raw != "" {
		u, err := url.Parse(raw)
		switch {
		case !c.Redis.URL.hasScheme("redis", "rediss", "unix"):
			v.bad("redis.url", "must begin with redis://, rediss:// or unix://, or be the word embedded")
		case err != nil || u.Host == "" && u.Scheme != "unix":
			v.bad("redis.url", "is not a URL with a host; special characters in a password must be percent-encoded")
		case u.Scheme != "unix" && !digits(strings.TrimPrefix(u.Path, "/")):
			v.bad("redis.url", "ends with something that is not a database number")
		}
	}
	v.upstream()
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" && len(s) < 6 }

func (v *validator) between(key string, got, least, most time.Duration) {
	if got < least || got > most {
		v.bad(key, "%v is not between %v and %v", got, least, most)
	}
}

func (v *validator) times() {
	c := v.c
	v.between("lease", c.Lease, time.Second, time.Minute)
	v.between("heartbeat", c.Heartbeat, 50*time.Millisecond, 20*time.Second)
	if c.Heartbeat*3 > c.Lease {
		v.bad("heartbeat", "%v is more than a third of %s=%v; a single lost beat would cost the lease", c.Heartbeat, v.env["lease"], c.Lease)
	}
	v.between("drain", c.Drain, 0, 10*time.Minute)
	v.between("wire.ping", c.Wire.Ping, time.Second, 5*time.Minute)
	v.between("wire.heartbeat", c.Wire.Heartbeat, time.Second, 5*time.Minute)
	v.between("database.conn_idle", c.Database.ConnIdle, time.Second, 24*time.Hour)
	v.between("database.conn_lifetime", c.Database.ConnLifetime, 10*time.Second, 7*24*time.Hour)
	if c.Database.MaxConns == 1 && !c.EmbeddedDatabase() {
		v.bad("database.max_conns", "1 is too few for Postgres: a migration and its lock need a connection each")
	}
	if r := c.Accounts.KeyRotation; r != 0 {
		v.between("accounts.key_rotation", r, time.Hour, 10*365*24*time.Hour)
	}
	v.between("accounts.keep_logins", c.Accounts.KeepLogins, time.Hour, 10*365*24*time.Hour)
	if k := c.Accounts.KeepUnconfirmed; k != 0 {
		v.between("accounts.keep_unconfirmed", k, 48*time.Hour, 10*365*24*time.Hour) // a link works for a day
	}
	if c.KeepConversations != 0 {
		v.between("keep_conversations", c.KeepConversations, time.Hour, 100*365*24*time.Hour)
	}
	v.between("upstream.script.first_token", c.Upstream.Script.FirstToken, 0, time.Minute)
	if r := c.Upstream.Script.TokensPerSecond; r <= 0 || r > 10000 {
		v.bad("upstream.script.tokens_per_second", "%v is not more than 0 and at most 10000", r)
	}
}

func (v *validator) limits() {
	l := v.c.Limits
	for _, r := range []struct {
		key              string
		got, least, most int
	}{
		{"limits.frame_bytes", l.FrameBytes, 1 << 10, 1 << 20},
		{"limits.message_chars", l.MessageChars, 1, 32 << 10},
		{"limits.subscriptions", l.Subscriptions, 1, 1000},
		{"limits.connections_per_user", l.ConnectionsPerUser, 1, 10000},
		{"limits.queue", l.Queue, 0, 100},
		{"database.max_conns", v.c.Database.MaxConns, 0, 10000},
	} {
		if r.got < r.least || r.got > r.most {
			v.bad(r.key, "%d is not between %d and %d", r.got, r.least, r.most)
		}
	}
	// Six bytes is the longest JSON form of one UTF-16 unit.
	if need := 6*l.MessageChars + 512; l.MessageChars <= 32<<10 && l.FrameBytes < need {
		v.bad("limits.frame_bytes", "%d cannot carry a message of %s=%d; at least %d is needed", l.FrameBytes, v.env["limits.message_chars"], l.MessageChars, need)
	}
}

// strict holds the rules of the staging and production profiles.
func (v *validator) strict() {
	c := v.c
	parts := []string{PartDatabase, PartRedis, PartUpstream}
	for _, p := range c.AllowEmbedded {
		if !slices.Contains(parts, p) {
			v.bad("allow_embedded", "%q is none of %s%s", p, strings.Join(parts, ", "), hint(p, parts))
		}
	}
	for _, r := range c.AllowRisks {
		if !slices.Contains(Risks, r) {
			v.bad("allow_risks", "%q is none of %s%s", r, strings.Join(Risks, ", "), hint(r, Risks))
		}
	}
	if !c.Strict() {
		return
	}
	for _, e := range []struct {
		part, key, what string
		embedded        bool
	}{
		{PartDatabase, "database.url", "a Postgres", c.EmbeddedDatabase()},
		{PartRedis, "redis.url", "a Redis", c.EmbeddedRedis()},
		{PartUpstream, "upstream.base_url", "a model", c.EmbeddedUpstream()},
	} {
		if e.embedded && !slices.Contains(c.AllowEmbedded, e.part) {
			v.bad(e.key, "must name %s in the %s profile; to run with the embedded one all the same, add %s to %s", e.what, c.Profile, e.part, v.env["allow_embedded"])
		}
	}
	for _, o := range c.PublicOrigins {
		if u, err := url.Parse(o); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			v.bad("public_origins", "%q is not https, which the %s profile wants", o, c.Profile)
		}
	}
	if host, _, err := splitAddr(c.Listen); err == nil && !loopback(host) && len(c.PublicOrigins) == 0 {
		v.bad("public_origins", "must name the origin of the page, like https://english.example.com, because %s=%s is not loopback", v.env["listen"], c.Listen)
	}
}
