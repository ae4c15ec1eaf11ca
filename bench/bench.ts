/**
 * `npm run bench`: how fast SmolLM2-135M trains, how much memory that takes and how long it takes to start. Prints a page for people and,
 * as the last line, one JSON document. Options: `--steps 8`, `--short` (512 tokens only), `--conversations FILE`, `--set key=value` for the
 * recipe, `--json` (the document only).
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { JobCommand, JobMessage, JobSpec, StepMetrics } from '../engine/contract.ts';
import { toProblemValue } from '../engine/problem.ts';
import { parseFieldText, type RecipeInput } from '../engine/recipe.ts';
import { embeddedModelPath } from '../engine/resources.ts';
import { cpuThreads } from '../engine/runtime/devices.ts';
import { versions } from '../engine/versions.ts';

/** Steps that are not counted: the first ones touch memory for the first time. */
const warmupSteps = 2;
const vocabularySize = 49_152;
const millisecondsBetweenLooks = 50;

/** Rows of ids that look random but are always the same, every one a target. */
function writeRows(path: string, tokens: number): void {
  const rows = Array.from({ length: 4 }, (_, row) => {
    const ids = Array.from({ length: tokens }, (_, i) => (1 + row + Math.imul(i + 1, 7919 + row)) % (vocabularySize - 1));
    return JSON.stringify({ input_ids: ids }) + '\n';
  });
  writeFileSync(path, rows.join(''));
}

/** Resident bytes of a process and all below it, or null where /proc is not there. */
function treeMemory(root: number): number | null {
  try {
    const children = new Map<number, number[]>();
    const resident = new Map<number, number>();
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const status = readStatus(Number(name));
      if (status === null) continue;
      resident.set(Number(name), status.resident);
      children.set(status.parent, [...(children.get(status.parent) ?? []), Number(name)]);
    }
    const sum = (pid: number): number =>
      (resident.get(pid) ?? 0) + (children.get(pid) ?? []).reduce((total, child) => total + sum(child), 0);
    return sum(root);
  } catch {
    return null;
  }
}

function readStatus(pid: number): { readonly parent: number; readonly resident: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0);
    return { parent: Number(/^PPid:\s+(\d+)/m.exec(text)?.[1]), resident: kilobytes * 1024 };
  } catch {
    // It has ended meanwhile.
    return null;
  }
}

interface Measured {
  readonly steps: readonly StepMetrics[];
  readonly peakMemory: number | null;
  /** From the start of the process to the first step. */
  readonly startSeconds: number;
}

