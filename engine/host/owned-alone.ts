/** Closes a data folder to other people of this computer, because private data trains models. */
import { chmodSync, existsSync, lstatSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { ProblemValue } from '../problem.ts';

/** Lists the folders that the studio itself makes in a data folder. What is in them is closed by closing them. */
const folders = ['host', 'cache', 'backups', 'damaged', 'healing', 'runs', 'data', 'adapters'];

/**
 * Revokes the access of other users to the data folder and its content, including access granted earlier. Returns what to tell
 * people when the folder belongs to somebody else, or when access cannot be revoked; null when nobody else has access.
 */
export function ownedAlone(dataDir: string): ProblemValue | null {
  // On Windows a folder inside a person's own is accessible to that person alone.
  if (process.platform === 'win32') return null;
  const { uid } = userInfo();
  const owner = lstatSync(dataDir).uid;
  if (owner !== uid)
    return {
      code: 'not-allowed',
      message: `The data folder ${dataDir} belongs to another user (id ${owner}), who can read and change everything in it.`,
      hint: 'Choose a data folder of your own with --data-dir or LOWRANK_HOME.',
    };
  const files = readdirSync(dataDir).filter((name) => name.startsWith('studio.sqlite') || name === 'notices.json');
  close(dataDir, 0o700);
  for (const name of folders) if (existsSync(join(dataDir, name))) close(join(dataDir, name), 0o700);
  for (const name of files) close(join(dataDir, name), 0o600);
  // Some file systems have no permissions, and ignore attempts to set them.
  if ((lstatSync(dataDir).mode & 0o077) === 0) return null;
  return {
    code: 'not-allowed',
    message: `Other users of this computer can read the data folder ${dataDir}, because its file system does not support file permissions.`,
    hint: 'If that matters, choose a data folder on another disk with --data-dir or LOWRANK_HOME.',
  };
}

/** Sets the rights of a file or folder that others have rights to, but never through a link. */
function close(path: string, mode: number): void {
  const status = lstatSync(path);
  if (status.isSymbolicLink() || (status.mode & 0o077) === 0) return;
  try {
    chmodSync(path, mode);
  } catch (error) {
    console.error(`${path} is still readable by other users: ${(error as Error).message}`);
  }
}
