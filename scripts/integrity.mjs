// Tells whether a file is the one that was meant when its hash was written into the repository.
import { createHash } from 'node:crypto';
import fs from 'node:fs';

/**
 * Says whether a file has the hash that npm's lockfile gives it.
 * @param {string} file
 * @param {string} integrity as npm's lockfile writes it: `sha512-` and the hash in base64
 * @returns {Promise<boolean>}
 */
export async function hasIntegrity(file, integrity) {
  const hash = createHash('sha512');
  for await (const chunk of fs.createReadStream(file)) hash.update(chunk);
  return `sha512-${hash.digest('base64')}` === integrity;
}
