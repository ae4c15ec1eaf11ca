/** Lets work end at a certain change of the disk. From there on nothing changes any more, as if it had been killed. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

type Change = (...args: unknown[]) => unknown;

/** Lists every call by which files here are created, changed, renamed or removed. */
const changes = [
  ...['writeSync', 'fsyncSync', 'renameSync', 'mkdirSync', 'rmdirSync', 'rmSync', 'writeFileSync', 'truncateSync'],
  ...['unlinkSync', 'copyFileSync', 'linkSync', 'appendFileSync'],
] as const;

class Killed extends Error {}

/** Runs `work` and kills it at its `at`-th change. Returns how many there were, and whether it came to its end. */
export async function killedAt(at: number, work: () => Promise<unknown>): Promise<{ changes: number; finished: boolean }> {
  const functions = fs as unknown as Record<string, Change>;
  const kept = new Map<string, Change>();
  let count = 0;
  const wrap = (name: string, isChange: (args: readonly unknown[]) => boolean): void => {
    const own = functions[name]!;
    kept.set(name, own);
    functions[name] = (...args) => {
      if (!isChange(args)) return own(...args);
      count++;
      if (count >= at) throw new Killed(`killed at change ${at}`);
      return own(...args);
    };
  };
  for (const name of changes) wrap(name, () => true);
  wrap('openSync', ([, flags]) => typeof flags === 'string' && /[wa+]/.test(flags));
  syncBuiltinESMExports();
  try {
    await work();
    return { changes: count, finished: count < at };
  } catch (error) {
    if (count < at) throw error;
    return { changes: count, finished: false };
  } finally {
    for (const [name, own] of kept) functions[name] = own;
    syncBuiltinESMExports();
  }
}
