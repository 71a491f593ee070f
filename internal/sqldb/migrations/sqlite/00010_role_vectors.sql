-- +goose Up
-- What a model of embeddings makes of the reference roles: digest is of the
-- text it was made from, values are little-endian float32 in base64.
CREATE TABLE onboarding_role_vectors (
  model      TEXT NOT NULL,
  role       TEXT NOT NULL,
  digest     TEXT NOT NULL,
  dimensions BIGINT NOT NULL,
  vector     TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (model, role)
);

-- +goose Down
DROP TABLE onboarding_role_vectors;