/** Runs a job as the engine host does, in a process of its own, watching its memory. */
function runJob(spec: JobSpec): Promise<Measured> {
  const started = performance.now();
  const job = fork(join(import.meta.dirname, '../engine/jobs/run-job.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const steps: StepMetrics[] = [];
  let startSeconds = 0;
  let peakMemory: number | null = null;
  const watch = setInterval(() => {
    const now = treeMemory(job.pid!);
    if (now !== null) peakMemory = Math.max(peakMemory ?? 0, now);
  }, millisecondsBetweenLooks);
  return new Promise((resolve, reject) => {
    job.on('message', (message: JobMessage) => {
      if (message.type === 'metrics') {
        steps.push(...message.steps);
        startSeconds ||= (performance.now() - started) / 1000 - message.steps.reduce((sum, step) => sum + step.seconds, 0);
      }
      if (message.type === 'problem') reject(new Error(`${message.problem.message} ${message.problem.hint}`));
      if (message.type === 'done') resolve({ steps, peakMemory, startSeconds });
    });
    job.on('exit', (code) => {
      clearInterval(watch);
      reject(new Error(`The job ended with status ${code}.`));
    });
    job.send({ type: 'start', spec } satisfies JobCommand);
  });
}

/** One piece of work and what came of it. Speeds count tokens that are there, never padding. */
interface Line {
  readonly work: string;
  readonly tokensPerSecond: number;
  readonly peakMemory: number | null;
  readonly startSeconds: number;
  readonly stepSeconds: readonly number[];
}

class Bench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
  #runs = 0;

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Median speed on rows of `tokens` tokens, all of them supervised. */
  async rows(tokens: number, counted: number, recipe: RecipeInput): Promise<Line> {
    const data = join(this.#folder, `rows-${tokens}.jsonl`);
    writeRows(data, tokens);
    const own = { rank: 16, alpha: 32, batchSize: 1, maxLength: tokens, maxSteps: warmupSteps + counted };
    const measured = await this.#train(data, { ...own, ...recipe });
    const seconds = measured.steps.slice(warmupSteps).map((step) => step.seconds);
    const median = seconds.toSorted((a, b) => a - b)[seconds.length >> 1]!;
    return line(`1 x ${tokens} tokens, all supervised, rank 16`, measured, round(tokens / median));
  }

  /** Speed over one epoch of conversations, the loss on their last turn. */
  async conversations(data: string, recipe: RecipeInput): Promise<Line> {
    const own = { rank: 8, alpha: 16, batchSize: 8, maxLength: 1024, epochs: 1 };
    const measured = await this.#train(data, { ...own, ...recipe });
    const sum = (of: (step: StepMetrics) => number): number => measured.steps.reduce((all, step) => all + of(step), 0);
    return line(
      'one epoch of conversations, rank 8, 8 a step',
      measured,
      round(sum((step) => step.tokens) / sum((step) => step.seconds)),
    );
  }

  #train(data: string, recipe: RecipeInput): Promise<Measured> {
    const cacheDir = join(this.#folder, 'cache');
    mkdirSync(cacheDir, { recursive: true });
    return runJob({
      kind: 'train',
      modelPath: embeddedModelPath(),
      acceptFields: [],
      dataPaths: [data],
      evalPaths: [],
      adapterPath: null,
      recipe: { targetModules: 'all-linear', gradientAccumulation: 1, evalEvery: 0, saveEvery: 0, ...recipe },
      out: join(this.#folder, `run-${++this.#runs}`),
      device: 'cpu',
      skipBadRows: false,
      resume: false,
      cacheDir,
    });
  }
}

function line(work: string, { steps, peakMemory, startSeconds }: Measured, tokensPerSecond: number): Line {
  return {
    work,
    tokensPerSecond,
    peakMemory,
    startSeconds: round(startSeconds),
    stepSeconds: steps.map((step) => round(step.seconds)),
  };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '8' },
    conversations: { type: 'string' },
    short: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
});
const bench = new Bench();
try {
  const counted = Math.max(1, Number(values.steps) || 1);
  const recipe = Object.fromEntries(
    values.set.map((pair): [string, unknown] => {
      const [key, ...text] = pair.split('=');
      return [key!, parseFieldText(key!, text.join('='))];
    }),
  );
  const lines = [await bench.rows(512, counted, recipe)];
  if (!values.short) lines.push(await bench.rows(2048, Math.ceil(counted / 2), recipe));
  if (values.conversations !== undefined) lines.push(await bench.conversations(values.conversations, recipe));
  const machine = {
    threads: cpuThreads(),
    processor: cpus()[0]?.model.trim() ?? process.arch,
    processorsAllowed: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
    versions,
  };
  if (!values.json) {
    console.log('SmolLM2-135M-Instruct, all seven projections, float32\n');
    for (const { work, tokensPerSecond, peakMemory, startSeconds } of lines) {
      const memory = peakMemory === null ? 'memory not measured' : `${(peakMemory / 1e9).toFixed(2)} GB`;
      console.log(
        `  ${work.padEnd(48)} ${String(tokensPerSecond).padStart(6)} tokens/s  ${memory}  ${startSeconds} s to the first step`,
      );
    }
    console.log(
      `\n  ${machine.threads} threads on ${machine.processor}; studio ${versions.studio}, node ${versions.node}, onnxruntime ${versions.onnxruntime}\n`,
    );
  }
  console.log(JSON.stringify({ model: 'SmolLM2-135M-Instruct', lines, ...machine }));
} catch (error) {
  const { message, hint } = toProblemValue(error);
  console.error(`${message}\n${hint}`);
  process.exitCode = 1;
} finally {
  bench.close();
}
