/**
 * Records for each version what was done to the rows of its files and which version it was made from, and for each data set
 * which version is the present one, so that a person can go back.
 */
export const datasetChanges = `
  -- A list of DataChange.
  ALTER TABLE dataset_versions ADD COLUMN changes TEXT NOT NULL DEFAULT '[]';
  -- The sequence of the version that it was made of.
  ALTER TABLE dataset_versions ADD COLUMN parent INTEGER;
  UPDATE dataset_versions SET parent = sequence - 1 WHERE sequence > 1;
  -- Null: the newest.
  ALTER TABLE datasets ADD COLUMN version_id TEXT;
`;
