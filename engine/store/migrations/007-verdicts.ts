/** What an evaluator said of each answer of a run. Answers of before have nothing stored: they are judged when they are read. */
export const verdicts = `ALTER TABLE samples ADD COLUMN verdict TEXT;`;
