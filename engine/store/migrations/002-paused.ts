/** A run can be paused. A column's CHECK cannot change, so a new column takes its place. */
export const paused = `
  ALTER TABLE runs ADD COLUMN new_state TEXT NOT NULL DEFAULT 'queued'
    CHECK (new_state IN ('queued', 'running', 'paused', 'done', 'stopped', 'interrupted', 'failed'));
  UPDATE runs SET new_state = state;
  ALTER TABLE runs DROP COLUMN state;
  ALTER TABLE runs RENAME COLUMN new_state TO state;
`;
