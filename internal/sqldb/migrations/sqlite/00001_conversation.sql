-- +goose Up
CREATE TABLE nodes (
  node_id   TEXT PRIMARY KEY,
  instance  TEXT NOT NULL,
  boot_id   TEXT NOT NULL,
  addr      TEXT NOT NULL,
  version   TEXT NOT NULL,
  state     TEXT NOT NULL,
  hb        BIGINT NOT NULL,
  started_at BIGINT NOT NULL
);
CREATE TABLE redis_incarnations (
  identity TEXT PRIMARY KEY,
  inc      BIGINT NOT NULL UNIQUE
);
CREATE TABLE conversations (
  id         TEXT PRIMARY KEY,
  kind       TEXT NOT NULL,
  owner      TEXT NOT NULL,
  client_id  TEXT NOT NULL,
  title      TEXT NOT NULL,
  meta       TEXT NOT NULL,
  state      TEXT NOT NULL,
  fence      BIGINT NOT NULL,
  log_epoch  BIGINT NOT NULL,
  log_nonce  TEXT,
  log_fence  BIGINT NOT NULL,
  turns      BIGINT NOT NULL,
  runs       BIGINT NOT NULL,
  facts      BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  UNIQUE (owner, kind, client_id)
);
CREATE INDEX conversations_owner ON conversations (owner, kind, created_at);
CREATE TABLE turns (
  conversation TEXT NOT NULL REFERENCES conversations (id),
  n          BIGINT NOT NULL,
  id         TEXT NOT NULL UNIQUE,
  author     TEXT NOT NULL,
  client_id  TEXT,
  run        BIGINT NOT NULL,
  text       TEXT NOT NULL,
  text_sha   TEXT NOT NULL,
  finish     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (conversation, n),
  UNIQUE (conversation, client_id)
);
CREATE TABLE runs (
  conversation TEXT NOT NULL REFERENCES conversations (id),
  run        BIGINT NOT NULL,
  purpose    TEXT NOT NULL,
  parent     BIGINT NOT NULL,
  message_id TEXT NOT NULL,
  state      TEXT NOT NULL,
  attempt    BIGINT NOT NULL,
  fence      BIGINT NOT NULL,
  owner      TEXT NOT NULL,
  base       BIGINT NOT NULL,
  text       TEXT NOT NULL,
  text_len   BIGINT NOT NULL,
  finish     TEXT NOT NULL,
  cancel     BIGINT NOT NULL,
  handoffs   BIGINT NOT NULL,
  correlation TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (conversation, run)
);
CREATE INDEX runs_open ON runs (conversation, run) WHERE state IN ('pending', 'running');
CREATE TABLE facts (
  conversation TEXT NOT NULL REFERENCES conversations (id),
  n          BIGINT NOT NULL,
  type       TEXT NOT NULL,
  run        BIGINT NOT NULL,
  attempt    BIGINT NOT NULL,
  base       BIGINT NOT NULL,
  data       TEXT NOT NULL,
  turn       BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (conversation, n)
);

-- +goose Down
DROP TABLE facts;
DROP TABLE runs;
DROP TABLE turns;
DROP TABLE conversations;
DROP TABLE redis_incarnations;
DROP TABLE nodes;
