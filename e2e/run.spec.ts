import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, Studio, test } from './studio.ts';

/** Limits what happens at the engine's own pace, because a busy machine may take its time. */
const patience = 300_000;
const golden = resolve(import.meta.dirname, '../engine/golden/llama-tied');

/** Starts a run that ends only when it is stopped, on a model small enough to be quick, and opens it in the window. */
async function startRun(studio: Studio): Promise<string> {
  const project = await studio.request('projects.create', { name: 'Disturbed' });
  await studio.choose([join(golden, 'model'), join(golden, 'rows.jsonl')]);
  const model = await studio.request('models.add', { projectId: project.id, path: join(golden, 'model') });
  const dataset = await studio.request('datasets.add', {
    projectId: project.id,
    data: { paths: [join(golden, 'rows.jsonl')] },
  });
  const run = await studio.request('runs.start', {
    projectId: project.id,
    name: 'Disturbed run',
    model: { id: model.id },
    data: { versionId: dataset.version.id },
    recipe: { rank: 4, maxSteps: 100_000, batchSize: 2, gradientAccumulation: 16, saveEvery: 10, learningRate: 1e-4 },
  });
  await studio.page.evaluate((id) => void (location.hash = `#/run?id=${id}`), run.id);
  await expect(studio.page.getByRole('heading', { name: 'Disturbed run' })).toBeVisible();
  return run.id;
}

async function stepOf(studio: Studio, id: string): Promise<number> {
  return (await studio.request('runs.get', { id })).step;
}

/** Checks that every step is recorded once and in order, whatever happened in between. */
async function expectWholeHistory(studio: Studio, id: string, steps: number): Promise<void> {
  const { steps: rows } = await studio.request('runs.metrics', { id, afterStep: 0 });
  expect(rows.length).toBe(steps);
  expect(rows.findIndex((row, i) => row.step !== i + 1)).toBe(-1);
}

/** Returns the job processes of a host, found by their parent. */
function jobsOf(dataDir: string): number[] {
  const host = (JSON.parse(readFileSync(join(dataDir, 'host', 'lock'), 'utf8')) as { pid: number }).pid;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        return Number(parent) === host && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('run-job');
      } catch {
        return false; // It has ended meanwhile.
      }
    })
    .map(Number);
}

/** Stops the run in the window and gives the step it stopped at. */
async function stopRun(studio: Studio, id: string): Promise<number> {
  await studio.page.getByRole('button', { name: /^Stop/ }).click();
  await expect.poll(async () => (await studio.request('runs.get', { id })).state, { timeout: patience }).toBe('stopped');
  const { step } = await studio.request('runs.get', { id });
  expect((await studio.request('runs.checkpoints', { id })).map((one) => one.step)).toContain(step);
  return step;
}

test('a reload in mid-run loses nothing', async ({ studio }) => {
  const { page } = studio;
  const id = await startRun(studio);
  await expect.poll(() => stepOf(studio, id), { timeout: patience }).toBeGreaterThan(10);
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Disturbed run' })).toBeVisible();
  const after = await stepOf(studio, id);
  await expect.poll(() => stepOf(studio, id), { timeout: patience }).toBeGreaterThan(after);
  await expectWholeHistory(studio, id, await stopRun(studio, id));
  await expect(page.getByText('Stopped', { exact: true }).first()).toBeVisible();
});

test('a page whose process ends is shown again, and the run has gone on meanwhile', async ({ dataDir }) => {
  const studio = await Studio.open(dataDir);
  const id = await startRun(studio);
  // A page that has ended never answers.
  const ask = (script: string) =>
    studio.app.evaluate(
      ({ BrowserWindow }, script) =>
        Promise.race([
          BrowserWindow.getAllWindows()[0]!
            .webContents.executeJavaScript(script)
            .catch(() => null) as Promise<unknown>,
          new Promise((done) => setTimeout(done, 2000, null)),
        ]),
      script,
    );
  const heading = () => ask(`document.querySelector('h1')?.textContent ?? null`);
  expect(await heading()).toBe('Disturbed run');
  for (let ends = 0; ends < 3; ends++) {
    await studio.app.evaluate(({ BrowserWindow }) => {
      process.kill(BrowserWindow.getAllWindows()[0]!.webContents.getOSProcessId(), 'SIGKILL');
    });
    await expect.poll(heading).toBeNull();
    await expect.poll(heading).not.toBeNull();
  }
  const running = `window.studio.request('runs.get', { id: '${id}' }).then(({ ok }) => ok.state)`;
  expect(await ask(running)).toBe('running');
  // Playwright waits for ever for a page that has ended once.
  studio.app.process().kill('SIGKILL');
});

test('a run whose process was killed is resumed from its checkpoint', async ({ studio, dataDir }) => {
  test.skip(process.platform !== 'linux', 'finds the job process in /proc');
  const id = await startRun(studio);
  await expect
    .poll(async () => (await studio.request('runs.checkpoints', { id })).length, { timeout: patience })
    .toBeGreaterThan(0);
  const jobs = jobsOf(dataDir);
  expect(jobs.length).toBeGreaterThan(0);
  for (const pid of jobs) process.kill(pid, 'SIGKILL');

  await studio.page
    .getByRole('button', { name: /^Resume from/ })
    .first()
    .click();
  const reached = await stepOf(studio, id);
  await expect.poll(() => stepOf(studio, id), { timeout: patience }).toBeGreaterThan(reached + 20);
  await expectWholeHistory(studio, id, await stopRun(studio, id));
});

test('a run is stopped with a checkpoint and goes on from it', async ({ studio }) => {
  const id = await startRun(studio);
  await expect.poll(() => stepOf(studio, id), { timeout: patience }).toBeGreaterThan(5);
  const stoppedAt = await stopRun(studio, id);
  await studio.page
    .getByRole('button', { name: /^Resume/ })
    .first()
    .click();
  await expect.poll(() => stepOf(studio, id), { timeout: patience }).toBeGreaterThan(stoppedAt + 20);
  await expectWholeHistory(studio, id, await stopRun(studio, id));
});

const windowKills = process.env['LOWRANK_TEST_FULL'] === '1' ? 40 : 2;

test('a window killed at any moment takes nothing with it: the run goes on, and the next window shows it', async ({
  dataDir,
}) => {
  test.setTimeout(900_000 + windowKills * 30_000);
  let studio = await Studio.open(dataDir);
  const id = await startRun(studio);
  let seen = 0;
  for (let kill = 0; kill < windowKills; kill++) {
    await studio.page.waitForTimeout(Math.random() * 3000);
    seen = Math.max(seen, await stepOf(studio, id));
    const window = studio.app.process();
    const ended = once(window, 'exit');
    window.kill('SIGKILL');
    await ended;
    studio = await Studio.open(dataDir);
    expect((await studio.request('runs.get', { id })).state).toBe('running');
    expect(await stepOf(studio, id)).toBeGreaterThanOrEqual(seen);
  }
  await studio.page.evaluate((id) => void (location.hash = `#/run?id=${id}`), id);
  await expect(studio.page.getByRole('heading', { name: 'Disturbed run' })).toBeVisible();
  await expectWholeHistory(studio, id, await stopRun(studio, id));
  expect(studio.complaints).toEqual([]);
  await studio.close();
});
