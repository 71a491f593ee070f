-- +goose Up
CREATE TABLE learners (
  id            TEXT PRIMARY KEY,
  email         TEXT NOT NULL UNIQUE,
  full_name     TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  -- When the terms were accepted and the age was confirmed: both are asked at
  -- sign-up, and an account without them does not come to be.
  consented_at  BIGINT NOT NULL,
  created_at    BIGINT NOT NULL
);
-- A family is one login: the chain of refresh tokens that grew from it.
CREATE TABLE refresh_families (
  id         TEXT PRIMARY KEY,
  learner_id TEXT NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  rotated_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  idle_until BIGINT NOT NULL,
  revoked_at BIGINT,
  revoked_for TEXT NOT NULL
);
CREATE INDEX refresh_families_learner ON refresh_families (learner_id, expires_at);
-- Every token of a family stays known by its hash until the family goes, so
-- that a stolen old one is told from a made-up one.
CREATE TABLE refresh_tokens (
  hash       TEXT PRIMARY KEY,
  family     TEXT NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
  generation BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
-- n is what makes a race of starting nodes end with one key: it is unique.
CREATE TABLE signing_keys (
  n          BIGINT PRIMARY KEY,
  kid        TEXT NOT NULL UNIQUE,
  private    TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE signing_keys;
DROP TABLE refresh_tokens;
DROP TABLE refresh_families;
DROP TABLE learners;
