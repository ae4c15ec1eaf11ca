/**
 * Makes the first tables. Rows are ordered by `sequence`; times are UTC milliseconds; lists and records within a row are JSON.
 */
export const initial = `
  CREATE TABLE projects (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE models (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    embedded INTEGER NOT NULL CHECK (embedded IN (0, 1)),
    info TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (project_id, path)
  ) STRICT;

  CREATE TABLE datasets (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    train_paths TEXT NOT NULL,
    eval_paths TEXT NOT NULL,
    format TEXT NOT NULL,
    train_rows INTEGER NOT NULL,
    eval_rows INTEGER NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    colour INTEGER NOT NULL CHECK (colour BETWEEN 1 AND 8),
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'stopped', 'interrupted', 'failed')),
    phase TEXT NOT NULL,
    model_id TEXT REFERENCES models (id) ON DELETE SET NULL,
    model_name TEXT NOT NULL,
    model_path TEXT NOT NULL,
    dataset_id TEXT REFERENCES datasets (id) ON DELETE SET NULL,
    dataset_name TEXT NOT NULL,
    -- What the job needs to go on: data, start adapter, what to do with bad rows.
    job TEXT NOT NULL,
    recipe TEXT NOT NULL,
    device TEXT NOT NULL,
    out TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    total_steps INTEGER NOT NULL DEFAULT 0,
    seconds_left REAL,
    trainable_parameters INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    notes TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',
    -- Identity of the process that trains it, while it runs.
    process TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
  ) STRICT;

  CREATE TABLE step_metrics (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    loss REAL NOT NULL,
    learning_rate REAL NOT NULL,
    gradient_norm REAL NOT NULL,
    supervised_tokens INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    memory INTEGER NOT NULL,
    epoch REAL NOT NULL,
    PRIMARY KEY (run_id, step)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE eval_metrics (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    eval_loss REAL NOT NULL,
    PRIMARY KEY (run_id, step)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE samples (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    prompt_text TEXT NOT NULL,
    expected TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run_id, step, prompt)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE checkpoints (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, step)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE log_lines (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    text TEXT NOT NULL
  ) STRICT;
  CREATE INDEX log_lines_of_run ON log_lines (run_id, sequence);

  CREATE TABLE adapters (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    run_id TEXT REFERENCES runs (id) ON DELETE SET NULL,
    run_name TEXT,
    step INTEGER,
    model_id TEXT REFERENCES models (id) ON DELETE SET NULL,
    model_name TEXT NOT NULL,
    model_path TEXT NOT NULL,
    dataset_name TEXT,
    rank INTEGER NOT NULL,
    alpha REAL NOT NULL,
    target_modules TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    hash TEXT NOT NULL,
    eval_loss REAL,
    tag TEXT CHECK (tag IN ('candidate', 'best', 'shipped')),
    created_at INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE exports (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    adapter_id TEXT REFERENCES adapters (id) ON DELETE SET NULL,
    adapter_name TEXT NOT NULL,
    model_name TEXT NOT NULL,
    format TEXT NOT NULL,
    quantization TEXT,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'stopped')),
    proof TEXT,
    problem TEXT,
    created_at INTEGER NOT NULL
  ) STRICT;

  -- The first-start sample: one, or none yet.
  CREATE TABLE sample (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT NOT NULL
  ) STRICT;
`;
