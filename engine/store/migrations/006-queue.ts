/** Stores the queue, so that it survives the host, and how far the folder of each run has been read. */
export const queue = `
  -- What goes on by itself when a host starts: first the run that trains, then those that wait. Runs of a client are not in it.
  CREATE TABLE queue (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    -- The fields that were asked for, and the job, which may be another than that of the run's beginning.
    recipe TEXT NOT NULL,
    job TEXT NOT NULL,
    -- The step of the checkpoint from which a host put it on by itself; null until one has.
    continued_from INTEGER
  ) STRICT;
  -- Bytes of the folder's files that are stored.
  ALTER TABLE runs ADD COLUMN metrics_read INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE runs ADD COLUMN events_read INTEGER NOT NULL DEFAULT 0;
`;
