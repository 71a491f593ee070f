-- +goose Up
-- Logs that were found damaged: what was wrong, and that it was made anew.
CREATE TABLE damages (
  id           TEXT PRIMARY KEY,
  conversation TEXT NOT NULL,
  node         TEXT NOT NULL,
  what         TEXT NOT NULL,
  place        TEXT NOT NULL,
  found_at     BIGINT NOT NULL
);
-- Retention looks for conversations that have long been still, and for erased
-- ones whose log may still be in Redis.
CREATE INDEX conversations_still ON conversations (updated_at) WHERE deleted_at IS NULL;
CREATE INDEX conversations_erased ON conversations (deleted_at) WHERE deleted_at IS NOT NULL;
-- +goose Down
DROP INDEX conversations_erased;
DROP INDEX conversations_still;
DROP TABLE damages;
