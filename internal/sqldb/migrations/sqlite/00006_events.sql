-- +goose Up
-- What happened, one row per event, written in the transaction that changed
-- the data. Rows are only added; erasing takes data and salt away and leaves
-- the hashes, so that the chain stays whole.
CREATE TABLE events (
  id          TEXT PRIMARY KEY,
  type        TEXT NOT NULL,
  version     BIGINT NOT NULL,
  kind        TEXT NOT NULL,
  aggregate   TEXT NOT NULL,
  seq         BIGINT NOT NULL,
  actor       TEXT NOT NULL,
  correlation TEXT NOT NULL,
  at          BIGINT NOT NULL,
  data        TEXT,
  salt        TEXT NOT NULL,
  data_hash   TEXT NOT NULL,
  prev        TEXT NOT NULL,
  hash        TEXT NOT NULL,
  erased_at   BIGINT,
  UNIQUE (kind, aggregate, seq)
);
CREATE INDEX events_type ON events (type, at);
CREATE INDEX events_at ON events (at);
-- The newest event of each aggregate; its row is the lock of appending.
CREATE TABLE event_heads (
  kind      TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  seq       BIGINT NOT NULL,
  hash      TEXT NOT NULL,
  PRIMARY KEY (kind, aggregate)
);
-- The order of all events, given after their commit, with a chain of its own.
CREATE TABLE event_log (
  position  BIGINT PRIMARY KEY,
  event     TEXT NOT NULL UNIQUE REFERENCES events (id),
  hash      TEXT NOT NULL,
  sealed_at BIGINT NOT NULL
);
-- One row: where event_log ends. It is the lock of sealing.
CREATE TABLE event_seal (
  id       BIGINT PRIMARY KEY CHECK (id = 1),
  position BIGINT NOT NULL,
  hash     TEXT NOT NULL
);
INSERT INTO event_seal (id, position, hash) VALUES (1, 0, '');
-- What is still on its way: a row goes when every group that wants it has it.
CREATE TABLE event_outbox (
  n        INTEGER PRIMARY KEY AUTOINCREMENT,
  event    TEXT NOT NULL UNIQUE,
  type     TEXT NOT NULL,
  position BIGINT UNIQUE
);
CREATE INDEX event_outbox_open ON event_outbox (n) WHERE position IS NULL;
-- How far a group is with an event: failing, done, dead, replay or dropped.
CREATE TABLE event_handled (
  grp     TEXT NOT NULL,
  event   TEXT NOT NULL,
  outcome TEXT NOT NULL,
  tries   BIGINT NOT NULL,
  reason  TEXT NOT NULL,
  at      BIGINT NOT NULL,
  PRIMARY KEY (grp, event)
);
CREATE INDEX event_handled_event ON event_handled (event);
CREATE INDEX event_handled_open ON event_handled (grp, outcome, at) WHERE outcome <> 'done';
CREATE INDEX event_handled_at ON event_handled (at);
-- Mails by their key, so that a job that runs twice sends once.
CREATE TABLE mails (
  key     TEXT PRIMARY KEY,
  state   TEXT NOT NULL,
  at      BIGINT NOT NULL
);
CREATE INDEX mails_at ON mails (at);
-- Suggestions made from a learner's own choices; basis is what they were made of.
CREATE TABLE recommendations (
  learner_id TEXT PRIMARY KEY,
  basis      TEXT NOT NULL,
  document   TEXT NOT NULL,
  made_at    BIGINT NOT NULL
);

-- +goose Down
DROP TABLE recommendations;
DROP TABLE mails;
DROP TABLE event_handled;
DROP TABLE event_outbox;
DROP TABLE event_seal;
DROP TABLE event_log;
DROP TABLE event_heads;
DROP TABLE events;
