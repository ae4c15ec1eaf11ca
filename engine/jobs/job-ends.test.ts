/** The end of a job is certain and reported when its process is suspended, hangs, lingers or runs out of memory. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { heartbeatArgument, heartbeatDescriptor } from './heartbeat.ts';
import { spawnJob } from './spawn.ts';
import { type Job, Supervisor } from './supervisor.ts';

const folder = mkdtempSync(join(tmpdir(), 'job-ends-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const program = fileURLToPath(new URL('../testing/jobs-without-end.ts', import.meta.url));
const quick = { silent: 2, idle: 1, leave: 0.5 };

function start(way: string, patience = quick): Job {
  const supervisor = new Supervisor((spec) => spawnJob(spec, folder, program), patience);
  return supervisor.start({ kind: 'inspect', path: way });
}

const isThere = (pid: number): boolean => {
  try {
    // proc(5): a process that has ended and was not waited for is a zombie.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
};

// How a process stands can be told in so short a time on Linux alone.
test
  .runIf(process.platform === 'linux')
  .concurrent('a process that was halted, and one in a call that never returns, are noticed, ended and said', async () => {
    const [halted, blocked] = [start('waits'), start('blocks')];
    setTimeout(() => process.kill(halted.pid!, 'SIGSTOP'), 500);
    for (const job of [halted, blocked]) {
      await expect(job.finished).rejects.toMatchObject({
        code: 'job-crashed',
        message: expect.stringMatching(/gave no sign of life for \d seconds and was ended/),
      });
      expect(isThere(job.pid!)).toBe(false);
    }
  });

test.concurrent('a step is never taken to hang for being slow, nor a process for having nothing to do', async () => {
  const waiting = start('waits');
  await expect(start('computes').finished).resolves.toBe('computed');
  expect(waiting.ended).toBe(false);
  waiting.kill();
  await expect(waiting.finished).rejects.toMatchObject({ code: 'stopped' });
});

test.concurrent('memory that its own data has exhausted is named, and no tokenizer blamed', async () => {
  const spawnSmall = (spec: Parameters<typeof spawnJob>[0]) => spawnJob(spec, folder, program, ['--max-old-space-size=24']);
  const job = new Supervisor(spawnSmall).start({ kind: 'inspect', path: 'fillsHeap' });
  await expect(job.finished).rejects.toMatchObject({
    code: 'out-of-memory',
    hint: expect.stringContaining('fewer or shorter rows'),
  });
});

test.concurrent('a process that has given its result and does not leave is made to', async () => {
  const job = start('lingers');
  await expect(job.finished).resolves.toBe('lingered');
  expect(isThere(job.pid!)).toBe(false);
});

test.concurrent('a process in a call that never returns ends with its host', async () => {
  const child = fork(program, [heartbeatArgument], { stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'] });
  child.send({ type: 'start', spec: { kind: 'inspect', path: 'blocks' } });
  const heartbeat = child.stdio[heartbeatDescriptor] as Readable;
  await once(heartbeat, 'data');
  // Of a host that is gone there is no end of the channels any more.
  heartbeat.destroy();
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
});

test.concurrent('a process that ends because of one request does not give its failure to another', async () => {
  const modelPath = join(folder, 'foreign-tokenizer');
  cpSync(fileURLToPath(new URL('../../resources/tiny/model', import.meta.url)), modelPath, { recursive: true });
  const tokenizer = join(modelPath, 'tokenizer.json');
  const parts = JSON.parse(readFileSync(tokenizer, 'utf8')) as object;
  writeFileSync(tokenizer, JSON.stringify({ ...parts, pre_tokenizer: { type: 'Unheard' } }));
  const rows = join(folder, 'rows.jsonl');
  writeFileSync(rows, '{"text": "a"}\n');
  const job = new Supervisor((spec) => spawnJob(spec, folder)).start({
    kind: 'data',
    model: { path: modelPath },
    cacheDir: folder,
  });
  const [own, after] = await Promise.allSettled([
    job.request({ name: 'render', data: { paths: [rows] }, offset: 0 }),
    job.finished.catch(() => job.request({ name: 'render', data: { paths: [rows] }, offset: 0 })),
  ]);
  expect(own).toMatchObject({ reason: { code: 'tokenizer-unsupported' } });
  expect(after).toMatchObject({ reason: { code: 'stopped', hint: 'Try again.' } });
  await expect(job.finished).rejects.toMatchObject({ code: 'job-crashed', hint: 'Try again.' });
});
