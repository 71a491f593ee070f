// Package embedding matches a job to reference roles by the nearness of
// meaning that a model of embeddings sees, so that a job told in Chinese finds
// a role described in English.
//
// The roles' vectors are computed once per model and kept (Vectors); a role
// whose text has changed is computed anew. A job is embedded when it is asked
// for, and its vector stays in memory for an hour at most.
//
// Nearness has no unit that two models share, so no threshold on it would mean
// anything. What counts is how far a role stands out from all others for this
// job, and the words of the job are asked too: both rankings are fused. A
// failure is an error and never a made-up vector; the caller has words to fall
// back on (onboarding.Or).
package embedding

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluentpro/fluentpro/domains/onboarding"
	"github.com/fluentpro/fluentpro/internal/fault"
	"github.com/fluentpro/fluentpro/internal/resilience"
)

// Embedder turns texts into vectors, one each, in order.
type Embedder interface {
	Embed(ctx context.Context, model string, texts []string) ([][]float32, error)
}

// Vector is a role's, made from the text with this digest.
type Vector struct {
	Role, Digest string
	Values       []float32
}

// Vectors keeps the roles' vectors by model. It is safe for concurrent use.
type Vectors interface {
	// Load returns all of a model's, by role.
	Load(ctx context.Context, model string) (map[string]Vector, error)
	// Save sets the model's vectors to exactly these, in one transaction.
	Save(ctx context.Context, model string, vectors []Vector) error
}

// How far a role must stand out from all roles, in standard deviations, to be
// shown, and to be strong. Of 120 values around a mean the highest is 2.5 away
// by mere chance.
const (
	leastDistance  = 1.0
	strongDistance = 3.0
)

// Matcher implements onboarding.RoleMatcher. It is safe for concurrent use.
type Matcher struct {
	model    string
	embedder Embedder
	vectors  Vectors
	guard    *resilience.Guard
	index    *resilience.Cache[map[string][]float64]
	jobs     *resilience.Cache[[]float64]
}

var _ onboarding.RoleMatcher = (*Matcher)(nil)

// New makes a Matcher. The guard is around every call of the embedder; reg
// gets the caches' metrics and may be nil.
func New(model string, e Embedder, v Vectors, guard *resilience.Guard, reg prometheus.Registerer) *Matcher {
	return &Matcher{model: model, embedder: e, vectors: v, guard: guard,
		index: resilience.NewCache[map[string][]float64](resilience.CacheConfig{Name: "role_vectors", TTL: 24 * time.Hour, Entries: 2, Load: time.Minute, Registerer: reg}),
		jobs:  resilience.NewCache[[]float64](resilience.CacheConfig{Name: "job_vectors", TTL: time.Hour, Entries: 500, Registerer: reg}),
	}
}

// Match implements onboarding.RoleMatcher.
func (m *Matcher) Match(ctx context.Context, q onboarding.Question) ([]onboarding.RoleMatch, error) {
	index, err := m.index.Get(ctx, resilience.Shared, m.model, m.load)
	if err != nil {
		return nil, fmt.Errorf("role vectors: %w", err)
	}
	text := q.Job.Title + ". " + q.Job.Description
	// The key is made from the text, so a changed job is another entry.
	job, err := m.jobs.Get(ctx, string(q.Learner), digest(text), func(ctx context.Context) ([]float64, error) {
		v, err := m.embed(ctx, []string{text})
		if err != nil {
			return nil, err
		}
		return v[0], nil
	})
	if err != nil {
		return nil, fmt.Errorf("job vector: %w", err)
	}
	away, err := distances(job, index)
	if err != nil {
		// The model changed behind its name: what is kept of it goes, and the
		// next question begins anew.
		m.index.Drop(resilience.Shared)
		m.jobs.Drop(string(q.Learner))
		return nil, errors.Join(err, m.vectors.Save(ctx, m.model, nil))
	}
	var near []onboarding.Role
	for _, r := range q.Candidates {
		if away[r.Slug] >= leastDistance {
			near = append(near, r)
		}
	}
	slices.SortStableFunc(near, func(a, b onboarding.Role) int { return cmp.Compare(away[b.Slug], away[a.Slug]) })
	byWords, err := onboarding.WordMatcher{}.Match(ctx, q)
	if err != nil {
		return nil, err
	}
	var worded []onboarding.Role
	for _, w := range byWords {
		i := slices.IndexFunc(q.Candidates, func(r onboarding.Role) bool { return r.Slug == w.Role })
		worded = append(worded, q.Candidates[i])
	}
	return onboarding.Fused(func(r onboarding.Role) bool {
		return away[r.Slug] >= strongDistance || onboarding.ByWords(q.Job, r)
	}, near, worded), nil
}

