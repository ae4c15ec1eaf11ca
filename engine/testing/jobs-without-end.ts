/** Runs a job that does not end by itself, in the way that the `path` of an inspection names. */
import { heartbeatArgument, startHeartbeat } from '../jobs/heartbeat.ts';
import type { JobCommand } from '../contract.ts';

if (process.argv.includes(heartbeatArgument)) startHeartbeat();
const ways: Readonly<Record<string, () => void>> = {
  /** Hangs like a native call that never returns. */
  blocks: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  /** Hangs like a slow step. */
  computes: () => {
    const until = performance.now() + 2000;
    while (performance.now() < until);
    process.send!({ type: 'done', result: 'computed' }, () => process.kill(process.pid, 'SIGKILL'));
  },
  /** Waits like a chat that nobody asks anything. */
  waits: () => void setInterval(() => {}, 1e6),
  /** Hangs like a job whose native threads continue after the result. */
  lingers: () => void process.send!({ type: 'done', result: 'lingered' }),
  fillsHeap: () => {
    const held: object[] = [];
    for (;;) held.push({ held: held.length, more: [held.length] });
  },
};
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', (command: JobCommand) => {
  if (command.type === 'start' && command.spec.kind === 'inspect') ways[command.spec.path]!();
});
