/**
 * Trains a run that is killed at a chosen call by which its folder changes. Arguments: the job's spec as JSON, the number of
 * the call.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { JobSpec } from '../contract.ts';

const [spec, at] = process.argv.slice(2) as [string, string];
const train = JSON.parse(spec) as Extract<JobSpec, { kind: 'train' }>;
let count = 0;
const functions = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
for (const name of ['openSync', 'writeSync', 'fsyncSync', 'renameSync', 'mkdirSync', 'rmSync']) {
  const own = functions[name]!;
  functions[name] = (...args) => {
    // What is only read changes nothing.
    if (name === 'openSync' && !/[wa+]/.test(String(args[1]))) return own(...args);
    // A process can also be killed within a call: after half of what it writes.
    if (++count === Number(at)) {
      if (name === 'writeSync' && ArrayBuffer.isView(args[1])) {
        const bytes = args[1] as Uint8Array;
        own(args[0], bytes.subarray(0, bytes.length >> 1));
      }
      process.kill(process.pid, 'SIGKILL');
    }
    return own(...args);
  };
}
syncBuiltinESMExports();

const { runTrain } = await import('../jobs/train.ts');
const never = new Promise<void>(() => {});
await runTrain(train, { send: () => {}, stopRequested: false, onRequest: () => {}, untilStopped: () => never });
console.log(count);
