/**
 * Adds evaluations: who was compared on which rows, how far that is, and what came of it. The answers and the report are files in
 * a folder of the data folder.
 */
export const evaluations = `
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
`;
