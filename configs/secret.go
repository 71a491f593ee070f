package configs

import (
	"log/slog"
	"net/url"
	"slices"
	"strings"
)

const mask = "••••••"

// Secret is text that shows as dots everywhere but through Reveal.
type Secret struct{ text string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.text }

// String masks; an unset secret shows as nothing, so that "is it set" can be
// seen.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return mask
}

// GoString masks for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText masks for JSON, YAML and whatever else asks.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue masks in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// URL is an address that may carry a password; it shows without it.
type URL struct{ text string }

// NewURL wraps text.
func NewURL(text string) URL { return URL{text} }

// Reveal returns the address with its password.
func (u URL) Reveal() string { return u.text }

// String shows the address with password and query values that may be one
// masked; what cannot be parsed is masked whole.
func (u URL) String() string {
	if !strings.Contains(u.text, "://") {
		return u.text
	}
	p, err := url.Parse(u.text)
	if err != nil {
		return mask
	}
	if _, has := p.User.Password(); has {
		p.User = url.UserPassword(p.User.Username(), "xxxxx")
	}
	q := p.Query()
	for k := range q {
		if k = strings.ToLower(k); strings.Contains(k, "pass") || strings.Contains(k, "secret") || strings.Contains(k, "token") {
			p.RawQuery = "xxxxx"
		}
	}
	return p.String()
}

// GoString masks for %#v.
func (u URL) GoString() string { return u.String() }

// MarshalText masks for JSON and YAML.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue masks in logs.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

func (u URL) hasScheme(names ...string) bool {
	scheme, _, ok := strings.Cut(u.text, "://")
	return ok && slices.Contains(names, strings.ToLower(scheme))
}
