/**
 * Adds the totals of a run's metrics to the run. They are asked for with every step, and a sum over a million steps takes a
 * second.
 */
export const runTotals = `
  ALTER TABLE runs ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN peak_memory INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN last_loss REAL;
  ALTER TABLE runs ADD COLUMN last_eval_loss REAL;
  ALTER TABLE runs ADD COLUMN best_eval_loss REAL;
  -- Of the steps after the first, which also warms up.
  ALTER TABLE runs ADD COLUMN warm_tokens INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN warm_seconds REAL NOT NULL DEFAULT 0;
  UPDATE runs SET (seconds, peak_memory, warm_tokens, warm_seconds) = (
    SELECT ifnull(sum(seconds), 0), ifnull(max(memory), 0),
      ifnull(sum(tokens) FILTER (WHERE step > 1), 0), ifnull(sum(seconds) FILTER (WHERE step > 1), 0)
    FROM step_metrics WHERE run_id = runs.id);
  UPDATE runs SET
    last_loss = (SELECT loss FROM step_metrics WHERE run_id = runs.id ORDER BY step DESC LIMIT 1),
    last_eval_loss = (SELECT eval_loss FROM eval_metrics WHERE run_id = runs.id ORDER BY step DESC LIMIT 1),
    best_eval_loss = (SELECT min(eval_loss) FROM eval_metrics WHERE run_id = runs.id);
`;