// load reads the roles' vectors and computes those that are missing or old.
func (m *Matcher) load(ctx context.Context) (map[string][]float64, error) {
	have, err := m.vectors.Load(ctx, m.model)
	if err != nil {
		return nil, err
	}
	roles := onboarding.Reference().Roles
	all := make([]Vector, len(roles))
	index := map[string][]float64{}
	var texts []string
	var at []int
	for i, r := range roles {
		text := roleText(r)
		all[i] = Vector{Role: r.Slug, Digest: digest(text)}
		if v, ok := have[r.Slug]; ok && v.Digest == all[i].Digest {
			if unit, err := normal(v.Values); err == nil {
				all[i].Values, index[r.Slug] = v.Values, unit
				continue
			}
		}
		texts, at = append(texts, text), append(at, i)
	}
	if len(texts) == 0 && len(have) == len(roles) {
		return index, sameLength(index)
	}
	if len(texts) > 0 {
		units, err := m.embed(ctx, texts)
		if err != nil {
			return nil, err
		}
		for n, i := range at {
			all[i].Values = single(units[n])
			index[all[i].Role] = units[n]
		}
	}
	if err := sameLength(index); err != nil {
		// The model changed behind its name: nothing kept of it is of use.
		if len(texts) == len(roles) {
			return nil, err
		}
		if err := m.vectors.Save(ctx, m.model, nil); err != nil {
			return nil, err
		}
		return m.load(ctx)
	}
	return index, m.vectors.Save(ctx, m.model, all)
}

// embed returns a unit vector for each text.
func (m *Matcher) embed(ctx context.Context, texts []string) ([][]float64, error) {
	raw, err := resilience.Get(ctx, m.guard, func(ctx context.Context) ([][]float32, error) {
		return m.embedder.Embed(ctx, m.model, texts)
	})
	if err != nil {
		return nil, err
	}
	if len(raw) != len(texts) {
		return nil, invalid(fmt.Errorf("%d vectors for %d texts", len(raw), len(texts)))
	}
	out := make([][]float64, len(raw))
	for i, v := range raw {
		if out[i], err = normal(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// distances says of each role by how many standard deviations its nearness to
// the job is above the mean of all.
func distances(job []float64, index map[string][]float64) (map[string]float64, error) {
	near := make(map[string]float64, len(index))
	var sum, squares float64
	for slug, v := range index {
		if len(v) != len(job) {
			return nil, invalid(fmt.Errorf("a job has %d dimensions, a role %d", len(job), len(v)))
		}
		var dot float64
		for i := range v {
			dot += v[i] * job[i]
		}
		near[slug] = dot
		sum += dot
		squares += dot * dot
	}
	n := float64(len(index))
	mean := sum / n
	spread := math.Sqrt(max(squares/n-mean*mean, 0))
	for slug := range near {
		if spread < 1e-9 {
			near[slug] = 0 // all are alike
			continue
		}
		near[slug] = (near[slug] - mean) / spread
	}
	return near, nil
}

// normal scales a vector to length one, so that a product is a cosine.
func normal(v []float32) ([]float64, error) {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 0) { // NaN too
		return nil, invalid(fmt.Errorf("a vector of %d numbers has no direction", len(v)))
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x) / math.Sqrt(sum)
	}
	return out, nil
}

func single(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func sameLength(index map[string][]float64) error {
	length := -1
	for _, v := range index {
		if length >= 0 && len(v) != length {
			return invalid(fmt.Errorf("vectors of %d and %d numbers under one name", length, len(v)))
		}
		length = len(v)
	}
	return nil
}

func invalid(err error) error {
	return fault.Wrap(err, fault.UpstreamInvalid, "The model's answer could not be used.")
}

// roleText is what of a role is embedded.
func roleText(r onboarding.Role) string {
	return r.Title + ". " + r.Description + " " + strings.Join(r.Keywords, ", ") + "."
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
