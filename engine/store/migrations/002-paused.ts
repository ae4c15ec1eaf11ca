/** Allows runs to be paused. A column's CHECK cannot be changed, so a new column replaces the old one. */
export const paused = `
  ALTER TABLE runs ADD COLUMN new_state TEXT NOT NULL DEFAULT 'queued'
    CHECK (new_state IN ('queued', 'running', 'paused', 'done', 'stopped', 'interrupted', 'failed'));
  UPDATE runs SET new_state = state;
  ALTER TABLE runs DROP COLUMN state;
  ALTER TABLE runs RENAME COLUMN new_state TO state;
`;
