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
    created_at INTEGER NOT NULL
  , version_id TEXT) STRICT;
CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    colour INTEGER NOT NULL CHECK (colour BETWEEN 1 AND 8),
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
  , state TEXT NOT NULL DEFAULT 'queued'
    CHECK (state IN ('queued', 'running', 'paused', 'done', 'stopped', 'interrupted', 'failed')), seconds REAL NOT NULL DEFAULT 0, peak_memory INTEGER NOT NULL DEFAULT 0, last_loss REAL, warm_tokens INTEGER NOT NULL DEFAULT 0, warm_seconds REAL NOT NULL DEFAULT 0, metrics_read INTEGER NOT NULL DEFAULT 0, events_read INTEGER NOT NULL DEFAULT 0, measures TEXT NOT NULL DEFAULT '{}', version_id TEXT REFERENCES dataset_versions (id) ON DELETE SET NULL) STRICT;
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
    epoch REAL NOT NULL, measures TEXT,
    PRIMARY KEY (run_id, step)
  ) STRICT, WITHOUT ROWID;
CREATE TABLE samples (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    prompt_text TEXT NOT NULL,
    expected TEXT NOT NULL,
    text TEXT NOT NULL, verdict TEXT,
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
  , config_hash TEXT) STRICT;
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
  , files TEXT NOT NULL DEFAULT '[]') STRICT;
CREATE TABLE sample (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    state TEXT NOT NULL
  ) STRICT;
CREATE TABLE memory_measures (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    model_path TEXT NOT NULL,
    recipe TEXT NOT NULL,
    longest INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    run_name TEXT NOT NULL,
    UNIQUE (model_path, recipe, longest)
  ) STRICT;
CREATE TABLE queue (
    run_id TEXT NOT NULL PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    -- The fields that were asked for, and the job, which may be another than that of the run's beginning.
    recipe TEXT NOT NULL,
    job TEXT NOT NULL,
    -- The step of the checkpoint from which a host put it on by itself; null until one has.
    continued_from INTEGER
  ) STRICT;
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
CREATE TABLE dataset_versions (
    id TEXT NOT NULL UNIQUE,
    dataset_id TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    -- From 1 within its data set.
    sequence INTEGER NOT NULL,
    -- A list of {path, split, bytes, sha256}.
    files TEXT NOT NULL,
    mapping TEXT,
    format TEXT NOT NULL,
    train_rows INTEGER NOT NULL,
    eval_rows INTEGER NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL, changes TEXT NOT NULL DEFAULT '[]', parent INTEGER, mix TEXT,
    UNIQUE (dataset_id, sequence)
  ) STRICT;
CREATE TABLE evaluations (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    model_name TEXT NOT NULL,
    model_path TEXT NOT NULL,
    data_name TEXT NOT NULL,
    -- An EvaluationRequest.
    request TEXT NOT NULL,
    -- A list of names.
    contestants TEXT NOT NULL,
    rows INTEGER,
    answered INTEGER NOT NULL,
    answers INTEGER,
    rows_hash TEXT,
    verdict TEXT,
    problem TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
  ) STRICT;
