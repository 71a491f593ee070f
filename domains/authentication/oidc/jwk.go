package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
)

// algorithms are the ones that are believed, with the curve that belongs to
// each: signatures by a private key. Never none, never HS: a public key must
// not become a shared secret.
var algorithms = map[string]string{
	"RS256": "", "RS384": "", "RS512": "", "PS256": "", "PS384": "", "PS512": "",
	"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519",
}

// key is one published key.
type key struct {
	kid, alg string
	public   crypto.PublicKey
}

// fits says whether the key may check signatures of an algorithm: its kind,
// its curve, and its alg where it names one.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return alg[0] == 'R' || alg[0] == 'P'
	case *ecdsa.PublicKey:
		return algorithms[alg] == p.Curve.Params().Name
	case ed25519.PublicKey:
		return algorithms[alg] == "Ed25519"
	}
	return false
}

// jwk is a key as it is published (RFC 7517).
type jwk struct {
	Kty, Kid, Use, Alg, Crv, N, E, X, Y string
}

var errKey = errors.New("not a key that can be used")

// parse reads one key; what is for encryption, too short or of another kind
// is errKey.
func parse(raw json.RawMessage) (key, error) {
	var j jwk
	if json.Unmarshal(raw, &j) != nil || j.Use != "" && j.Use != "sig" || len(j.Kid) > maxKID {
		return key{}, errKey
	}
	if _, known := algorithms[j.Alg]; j.Alg != "" && !known {
		return key{}, errKey
	}
	public, err := j.public()
	return key{kid: j.Kid, alg: j.Alg, public: public}, err
}

func (j jwk) public() (crypto.PublicKey, error) {
	switch j.Kty {
	case "RSA":
		n, e := number(j.N), number(j.E)
		if n == nil || e == nil || n.BitLen() < 2048 || n.BitLen() > 8192 || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
			return nil, errKey
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "EC":
		for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if j.Crv == c.Params().Name {
				return point(c, j.X, j.Y)
			}
		}
	case "OKP":
		x, err := base64.RawURLEncoding.DecodeString(j.X)
		if err == nil && j.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x), nil
		}
	}
	return nil, errKey
}

// point is a key on a curve; one that is not on it is refused.
func point(c elliptic.Curve, x, y string) (crypto.PublicKey, error) {
	size := (c.Params().BitSize + 7) / 8
	px, py := number(x), number(y)
	if px == nil || py == nil || px.BitLen() > size*8 || py.BitLen() > size*8 {
		return nil, errKey
	}
	b := make([]byte, 1+2*size)
	b[0] = 4
	px.FillBytes(b[1 : 1+size])
	py.FillBytes(b[1+size:])
	k, err := ecdsa.ParseUncompressedPublicKey(c, b)
	if err != nil {
		return nil, errKey
	}
	return k, nil
}

// number reads a big-endian number, nil if it is none.
func number(s string) *big.Int {
	if len(s) > 2048 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
