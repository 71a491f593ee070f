package sqlstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/fluentpro/fluentpro/domains/onboarding/embedding"
	"github.com/fluentpro/fluentpro/internal/sqldb"
)

// Vectors implements embedding.Vectors.
type Vectors struct {
	db *sqldb.DB
}

var _ embedding.Vectors = (*Vectors)(nil)

// NewVectors makes a Vectors over a migrated database.
func NewVectors(db *sqldb.DB) *Vectors { return &Vectors{db} }

// Load implements embedding.Vectors. A row that cannot be read is left out: it
// is computed anew.
func (s *Vectors) Load(ctx context.Context, model string) (map[string]embedding.Vector, error) {
	rows, err := s.db.Conn(ctx).QueryContext(ctx, "SELECT role, digest, dimensions, vector FROM onboarding_role_vectors WHERE model = ?", model)
	if err != nil {
		return nil, failed("read role vectors", err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]embedding.Vector{}
	for rows.Next() {
		var v embedding.Vector
		var n int
		var text string
		if err := rows.Scan(&v.Role, &v.Digest, &n, &text); err != nil {
			return nil, failed("read role vectors", err)
		}
		if v.Values, err = decodeVector(text); err == nil && len(v.Values) == n {
			out[v.Role] = v
		}
	}
	return out, failed("read role vectors", rows.Err())
}

// Save implements embedding.Vectors.
func (s *Vectors) Save(ctx context.Context, model string, vectors []embedding.Vector) error {
	return failed("keep role vectors", s.db.InTx(ctx, func(ctx context.Context) error {
		c := s.db.Conn(ctx)
		if _, err := c.ExecContext(ctx, "DELETE FROM onboarding_role_vectors WHERE model = ?", model); err != nil {
			return err
		}
		for part := range slices.Chunk(vectors, 50) {
			var args []any
			for _, v := range part {
				args = append(args, model, v.Role, v.Digest, len(v.Values), encodeVector(v.Values))
			}
			// Another node may be at the same: either's vectors are right.
			if _, err := c.ExecContext(ctx, "INSERT INTO onboarding_role_vectors (model, role, digest, dimensions, vector, created_at) VALUES "+
				strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, "+s.db.Now()+"), ", len(part)), ", ")+
				" ON CONFLICT (model, role) DO UPDATE SET digest = excluded.digest, dimensions = excluded.dimensions, vector = excluded.vector, created_at = excluded.created_at",
				args...); err != nil {
				return err
			}
		}
		return nil
	}))
}

func encodeVector(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}

var errVector = errors.New("not a vector")

func decodeVector(s string) ([]float32, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errVector, err)
	}
	if len(b)%4 != 0 {
		return nil, errVector
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}
