-- +goose Up
-- Turns form a tree: each names the learner's turn before it, and a learner's
-- turn the run whose reply stands between the two. -1 is what a node of an
-- older version leaves out: the turn follows the one before it.
ALTER TABLE turns ADD COLUMN parent BIGINT NOT NULL DEFAULT -1;
ALTER TABLE turns ADD COLUMN after_run BIGINT NOT NULL DEFAULT -1;
UPDATE turns SET
  parent = coalesce((SELECT max(p.n) FROM turns p WHERE p.conversation = turns.conversation AND p.n < turns.n
    AND p.author = 'learner' AND (turns.author = 'learner' OR p.run = turns.run)), 0),
  after_run = CASE WHEN author = 'learner' AND run > 0 THEN run - 1 ELSE 0 END;
-- The run at the tip of the branch that is shown; -1: the newest.
ALTER TABLE conversations ADD COLUMN head BIGINT NOT NULL DEFAULT -1;
-- A reply written anew has no message to carry the learner's key; again_of is
-- the run that it stands beside.
ALTER TABLE runs ADD COLUMN client_key TEXT;
ALTER TABLE runs ADD COLUMN again_of BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX runs_client_key ON runs (conversation, client_key) WHERE client_key IS NOT NULL;

-- +goose Down
DROP INDEX runs_client_key;
ALTER TABLE runs DROP COLUMN again_of;
ALTER TABLE runs DROP COLUMN client_key;
ALTER TABLE conversations DROP COLUMN head;
ALTER TABLE turns DROP COLUMN after_run;
ALTER TABLE turns DROP COLUMN parent;
