/** Adds the files that an export wrote, each with its hash. */
export const exportedFiles = `ALTER TABLE exports ADD COLUMN files TEXT NOT NULL DEFAULT '[]';`;
