/** Kills engine, jobs and command lines at random moments while runs are active, and checks what is left. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'vitest';
import type { Run } from '../contract.ts';
import { connectHost, hostPlaces, type HostClient } from '../rpc.ts';

const victims = ['engine', 'job', 'command line'] as const;
type Victim = (typeof victims)[number];
/** Limits the time of a kill: from a command's first moment to somewhat beyond the end of its run. */
const longestMilliseconds = 4000;

const rows = Array.from({ length: 14 }, (_, i) => ({
  messages: [
    { role: 'user', content: `What is ${i} and ${i * i}?` },
    { role: 'assistant', content: `It is ${i + i * i}.` },
  ],
}));
const recipe = { rank: 2, maxSteps: 60, batchSize: 2, evalEvery: 10, saveEvery: 5, dropout: 0.1, learningRate: 0.01 };
const model = { path: join(import.meta.dirname, '../../resources/tiny/model') };
const over = (run: Run): boolean => run.state === 'done';
const isActive = (run: Run): boolean => run.state === 'running' || run.state === 'queued';

/**
 * Keeps two runs going in a data folder, kills one process after another, and expects that every run that was promised is there with every
 * step that was told, goes on, and ends at the very bits of a run nobody touched.
 */
export async function expectNothingLost(kills: number): Promise<Readonly<Record<Victim, number>>> {
  const world = new World();
  const killed = { engine: 0, job: 0, 'command line': 0 };
  try {
    await world.connect();
    const untouched = await world.start();
    await world.until((runs) => runs.some((run) => run.id === untouched && over(run)));
    for (let total = 0; total < kills;) {
      await world.keepBusy(2);
      await new Promise((done) => setTimeout(done, Math.random() * longestMilliseconds));
      const victim = victims[Math.floor(Math.random() * victims.length)]!;
      if (!(await world.kill(victim))) continue;
      killed[victim]++;
      total++;
      await world.expectPromisesKept();
    }
    await world.finish(untouched);
    return killed;
  } finally {
    world.end();
  }
}

class World {
  readonly #folder = mkdtempSync(join(tmpdir(), 'lowrank-kills-'));
  readonly #dataDir = join(this.#folder, 'data');
  readonly #data = join(this.#folder, 'rows.jsonl');
  #client: HostClient | null = null;
  #command: ChildProcess | null = null;
  #commands = 0;
  /** Runs the engine has answered for, and the last step of each that it has told. */
  readonly #promised = new Map<string, number>();

