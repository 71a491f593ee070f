// Package events is the vocabulary of what has happened in the domains, and
// the way it travels: a use case records an event in the SQL transaction that
// changes its data, so either both are there or neither.
//
//	use case ─ Record ─▶ SQL: event, its number, outbox row     one transaction
//	                      ├▶ subscriptions in the same transaction (a job is enqueued)
//	                      └▶ COMMIT ─▶ Relay ─▶ Redis stream ─▶ groups of consumers
//
// The store in SQL is the audit trail and the authority; the stream is only
// how the word gets around, and may be lost at any time.
//
// An event carries ids and facts, never an e-mail address, a token or a
// password: what must be erasable is in Data alone, and Store.Erase can take
// Data away without breaking the chain of hashes that shows tampering.
package events
