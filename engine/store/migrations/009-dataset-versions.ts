/**
 * Adds versions of data sets, and the version that a run was trained on. The files that a data set had become its first
 * version. Only one hash over all files was kept when there were several, so the hash of each is not known until the files are
 * hashed again.
 */
export const datasetVersions = `
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
    created_at INTEGER NOT NULL,
    UNIQUE (dataset_id, sequence)
  ) STRICT;
  INSERT INTO dataset_versions (id, dataset_id, sequence, files, format, train_rows, eval_rows, hash, created_at)
    SELECT id || '-1', id, 1,
      CASE WHEN json_valid(train_paths) AND json_valid(eval_paths) THEN (
        SELECT json_group_array(json_object('path', path, 'split', split, 'bytes', NULL,
          'sha256', CASE WHEN json_array_length(train_paths) = 1 AND json_array_length(eval_paths) = 0 THEN hash END))
        FROM (
          SELECT value AS path, 'train' AS split FROM json_each(train_paths)
          UNION ALL SELECT value, 'eval' FROM json_each(eval_paths)))
      ELSE train_paths END,
      format, train_rows, eval_rows, hash, created_at
    FROM datasets;
  ALTER TABLE datasets DROP COLUMN train_paths;
  ALTER TABLE datasets DROP COLUMN eval_paths;
  ALTER TABLE datasets DROP COLUMN format;
  ALTER TABLE datasets DROP COLUMN train_rows;
  ALTER TABLE datasets DROP COLUMN eval_rows;
  ALTER TABLE datasets DROP COLUMN hash;
  ALTER TABLE runs ADD COLUMN version_id TEXT REFERENCES dataset_versions (id) ON DELETE SET NULL;
  -- The data of a run is one thing with its files.
  UPDATE runs SET job = json_remove(
      json_set(job, '$.data', json_object(
        'paths', json(json_extract(job, '$.dataPaths')),
        'evalPaths', json(coalesce(json_extract(job, '$.evalPaths'), '[]')))),
      '$.dataPaths', '$.evalPaths')
    WHERE json_valid(job) AND json_type(job, '$.dataPaths') = 'array';
  UPDATE queue SET job = json_remove(
      json_set(job, '$.data', json_object(
        'paths', json(json_extract(job, '$.dataPaths')),
        'evalPaths', json(coalesce(json_extract(job, '$.evalPaths'), '[]')))),
      '$.dataPaths', '$.evalPaths')
    WHERE json_valid(job) AND json_type(job, '$.dataPaths') = 'array';
`;
