import { getEventListeners } from 'node:events';
import { expect, test, vi } from 'vitest';
import type { JobCommand, JobMessage, JobSpec } from '../contract.ts';
import { type JobProcess, Supervisor } from './supervisor.ts';

/** Is a job process that exists only as messages. */
class FakeProcess implements JobProcess {
  readonly pid = 1;
  readonly sent: JobCommand[] = [];
  say: (message: JobMessage) => void = () => {};
  exit: (code: number | null, signal: string | null) => void = () => {};
  send(command: JobCommand): void {
    this.sent.push(command);
  }
  onMessage(listener: (message: JobMessage) => void): void {
    this.say = listener;
  }
  onExit(listener: (code: number | null, signal: string | null) => void): void {
    this.exit = listener;
  }
  kill(): void {
    this.exit(null, 'SIGKILL');
  }
}
const start = () => {
  const process = new FakeProcess();
  const supervisor = new Supervisor(() => process);
  return { process, supervisor, job: supervisor.start({ kind: 'inspect', path: '/x' }) };
};

test('the result counts once the process is gone', async () => {
  const { process, supervisor, job } = start();
  process.say({ type: 'done', result: 7 });
  expect(supervisor.jobs.size).toBe(1);
  process.exit(0, null);
  await expect(job.finished).resolves.toBe(7);
  expect(supervisor.jobs.size).toBe(0);
});

test('more jobs than anybody needs are refused, but never a training', () => {
  vi.useFakeTimers();
  const supervisor = new Supervisor(() => new FakeProcess());
  const inspect = () => supervisor.start({ kind: 'inspect', path: '/x' });
  for (let job = 0; job < 32; job++) inspect();
  expect(inspect).toThrow('32 jobs are already running.');
  supervisor.start({ kind: 'train' } as JobSpec);
  expect(supervisor.jobs.size).toBe(33);
  vi.useRealTimers();
});

test('a crash names how the process ended, and waiting requests hear of it', async () => {
  const { process, job } = start();
  const answer = job.request({ name: 'render', data: { paths: [] }, offset: 0 });
  process.exit(null, 'SIGSEGV');
  await expect(job.finished).rejects.toMatchObject({ code: 'job-crashed', message: expect.stringContaining('SIGSEGV') });
  await expect(answer).rejects.toMatchObject({ code: 'job-crashed' });
});

test('a job that does not stop is killed, and that is a stop, not a crash', async () => {
  vi.useFakeTimers();
  const { process, job } = start();
  job.stop(5);
  expect(process.sent.at(-1)).toEqual({ type: 'stop' });
  vi.advanceTimersByTime(5000);
  vi.useRealTimers();
  await expect(job.finished).rejects.toMatchObject({ code: 'stopped' });
});

test('a request that lets nothing be heard kills the job and names the rows it was at', async () => {
  vi.useFakeTimers();
  const { process, job } = start();
  const answer = job.request({ name: 'render', data: { paths: [] }, offset: 0 }, { silenceSeconds: 2 });
  answer.catch(() => {});
  const at = { file: '/data.jsonl', firstLine: 33, lastLine: 64 };
  for (let seconds = 0; seconds < 20; seconds++) {
    vi.advanceTimersByTime(1000);
    process.say({
      type: 'progress',
      request: 1,
      progress: { phase: '', done: seconds, total: 99, unit: 'bytes', secondsLeft: null, at },
    });
  }
  expect(job.ended).toBe(false);
  vi.advanceTimersByTime(2000);
  vi.useRealTimers();
  await expect(answer).rejects.toMatchObject({
    code: 'template-failed',
    message: expect.stringContaining('/data.jsonl, lines 33 to 64') as string,
  });
  expect(job.ended).toBe(true);
});

test('a crash names the rows that were worked on: to each who waits its own, and of a job those it read', async () => {
  const at = (file: string) => ({ file, firstLine: 3, lastLine: 3 });
  const reading = (file: string) => ({ phase: '', done: 0, total: 9, unit: 'bytes', secondsLeft: null, at: at(file) });
  const { process, job } = start();
  const answers = [1, 2].map(() => job.request({ name: 'render', data: { paths: [] }, offset: 0 }));
  for (const request of [1, 2]) process.say({ type: 'progress', request, progress: reading(`/${request}.jsonl`) });
  process.exit(null, 'SIGABRT');
  for (const [i, answer] of answers.entries()) await expect(answer).rejects.toThrow(`/${i + 1}.jsonl, line 3`);

  const [reads, isUnderway] = [start(), start()];
  for (const { process } of [reads, isUnderway]) process.say({ type: 'progress', progress: reading('/rows.jsonl') });
  isUnderway.process.say({ type: 'underway' });
  for (const { process } of [reads, isUnderway]) process.exit(null, 'SIGSEGV');
  await expect(reads.job.finished).rejects.toThrow('/rows.jsonl, line 3');
  await expect(isUnderway.job.finished).rejects.toThrow(/SIGSEGV\)\.$/);
});

test('a process that nobody can end holds up nothing', async () => {
  vi.useFakeTimers();
  const job = new Supervisor(() => ({
    pid: undefined,
    ...{ send: () => {}, onMessage: () => {}, onExit: () => {}, kill: () => {} },
  })).start({ kind: 'inspect', path: '/x' });
  vi.advanceTimersByTime(31_000);
  vi.useRealTimers();
  await expect(job.finished).rejects.toMatchObject({
    code: 'job-crashed',
    message: expect.stringContaining('no sign of life'),
  });
});

test('a stop kills soon while there is nothing to lose, and lets a step and its checkpoint end', async () => {
  vi.useFakeTimers();
  const [early, late] = [start(), start()];
  late.process.say({ type: 'underway' });
  late.process.say({ type: 'written', slowestStep: 30 });
  for (const { job } of [early, late]) job.stop();
  const beating = setInterval(() => late.process.say({ type: 'heartbeat', idleSeconds: 0 }), 500);
  vi.advanceTimersByTime(4000);
  expect([early.job.ended, late.job.ended]).toEqual([true, false]);
  vi.advanceTimersByTime(295_000);
  expect(late.job.ended).toBe(false);
  vi.advanceTimersByTime(1000);
  expect(late.job.ended).toBe(true);
  clearInterval(beating);
  vi.useRealTimers();
  await expect(late.job.finished).rejects.toMatchObject({ code: 'stopped' });
});

test('a job that has ended leaves nothing behind: no listener, no timer', async () => {
  vi.useFakeTimers();
  const client = new AbortController();
  const { signal } = client;
  const process = new FakeProcess();
  const job = new Supervisor(() => process).start({ kind: 'inspect', path: '/x' }, { signal });
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  job.stop();
  process.say({ type: 'done', result: 1 });
  process.exit(0, null);
  await job.finished;
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

test('a request that nobody waits for any more is cancelled, and the job goes on', async () => {
  const { process, job } = start();
  const controller = new AbortController();
  const answer = job.request({ name: 'render', data: { paths: [] }, offset: 0 }, { signal: controller.signal });
  controller.abort();
  await expect(answer).rejects.toMatchObject({ code: 'stopped' });
  expect(process.sent.at(-1)).toEqual({ type: 'cancel', id: 1 });
  expect(job.ended).toBe(false);
});
