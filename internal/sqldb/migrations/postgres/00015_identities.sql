-- +goose Up
-- Who a learner is at another issuer. hash is the SHA-256 of issuer and
-- subject.
CREATE TABLE identities (
  hash       TEXT PRIMARY KEY,
  issuer     TEXT NOT NULL,
  subject    TEXT NOT NULL,
  learner_id TEXT NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
  created_at BIGINT NOT NULL
);
CREATE INDEX identities_learner ON identities (learner_id);
-- Tokens of an identity that were issued before tokens_from are refused. It has
-- no reference: it must outlive an erased account as long as its tokens live.
CREATE TABLE identity_marks (
  hash        TEXT PRIMARY KEY,
  tokens_from BIGINT NOT NULL,
  until       BIGINT NOT NULL
);
CREATE INDEX identity_marks_until ON identity_marks (until);
-- '' is our own issuer; logins of another one are families like ours.
ALTER TABLE refresh_families ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
-- Which login an access token of another issuer belongs to, by a hash.
CREATE TABLE foreign_tokens (
  hash       TEXT PRIMARY KEY,
  family     TEXT NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
  expires_at BIGINT NOT NULL
);
CREATE INDEX foreign_tokens_family ON foreign_tokens (family);
CREATE INDEX foreign_tokens_expires ON foreign_tokens (expires_at);

-- +goose Down
DROP TABLE foreign_tokens;
ALTER TABLE refresh_families DROP COLUMN issuer;
DROP TABLE identity_marks;
DROP TABLE identities;
