package practice

import "context"

// Repository keeps scenarios. Every read names the owner: what belongs to
// somebody else is not there.
type Repository interface {
	// Save stores d, in the transaction of ctx where it carries one. One
	// request makes one scenario: the first one stays, and is returned.
	Save(ctx context.Context, d Document) (Document, error)
	// Get is one scenario, or ErrNoScenario.
	Get(ctx context.Context, owner, id string) (Document, error)
	// List is newest first, from after the scenario named by before.
	List(ctx context.Context, owner, before string, limit int) ([]Document, error)
	// Next counts the owner's requests, from 1; it makes each different.
	Next(ctx context.Context, owner string) (int64, error)
}
