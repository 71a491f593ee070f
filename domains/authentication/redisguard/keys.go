package redisguard

import (
	"crypto/sha256"
	"encoding/base64"
)

// Every key of this package is made here. Each is alone in its slot.

// keyAttempts counts under one key of a guard, which names an account, an
// address or both, and is not told: whoever reads Redis learns nobody's.
// Type: string, a number. TTL: 15 minutes after the last attempt, 24 hours for
// a pair of account and address that signed in. Writer: script count,
// Attempts.Drop.
func keyAttempts(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "ga:{" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "}"
}
