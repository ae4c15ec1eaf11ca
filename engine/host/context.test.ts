import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { JobMessage } from '../contract.ts';
import { type JobProcess, Supervisor } from '../jobs/supervisor.ts';
import { type HostContext, runReader } from './context.ts';

/** Makes a job that reports a number of times and then falls silent. */
function contextWith(reports: number): HostContext {
  const spawn = (): JobProcess => {
    let exit: (code: number | null, signal: string | null) => void = () => {};
    const at = { file: '/big.jsonl', firstLine: 7, lastLine: 7 };
    const progress = { phase: '', done: 1, total: 2, unit: 'bytes', secondsLeft: null, at };
    return {
      pid: 1,
      send: () => {},
      onMessage: (say: (message: JobMessage) => void) => {
        void (async () => {
          for (let i = 0; i < reports; i++) {
            await setTimeout(20);
            say({ type: 'progress', progress });
          }
        })();
      },
      onExit: (listener) => (exit = listener),
      kill: () => exit(null, 'SIGKILL'),
    };
  };
  return { supervisor: new Supervisor(spawn), emit: () => {} } as unknown as HostContext;
}

test('a file is read as long as that goes on, and given up by its name and line when it does not', async () => {
  const began = performance.now();
  const read = (reports: number) =>
    runReader(contextWith(reports), { kind: 'inspect', path: '/big.jsonl' }, '/big.jsonl', { silentSeconds: 0.1 });
  await expect(read(0)).rejects.toMatchObject({
    code: 'file-unreadable',
    message: expect.stringMatching(/^Reading \/big.jsonl made/),
  });
  expect(performance.now() - began).toBeGreaterThan(90);
  const later = performance.now();
  await expect(read(20)).rejects.toMatchObject({ message: expect.stringContaining('/big.jsonl, line 7') });
  expect(performance.now() - later).toBeGreaterThan(400);
});
