/** Adds the parts of a mix to versions of data sets: `{parts, seed}` as in the contract; null where the data set is no mix. */
export const mixes = `ALTER TABLE dataset_versions ADD COLUMN mix TEXT;`;