CREATE INDEX evaluations_of_rows ON evaluations (rows_hash);
INSERT INTO projects VALUES (1, 'p', 'Übung', 1);
INSERT INTO projects VALUES (2, 'q', 'Second', 2);
INSERT INTO models VALUES (1, 'm', 'p', '/models/tiny', 0, '{"name":"Tiny","family":"llama","layers":2,"linears":[]}', 3);
INSERT INTO datasets VALUES (1, 'd', 'p', 'it''s rows', 4, NULL);
INSERT INTO datasets VALUES (2, 'x', 'p', 'Mixed', 13, NULL);
INSERT INTO runs VALUES (1, 'r', 'p', 'First', 1, '', 'm', 'Tiny', '/models/tiny', 'd', 'rows', '{"data":{"paths":["/a.jsonl"],"evalPaths":[]}}', '{"rank":4}', 'cpu', '/runs/r', 3, 3, NULL, 0, NULL, 'a note', '["a"]', NULL, 5, 9, 'done', 1, 3000, 2.5, 24, 0.5, 0, 0, '{"loss":{"last":1.75,"best":1.5,"bestStep":2}}', 'd-1');
INSERT INTO runs VALUES (2, 's', 'q', 'Second', 8, '', NULL, 'Tiny', '/models/tiny', NULL, 'rows', '{"data":{"paths":[],"evalPaths":[]}}', '{"rank":8}', 'cpu', '/runs/s', 1, 9, 2.5, 0, '{"code":"disk-full","message":"Full.","hint":"Free."}', '', '[]', NULL, 6, 10, 'failed', 0.5, 1000, 4, 0, 0, 0, 0, '{}', NULL);
INSERT INTO runs VALUES (3, 't', 'p', 'Third', 2, '', 'm', 'Tiny', '/models/tiny', 'd', 'rows', '{}', '{}', 'cuda', '/runs/t', 0, 5, NULL, 0, NULL, '', '[]', '{"pid":4,"started":"77"}', 7, NULL, 'interrupted', 0, 0, NULL, 0, 0, 77, 99, '{}', NULL);
INSERT INTO step_metrics VALUES ('r', 1, 3.5, 0.001, 2, 10, 12, 0.5, 1000, 0, NULL);
INSERT INTO step_metrics VALUES ('r', 2, 2.25, 0.001, 2, 10, 12, 0.25, 3000, 0.5, NULL);
INSERT INTO step_metrics VALUES ('r', 3, 2.5, 0.0005, 1.5, 10, 12, 0.25, 2000, 1, NULL);
INSERT INTO step_metrics VALUES ('s', 1, 4, 0.001, 2, 10, 12, 0.5, 1000, 0, NULL);
INSERT INTO samples VALUES ('r', 2, 0, 'Say it', 'it', 'it', NULL);
INSERT INTO samples VALUES ('r', 2, 1, 'Say
      two', 'two', 'zwei', NULL);
INSERT INTO checkpoints VALUES ('r', 3, '/runs/r/checkpoint-3', 99, 8);
INSERT INTO log_lines VALUES (1, 'r', 5, 'Started.');
INSERT INTO log_lines VALUES (2, 'r', 9, 'Done.');
INSERT INTO log_lines VALUES (3, 's', 10, 'Full.');
INSERT INTO adapters VALUES (1, 'a', 'p', 'First', '/runs/r/adapter', 'r', 'First', 3, 'm', 'Tiny', '/models/tiny', 'rows', 4, 8, '["q_proj"]', 64, 256, 'h', 1.75, 'best', 11, NULL);
INSERT INTO exports VALUES (1, 'e', 'p', 'a', 'First', 'Tiny', 'gguf', 'q8_0', '/e.gguf', 5, 'done', NULL, NULL, 12, '[{"name":"e.gguf","bytes":5,"sha256":"00"}]');
INSERT INTO sample VALUES (1, '{"phase":"done","projectId":"p"}');
INSERT INTO memory_measures VALUES (1, '/models/tiny', '{"rank":4}', 12, 3000, 'First');
INSERT INTO queue VALUES ('t', 3, '{"maxSteps":9}', '{"data":{"paths":["/a.jsonl"],"evalPaths":[]}}', 2);
INSERT INTO measures VALUES (1, 'run', 'r', 2, 'loss', 1.5);
INSERT INTO measures VALUES (2, 'run', 'r', 3, 'loss', 1.75);
INSERT INTO dataset_versions VALUES ('d-1', 'd', 1, '[{"path":"/a.jsonl","split":"train","bytes":null,"sha256":"h"}]', NULL, 'messages', 3, 0, 'h', 4, '[]', NULL, NULL);
INSERT INTO dataset_versions VALUES ('x-1', 'x', 1, '[{"path":"/a.jsonl","split":"train","bytes":9,"sha256":"00"}]', NULL, 'messages', 5, 0, 'h', 13, '[]', NULL, '{"parts":[{"name":"rows","data":{"paths":["/a.jsonl"]},"repeat":1.5,"version":{"id":"d-1","sequence":1,"dataset":"rows"}}],"seed":7}');
INSERT INTO evaluations VALUES (1, 'v', 'p', 'base, adapter', 'done', 'Tiny', '/models/tiny', 'rows', '{"model":{"id":"m"},"data":{"versionId":"d-1"},"contestants":[{},{"adapter":{"id":"a"}}],"evaluators":["json"]}', '["base","First"]', 3, 6, 6, 'h', '{"code":"cannot-tell","sentence":"Cannot tell."}', NULL, 14, 15);
PRAGMA user_version = 14;
