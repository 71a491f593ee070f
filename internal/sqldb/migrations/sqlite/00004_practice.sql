-- +goose Up
CREATE TABLE scenarios (
  id         TEXT PRIMARY KEY,
  owner      TEXT NOT NULL,
  request_id TEXT NOT NULL UNIQUE,
  document   TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX scenarios_owner ON scenarios (owner, created_at, id);
CREATE TABLE scenario_counters (
  owner TEXT PRIMARY KEY,
  n     BIGINT NOT NULL
);

-- +goose Down
DROP TABLE scenario_counters;
DROP TABLE scenarios;
