-- +goose Up
-- One document per learner: the profile is read and written whole, its rules
-- live in the aggregate, and version guards every write.
CREATE TABLE onboarding_profiles (
  learner_id TEXT PRIMARY KEY,
  version    BIGINT NOT NULL,
  complete   BIGINT NOT NULL,
  document   TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE onboarding_profiles;
