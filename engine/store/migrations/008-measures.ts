/**
 * Stores any measure of anything, in place of the one evaluation loss of runs. A run keeps the last and the best value of each
 * measure, because they are asked for with every step. A subject can be a row of one of several tables, so triggers replace a
 * foreign key.
 */
export const measures = `
  CREATE TABLE measures (
    sequence INTEGER PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    UNIQUE (subject_kind, subject_id, step, name)
  ) STRICT;
  CREATE TRIGGER measures_need_their_run BEFORE INSERT ON measures
    WHEN NEW.subject_kind = 'run' AND NOT EXISTS (SELECT 1 FROM runs WHERE id = NEW.subject_id)
    BEGIN SELECT RAISE(ABORT, 'there is no such run to measure'); END;
  CREATE TRIGGER measures_go_with_their_run AFTER DELETE ON runs
    BEGIN DELETE FROM measures WHERE subject_kind = 'run' AND subject_id = OLD.id; END;

  INSERT INTO measures (subject_kind, subject_id, step, name, value)
    SELECT 'run', run_id, step, 'loss', eval_loss FROM eval_metrics ORDER BY run_id, step;
  DROP TABLE eval_metrics;

  ALTER TABLE runs ADD COLUMN measures TEXT NOT NULL DEFAULT '{}';
  UPDATE runs SET measures = json_object('loss', json_object(
      'last', last_eval_loss,
      'best', best_eval_loss,
      'bestStep', (SELECT step FROM measures WHERE subject_kind = 'run' AND subject_id = runs.id ORDER BY value, step LIMIT 1)
    )) WHERE best_eval_loss IS NOT NULL;
  ALTER TABLE runs DROP COLUMN last_eval_loss;
  ALTER TABLE runs DROP COLUMN best_eval_loss;
`;
