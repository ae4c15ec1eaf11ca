/**
 * Adds what an evaluator said of each answer of a run. Earlier answers have no verdict stored, and are judged when they are
 * read.
 */
export const verdicts = `ALTER TABLE samples ADD COLUMN verdict TEXT;`;
