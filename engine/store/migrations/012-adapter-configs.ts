/** What the config of a version was, besides its numbers; null where it is not known, and where both are in one file. */
export const adapterConfigs = `ALTER TABLE adapters ADD COLUMN config_hash TEXT;`;
