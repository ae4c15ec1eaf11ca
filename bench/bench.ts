/**
 * `npm run bench`: how fast SmolLM2-135M trains and how much memory that takes. Prints a page for people and, as the last line, one
 * JSON document. Options: `--steps 8`, `--json` (the document only).
 */
import { fork } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { JobCommand, JobMessage, JobSpec, StepMetrics } from '../engine/contract.ts';
import { toProblemValue } from '../engine/problem.ts';
import { embeddedModelPath } from '../engine/resources.ts';
import { cpuThreads } from '../engine/runtime/devices.ts';
import { versions } from '../engine/versions.ts';

const tokensPerStep = 512;
/** Steps that are not counted: the first ones touch memory for the first time. */
const warmupSteps = 2;
const vocabularySize = 49_152;
const millisecondsBetweenLooks = 50;

/** Rows of ids that look random but are always the same, every one a target. */
function writeRows(path: string): void {
  const rows = Array.from({ length: 4 }, (_, row) => {
    const ids = Array.from(
      { length: tokensPerStep },
      (_, i) => (1 + row + Math.imul(i + 1, 7919 + row)) % (vocabularySize - 1),
    );
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

/** Runs the job as the engine host does, in a process of its own, watching its memory. */
function runJob(spec: JobSpec): Promise<{ readonly steps: StepMetrics[]; readonly peakMemory: number | null }> {
  const job = fork(join(import.meta.dirname, '../engine/jobs/run-job.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const steps: StepMetrics[] = [];
  let peakMemory: number | null = null;
  const watch = setInterval(() => {
    const now = treeMemory(job.pid!);
    if (now !== null) peakMemory = Math.max(peakMemory ?? 0, now);
  }, millisecondsBetweenLooks);
  return new Promise((resolve, reject) => {
    job.on('message', (message: JobMessage) => {
      if (message.type === 'metrics') steps.push(...message.steps);
      if (message.type === 'problem') reject(new Error(`${message.problem.message} ${message.problem.hint}`));
      if (message.type === 'done') resolve({ steps, peakMemory });
    });
    job.on('exit', (code) => {
      clearInterval(watch);
      reject(new Error(`The job ended with status ${code}.`));
    });
    job.send({ type: 'start', spec } satisfies JobCommand);
  });
}

async function bench(counted: number) {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
  try {
    const data = join(folder, 'rows.jsonl');
    writeRows(data);
    mkdirSync(join(folder, 'cache'));
    const { steps, peakMemory } = await runJob({
      kind: 'train',
      modelPath: embeddedModelPath(),
      dataPaths: [data],
      evalPaths: [],
      adapterPath: null,
      recipe: {
        rank: 16,
        alpha: 32,
        targetModules: 'all-linear',
        batchSize: 1,
        gradientAccumulation: 1,
        maxLength: tokensPerStep,
        maxSteps: warmupSteps + counted,
        evalEvery: 0,
        saveEvery: 0,
      },
      out: join(folder, 'run'),
      device: 'cpu',
      skipBadRows: false,
      resume: false,
      cacheDir: join(folder, 'cache'),
    });
    const seconds = steps.slice(warmupSteps).map((step) => step.seconds);
    const median = seconds.toSorted((a, b) => a - b)[seconds.length >> 1]!;
    return {
      model: 'SmolLM2-135M-Instruct',
      work: `rank 16 on all seven projections, 1 x ${tokensPerStep} tokens, all supervised`,
      tokensPerSecond: round(tokensPerStep / median),
      secondsPerStep: round(median),
      stepSeconds: seconds.map(round),
      peakMemory,
      threads: cpuThreads(),
      processor: cpus()[0]?.model.trim() ?? process.arch,
      processorsAllowed: availableParallelism(),
      platform: `${process.platform} ${process.arch}`,
      versions,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '8' }, json: { type: 'boolean', default: false } },
});
try {
  const result = await bench(Math.max(1, Number(values.steps) || 1));
  if (!values.json)
    console.log(
      [
        `${result.model}: ${result.work}`,
        '',
        `  speed         ${result.tokensPerSecond} tokens/s  (${result.secondsPerStep} s a step, median of ${result.stepSeconds.length} after ${warmupSteps})`,
        `  peak memory   ${result.peakMemory === null ? 'not measured on this system' : `${(result.peakMemory / 1e9).toFixed(2)} GB of the job's process tree`}`,
        `  threads       ${result.threads} on ${result.processor}`,
        `  versions      studio ${versions.studio}, node ${versions.node}, onnxruntime ${versions.onnxruntime}`,
        '',
      ].join('\n'),
    );
  console.log(JSON.stringify(result));
} catch (error) {
  const { message, hint } = toProblemValue(error);
  console.error(`${message}\n${hint}`);
  process.exitCode = 1;
}
