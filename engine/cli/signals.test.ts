import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const lowrank = fileURLToPath(new URL('../../bin/lowrank.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lowrank-signals-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

/** Starts a command, interrupts it after a time, and returns how it ended. */
function interrupted(milliseconds: number, isTerminal: boolean) {
  const args = [lowrank, 'runs', 'list', '--data-dir', join(folder, 'data')];
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const timer = setTimeout(() => {
    if (child.exitCode === null) process.kill(isTerminal ? -child.pid! : child.pid!, 'SIGINT');
  }, milliseconds);
  return new Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>((done) =>
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      done({ status, signal, stdout, stderr });
    }),
  );
}

test.skipIf(process.platform === 'win32').each([false, true])(
  'Ctrl-C at any moment of the start says so once and exits 130, or finds the command finished (from a terminal: %s)',
  async (isTerminal) => {
    // The first moments belong to Node itself, which a signal ends without a word.
    const delays = Array.from({ length: 6 }, (_, i) => 100 + 120 * i);
    const ends = [];
    for (const delay of delays) ends.push(await interrupted(delay, isTerminal));
    for (const { status, signal, stdout, stderr } of ends) {
      // Behind its last line the command has nothing to stop, and Node is ended without a word while it leaves.
      const isFinished = (status === 0 || signal === 'SIGINT') && stdout.includes('eval loss') && stderr === '';
      const isStopped = status === 130 && stdout === '' && stderr === 'Stopped.\n';
      const isUnstarted = signal === 'SIGINT' && stdout === '' && stderr === '';
      expect([isFinished, isStopped, isUnstarted], JSON.stringify({ status, signal, stdout, stderr })).toContain(true);
    }
    expect(ends.some(({ status }) => status === 130)).toBe(true);
  },
);
