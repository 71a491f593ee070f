-- +goose Up
-- What calls to models cost: a row a day and learner, learner '' for all.
CREATE TABLE upstream_usage (
  day        TEXT NOT NULL,
  learner    TEXT NOT NULL,
  tokens     BIGINT NOT NULL,
  micros     BIGINT NOT NULL,
  calls      BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (day, learner)
);

-- +goose Down
DROP TABLE upstream_usage;
