import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import type { Run } from '../contract.ts';
import { connectHost } from '../rpc.ts';

const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lowrank-clock-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

/** At every look the clock is elsewhere: right, a day on, a day back, an hour back as in autumn, or at the start of 1970. */
const jumpingClock = `
const Own = Date;
let looks = 0;
const now = () => [Own.now(), Own.now() + 864e5, Own.now() - 864e5, Own.now() - 36e5, 0][looks++ % 5];
globalThis.Date = class extends Own {
  constructor(...given) { super(...(given.length === 0 ? [now()] : given)); }
  static now() { return now(); }
};`;

test('a clock that jumps changes no order and no duration', async () => {
  const clock = join(folder, 'clock.mjs');
  writeFileSync(clock, jumpingClock);
  const client = await connectHost(join(folder, 'data'), { env: { NODE_OPTIONS: `--import=${pathToFileURL(clock).href}` } });
  try {
    const reported: Run[] = [];
    const ended = new Promise<void>((done) =>
      client.on('run.changed', (run) => {
        reported.push(run);
        if (run.name === 'second' && run.state === 'done') done();
      }),
    );
    const projectId = (await client.request('projects.create', { name: 'Clock' })).id;
    const modelId = (await client.request('models.add', { projectId, path: golden('model') })).id;
    const paths = [golden('rows.jsonl')];
    const versionId = (await client.request('datasets.add', { projectId, data: { paths, evalPaths: paths } })).version.id;
    for (const name of ['first', 'second'])
      await client.request('runs.start', {
        ...{ projectId, name, model: { id: modelId }, data: { versionId } },
        recipe: { rank: 2, maxSteps: 6, evalEvery: 2, saveEvery: 2, keepCheckpoints: 2 },
      });
    await ended;

    const runs = await client.request('runs.list', { projectId });
    expect(runs.map(({ name, state }) => `${name} ${state}`)).toEqual(['first done', 'second done']);
    const positions = reported.flatMap(({ name, state }) => (state === 'done' ? [name] : []));
    expect([...new Set(positions)]).toEqual(['first', 'second']);
    for (const { secondsLeft } of reported) expect(secondsLeft ?? 0).toBeGreaterThanOrEqual(0);
    for (const { id, seconds } of runs) {
      expect(seconds).toBeGreaterThan(0);
      const { steps, evaluations } = await client.request('runs.metrics', { id, afterStep: 0 });
      expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(steps.every((step) => step.seconds > 0 && step.seconds < 60)).toBe(true);
      expect(evaluations.map(({ step }) => step)).toEqual([2, 4, 6]);
      // The two that were kept are the last ones written, not those of the latest time.
      expect((await client.request('runs.checkpoints', { id })).map(({ step }) => step)).toEqual([4, 6]);
      const log = (await client.request('runs.log', { id })).map(({ text }) => text);
      expect(log.filter((text) => /^Run started|checkpoint saved|^Done/.test(text)).map((text) => text.slice(0, 7))).toEqual([
        ...['Run sta', 'Step 2:', 'Step 4:', 'Step 6:', 'Done at'],
      ]);
    }
    const versions = await client.request('adapters.list', { projectId });
    expect(versions.map(({ runId }) => runId)).toEqual(runs.map(({ id }) => id));
  } finally {
    client.close();
  }
});
