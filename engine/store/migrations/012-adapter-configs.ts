/**
 * Records the hash of the config of an adapter version. It is null where it is not known, and where config and numbers are in
 * one file.
 */
export const adapterConfigs = `ALTER TABLE adapters ADD COLUMN config_hash TEXT;`;
