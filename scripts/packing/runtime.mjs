// Says which Electron a package is made with.
import fs from 'node:fs';
import path from 'node:path';
import { SetupError } from '../setup.mjs';

/**
 * Says whether a package may be made with the Electron that was found. Throws where it may not.
 * @param {{ kind: 'own' | 'stand-in', version: string, dist: string }} found what the set-up found
 * @param {string} pinned the version in package.json
 * @param {boolean} allowStandIn whether another version will do, for a smoke test
 * @returns {{ label: string }} what the version and the names of the files get, so that nobody takes the package for a release
 */
export function runtimeToPack(found, pinned, allowStandIn) {
  // Its own word, because the folder may have been put there by hand.
  const version = readVersion(found.dist);
  if (found.kind === 'own' && version === pinned) return { label: '' };
  if (allowStandIn && version !== null) return { label: '-stand-in' };
  throw new SetupError(
    `The application is packed with Electron ${pinned} only, and here is ${version ?? 'none that names its version'}` +
      `${found.kind === 'own' ? '' : ', a stand-in for it'} (${found.dist}). Reach github.com once, or set ELECTRON_MIRROR to a mirror of ` +
      'its releases, and run this again. For a smoke test `--allow-stand-in` packs what is here and names the files so.',
  );
}

function readVersion(dist) {
  try {
    return fs.readFileSync(path.join(dist, 'version'), 'utf8').trim().replace(/^v/, '');
  } catch {
    return null;
  }
}
