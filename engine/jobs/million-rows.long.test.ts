/** A million rows are checked and trained to the end in bounded memory, and whoever waits hears of it all the time. */
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { DataReport, JobMessage, JobRequest, JobSpec, Progress } from '../contract.ts';
import { silentPort } from '../testing/port.ts';
import { runData } from './data.ts';
import type { JobAsker } from './port.ts';
import { runTrain, type TrainResult } from './train.ts';

const modelPath = join(import.meta.dirname, '../../resources/tiny/model');
const work = mkdtempSync(join(tmpdir(), 'million-rows-'));
const path = join(work, 'rows.jsonl');
const rows = 1_000_000;
const mostMemory = 1.5e9;
/** The limit allows for a busy machine; on an idle one it takes a tenth of a second. */
const longestSilence = 20_000;
const time = { timeout: 1_800_000 };
afterAll(() => rmSync(work, { recursive: true }));
beforeAll(async () => {
  const out = createWriteStream(path);
  for (let i = 0; i < rows; i++)
    if (!out.write(`${JSON.stringify({ text: `Send me ${i} reading lamps, please.` })}\n`)) await once(out, 'drain');
  out.end();
  await once(out, 'close');
}, 120_000);

/** Notes the longest time between two reports, and the most memory at one. */
class Listener {
  silence = 0;
  memory = 0;
  reports = 0;
  #last = performance.now();

  hear(): void {
    const now = performance.now();
    this.silence = Math.max(this.silence, now - this.#last);
    this.#last = now;
    if (this.reports++ % 100 === 0) this.memory = Math.max(this.memory, process.memoryUsage().rss);
  }
}

async function check(listener: Listener): Promise<{ report: DataReport; last: Progress }> {
  let handler: (request: JobRequest, asker: JobAsker) => Promise<unknown> = () => Promise.reject(new Error('not there'));
  void runData(
    { kind: 'data', model: { path: modelPath }, cacheDir: work },
    { ...silentPort, onRequest: (given) => (handler = given) },
  );
  const heard: Progress[] = [];
  const hear = (progress: Progress) => {
    listener.hear();
    heard[0] = progress;
  };
  const request: JobRequest = { name: 'report', data: { paths: [path] }, maxLength: 1024 };
  const report = (await handler(request, { signal: new AbortController().signal, report: hear })) as DataReport;
  return { report, last: heard[0]! };
}

it('are checked, and again from the tokens that were kept', time, async () => {
  const reports: DataReport[] = [];
  for (const mostBehind of [100, 1000]) {
    const listener = new Listener();
    const { report, last } = await check(listener);
    expect(report.rows).toBe(rows);
    expect(last.rows).toBeGreaterThan(rows - mostBehind);
    expect(listener.silence).toBeLessThan(longestSilence);
    expect(listener.memory).toBeLessThan(mostMemory);
    reports.push(report);
  }
  expect(reports[1]).toEqual(reports[0]);
});

function train(out: string, onMessage: (message: JobMessage, port: { stopRequested: boolean }) => void): Promise<TrainResult> {
  const recipe = { rank: 4, maxSteps: 1 };
  const files = {
    model: { path: modelPath },
    data: { paths: [path] },
    adapterPath: null,
    out: join(work, out),
    cacheDir: work,
  };
  const spec: Extract<JobSpec, { kind: 'train' }> = {
    kind: 'train',
    ...files,
    recipe,
    device: 'cpu',
    skipBadRows: false,
    resume: false,
  };
  const port = { ...silentPort, stopRequested: false, send: (message: JobMessage) => onMessage(message, port) };
  return runTrain(spec, port);
}

it('are trained', time, async () => {
  const listener = new Listener();
  expect((await train('run', () => listener.hear())).steps).toBe(1);
  expect(listener.silence).toBeLessThan(longestSilence);
  expect(listener.memory).toBeLessThan(mostMemory);
});

it('are read no further after a stop', time, async () => {
  let stoppedAt = 0;
  const stopped = train('stopped', (message, port) => {
    if (message.type !== 'progress' || (message.progress.rows ?? 0) < 1000 || port.stopRequested) return;
    port.stopRequested = true;
    stoppedAt = performance.now();
  });
  await expect(stopped).rejects.toMatchObject({ code: 'stopped' });
  expect(performance.now() - stoppedAt).toBeLessThan(5000);
});