  constructor() {
    writeFileSync(this.#data, rows.map((row) => JSON.stringify(row) + '\n').join(''));
  }

  async connect(): Promise<HostClient> {
    if (this.#client !== null) return this.#client;
    const client = await connectHost(this.#dataDir);
    client.on('run.metrics', ({ runId, steps }) => {
      const last = steps.at(-1)?.step;
      if (last !== undefined) this.#promised.set(runId, last);
    });
    client.onClose(() => (this.#client = null));
    return (this.#client = client);
  }

  async start(): Promise<string> {
    const client = await this.connect();
    const run = await client.request('runs.start', { model, data: { paths: [this.#data], evalPaths: [this.#data] }, recipe });
    this.#promised.set(run.id, 0);
    return run.id;
  }

  /** Starts a run that belongs to a command, which may be killed itself. */
  #startByCommand(): void {
    const settings = Object.entries(recipe).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const out = join(this.#folder, `run-${++this.#commands}`);
    const command = spawn(
      process.execPath,
      [
        join(import.meta.dirname, '../cli.ts'),
        ...['--data-dir', this.#dataDir, 'train', '--model', model.path, '--data', this.#data, '--eval', this.#data],
        ...[...settings, '--out', out],
      ],
      { stdio: 'ignore' },
    );
    command.on('exit', () => {
      if (this.#command === command) this.#command = null;
    });
    this.#command = command;
  }

  async runs(): Promise<readonly Run[]> {
    return (await this.connect()).request('runs.list', {});
  }

  async until(holds: (runs: readonly Run[]) => boolean): Promise<void> {
    let since = performance.now();
    let seen = '';
    for (let runs = await this.runs(); !holds(runs); runs = await this.runs()) {
      const now = runs.map(({ name, state, phase, step }) => `${name}: ${state} ${phase} ${step}`).join('; ');
      if (now !== seen) [seen, since] = [now, performance.now()];
      if (performance.now() - since > 120_000) throw new Error(`nothing moves: ${now}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Resumes what was interrupted, and starts new runs until the given number is active. */
  async keepBusy(count: number): Promise<void> {
    const client = await this.connect();
    const runs = await this.runs();
    for (const run of runs)
      if (!over(run) && !isActive(run)) {
        expect(run.state, run.problem?.message).toBe('interrupted');
        // It goes back to its last checkpoint and makes the steps after it once more.
        const checkpoints = await client.request('runs.checkpoints', { id: run.id });
        this.#promised.set(run.id, checkpoints.at(-1)?.step ?? 0);
        await client.request('runs.resume', { id: run.id });
      }
    const going = runs.filter((run) => !over(run)).length;
    if (this.#command === null) this.#startByCommand();
    for (let more = going; more < count; more++) await this.start();
  }

  /** Kills a process. Returns false when there is no such process just now. */
  async kill(victim: Victim): Promise<boolean> {
    const engine = this.#enginePid();
    const pid = victim === 'engine' ? engine : victim === 'command line' ? this.#command?.pid : childrenOf(engine)[0];
    if (pid === undefined || pid === null) return false;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      return false;
    }
    if (victim === 'engine') {
      // Its connections end with it.
      while (this.#client !== null) await new Promise((done) => setTimeout(done, 10));
      this.#expectStored();
    }
    return true;
  }

  /**
   * Checks that what a dead engine has reported is stored. With the next engine its run is resumed from the last checkpoint,
   * and repeats the steps after it.
   */
  #expectStored(): void {
    const database = new Database(join(this.#dataDir, 'studio.sqlite'), { readonly: true });
    const count = database.prepare<[string, number], { steps: number }>(
      'SELECT count(*) AS steps FROM step_metrics WHERE run_id = ? AND step <= ?',
    );
    const run = database.prepare<[string], { state: string; checkpoint: number }>(
      `SELECT state, (SELECT ifnull(max(step), 0) FROM checkpoints WHERE run_id = runs.id) AS checkpoint FROM runs WHERE id = ?`,
    );
    for (const [id, last] of this.#promised) {
      expect(count.get(id, last)!.steps).toBe(last);
      const { state, checkpoint } = run.get(id)!;
      if (state === 'running') this.#promised.set(id, Math.min(last, checkpoint));
    }
    database.close();
  }

  #enginePid(): number | null {
    try {
      return (JSON.parse(readFileSync(hostPlaces(this.#dataDir).lock, 'utf8')) as { pid: number }).pid;
    } catch {
      return null;
    }
  }

  /** Expects that every run that was promised is there, with every step that was told. */
  async expectPromisesKept(): Promise<void> {
    const told = new Map(this.#promised);
    for (let attempt = 0; ; attempt++) {
      try {
        const client = await this.connect();
        const runs = await this.runs();
        for (const [id, last] of told) {
          expect(runs.map((run) => run.id)).toContain(id);
          const { steps } = await client.request('runs.metrics', { id, afterStep: 0 });
          expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: steps.length }, (_, index) => index + 1));
          expect(steps.length).toBeGreaterThanOrEqual(last);
        }
        return;
      } catch (error) {
        // A connection to an engine that was just killed ends a moment later.
        if (attempt === 3 || (error as { code?: string }).code !== 'host-unreachable') throw error;
      }
    }
  }

  /** Lets all come to its end and compares it with a run nobody touched. */
  async finish(untouched: string): Promise<void> {
    this.#command?.kill('SIGKILL');
    await this.until(() => this.#command === null);
    for (let attempt = 0; attempt < 200 && !(await this.runs()).every(over); attempt++) {
      const client = await this.connect();
      for (const run of await this.runs())
        if (!over(run) && !isActive(run)) await client.request('runs.resume', { id: run.id });
      await this.until((runs) => !runs.some(isActive));
    }
    const client = await this.connect();
    const runs = await this.runs();
    const expected = left(runs.find(({ id }) => id === untouched)!);
    for (const run of runs) {
      expect(run.state).toBe('done');
      expect(left(run), run.name).toEqual(expected);
      const versions = await client.request('adapters.list', { projectId: run.projectId });
      expect(versions.filter(({ runId }) => runId === run.id)).toHaveLength(1);
    }
    client.close();
    const database = new Database(join(this.#dataDir, 'studio.sqlite'), { readonly: true });
    expect(database.pragma('integrity_check', { simple: true })).toBe('ok');
    database.close();
  }

  end(): void {
    this.#command?.kill('SIGKILL');
    this.#client?.close();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 30, retryDelay: 300 });
  }
}

/** Returns the adapter's hash, and checks that nothing half-written is left in the folders of a run. */
function left({ out }: Run): string {
  for (const folder of ['', 'checkpoints', 'adapter'])
    if (existsSync(join(out, folder)))
      expect(readdirSync(join(out, folder)).filter((name) => name.includes('.partial'))).toEqual([]);
  return createHash('sha256')
    .update(readFileSync(join(out, 'adapter/adapter_model.safetensors')))
    .digest('hex');
}

/** Processes that a process has started (proc(5)), where the system can be asked so. */
function childrenOf(pid: number | null): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
