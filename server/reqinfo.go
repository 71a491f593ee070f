package server

import (
	"context"
	"net/http"
)

// reqInfo is what the middleware learned about one request. Handlers see only
// a context, so it travels there.
type reqInfo struct {
	// secure is whether the client spoke https, to us or to a trusted proxy.
	secure bool
	// clientIP is the peer, or what a trusted proxy says.
	clientIP string
	// userAgent is what the client calls itself.
	userAgent string
	// identity is set once authentication has passed.
	identity *Identity
}

type reqInfoKey struct{}

func withInfo(ctx context.Context, i *reqInfo) context.Context {
	return context.WithValue(ctx, reqInfoKey{}, i)
}

func infoOf(ctx context.Context) *reqInfo {
	if i, ok := ctx.Value(reqInfoKey{}).(*reqInfo); ok {
		return i
	}
	return &reqInfo{}
}

// isSecure reports whether cookies set now should be Secure.
func isSecure(ctx context.Context) bool { return infoOf(ctx).secure }

// IsHTTPS reports whether the client's side of a request is https, to us or
// to a trusted proxy; for handlers that the server mounts.
func IsHTTPS(r *http.Request) bool { return isSecure(r.Context()) }

// clientIP is the address that limits count.
func clientIP(ctx context.Context) string { return infoOf(ctx).clientIP }

// userAgent is what the client calls itself; it may be anything.
func userAgent(ctx context.Context) string { return infoOf(ctx).userAgent }

// identityOf is who asks; the route must need sign-in.
func identityOf(ctx context.Context) Identity {
	if id := infoOf(ctx).identity; id != nil {
		return *id
	}
	return Identity{}
}

// learnerOf is the id of the learner who asks; the route must need sign-in.
func learnerOf(ctx context.Context) string {
	return identityOf(ctx).Learner
}
