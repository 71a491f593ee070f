-- +goose Up
-- What the clean-up looks for.
CREATE INDEX refresh_families_idle ON refresh_families (idle_until);
CREATE INDEX refresh_families_revoked ON refresh_families (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX mail_secrets_expires ON mail_secrets (expires_at);
CREATE INDEX learners_unconfirmed ON learners (created_at) WHERE deactivated_by = 'unconfirmed';

-- +goose Down
DROP INDEX learners_unconfirmed;
DROP INDEX mail_secrets_expires;
DROP INDEX refresh_families_revoked;
DROP INDEX refresh_families_idle;
