-- +goose Up
-- The day as YYYY-MM-DD, '' where none was asked for: v2 only asks whether the
-- age suffices.
ALTER TABLE learners ADD COLUMN date_of_birth TEXT NOT NULL DEFAULT '';
-- +goose Down
ALTER TABLE learners DROP COLUMN date_of_birth;
