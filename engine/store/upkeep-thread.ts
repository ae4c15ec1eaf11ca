/** Copies and checks the database of `workerData.dataDir` once, in a thread, and says what it found. */
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { toProblemValue } from '../problem.ts';
import { backUpDay } from './backups.ts';
import { checkWhole, isDamage } from './check.ts';
import type { UpkeepResult } from './upkeep.ts';

const { dataDir } = workerData as { dataDir: string };

async function work(): Promise<UpkeepResult> {
  const db = new Database(join(dataDir, 'studio.sqlite'), { readonly: true, fileMustExist: true });
  try {
    await backUpDay(db, dataDir, new Date());
    return { damage: null, failure: null };
  } catch (error) {
    if (!isDamage(error)) return { damage: null, failure: toProblemValue(error) };
    const damage = checkWhole(db);
    if (damage !== null) return { damage, failure: null };
    const message = `A new backup of the database turned out to be damaged: ${(error as Error).message}.`;
    const hint = 'The database itself is intact. Check the disk, which may be failing.';
    return { damage: null, failure: { code: 'store-damaged', message, hint } };
  } finally {
    db.close();
  }
}

parentPort!.postMessage(await work());
