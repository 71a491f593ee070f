-- +goose Up
-- version guards every write of an account; pending_email waits for its
-- proof; deactivated_by is '' for an account in use.
ALTER TABLE learners ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE learners ADD COLUMN role TEXT NOT NULL DEFAULT 'learner';
ALTER TABLE learners ADD COLUMN pending_email TEXT NOT NULL DEFAULT '';
ALTER TABLE learners ADD COLUMN email_verified_at BIGINT;
ALTER TABLE learners ADD COLUMN deactivated_at BIGINT;
ALTER TABLE learners ADD COLUMN deactivated_by TEXT NOT NULL DEFAULT '';
-- What the device said of itself when the login began.
ALTER TABLE refresh_families ADD COLUMN device TEXT NOT NULL DEFAULT '';
-- Logins that were ended before their time. Access tokens are checked without
-- SQL; every node reads this list and refuses those of an ended login. It has
-- no reference to the account, because an erased account's tokens count most.
CREATE TABLE ended_logins (
  family     TEXT PRIMARY KEY,
  learner_id TEXT NOT NULL,
  ended_at   BIGINT NOT NULL
);
CREATE INDEX ended_logins_at ON ended_logins (ended_at);
-- The secrets of links in mails, by hash: each works once.
CREATE TABLE mail_secrets (
  hash       TEXT PRIMARY KEY,
  learner_id TEXT NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
  purpose    TEXT NOT NULL,
  email      TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX mail_secrets_learner ON mail_secrets (learner_id, purpose, created_at);

-- +goose Down
DROP TABLE mail_secrets;
DROP TABLE ended_logins;
ALTER TABLE refresh_families DROP COLUMN device;
ALTER TABLE learners DROP COLUMN deactivated_by;
ALTER TABLE learners DROP COLUMN deactivated_at;
ALTER TABLE learners DROP COLUMN email_verified_at;
ALTER TABLE learners DROP COLUMN pending_email;
ALTER TABLE learners DROP COLUMN role;
ALTER TABLE learners DROP COLUMN version;
