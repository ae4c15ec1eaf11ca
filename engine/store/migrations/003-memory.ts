/** Adds how much memory runs really took. */
export const memory = `
  CREATE TABLE memory_measures (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    model_path TEXT NOT NULL,
    recipe TEXT NOT NULL,
    longest INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    run_name TEXT NOT NULL,
    UNIQUE (model_path, recipe, longest)
  ) STRICT;
`;
