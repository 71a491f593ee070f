// Package correlation carries the id of the request that caused a piece of
// work, from the HTTP edge through the run to the upstream call, so that one
// grep finds everything that one click did.
package correlation

import (
	"context"
	"crypto/rand"
	"strings"
)

// MaxLen bounds an id that comes from outside.
const MaxLen = 64

type key struct{}

// With returns a context that carries id.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, key{}, id)
}

// From returns the id that ctx carries, "" where there is none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(key{}).(string)
	return id
}

// New makes an id: 26 lower-case letters and digits, 130 random bits.
func New() string { return strings.ToLower(rand.Text()) }

// Valid reports whether id may be taken over from outside: 1 to MaxLen of
// letters, digits, dot, underscore and hyphen. Anything else could forge log
// lines or grow them.
func Valid(id string) bool {
	if id == "" || len(id) > MaxLen {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
