/**
 * `npm run bench` measures how fast SmolLM2-135M trains and answers, how much memory that takes and how long it takes to start.
 * It prints a page for people and, as the last line, one JSON document. Options: `--only rows-512,generation` (see `works`),
 * `--steps 8`, `--conversations FILE`, `--set key=value` for the recipe, `--json` (the document only).
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { JobSpec } from '../engine/contract.ts';
import { openModel } from '../engine/models/open.ts';
import { Problem, toProblemValue } from '../engine/problem.ts';
import { defaultRecipe, type Recipe, type RecipeInput } from '../engine/recipe.ts';
import { parseFieldText } from '../engine/recipe/field-text.ts';
import { embeddedModelPath } from '../engine/resources.ts';
import { cpuThreads } from '../engine/runtime/devices.ts';
import { MemoryEstimator, memoryRecipe, type StepCounts } from '../engine/training/memory.ts';
import { versions } from '../engine/versions.ts';
import { generate, train, type Trained } from './job.ts';
import { tokenIds, writeConversations, writeLargeVocabularyModel, writeRows } from './material.ts';

/** Counts the steps that are not measured, because the first ones touch memory for the first time. */
const warmupSteps = 2;
const vocabularySize = 49_152;

/** Describes one benchmark and its results. Speeds count actual tokens, never padding. */
interface Line {
  readonly name: string;
  readonly work: string;
  readonly tokensPerSecond: number | null;
  readonly peakMemory: number | null;
  readonly startSeconds: number | null;
  readonly stepSeconds?: readonly number[];
  readonly counts?: StepCounts;
}

interface Asked {
  /** Counts the steps that are measured. */
  readonly steps: number;
  readonly conversations: string | null;
  /** Holds the recipe fields that are set. */
  readonly recipe: RecipeInput;
}

class Bench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
  readonly #asked: Asked;
  #runs = 0;

  constructor(asked: Asked) {
    this.#asked = asked;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Measures the median speed on rows of `tokens` tokens, all of them supervised. */
  async rows(name: string, what: string, tokens: number, recipe: RecipeInput = {}): Promise<Line[]> {
    const steps = tokens > 512 ? Math.ceil(this.#asked.steps / 2) : this.#asked.steps;
    const own = { rank: 16, alpha: 32, batchSize: 1, maxLength: tokens, maxSteps: warmupSteps + steps };
    const spec = this.#spec({ ...own, ...recipe }, this.#rows(tokens, vocabularySize));
    const trained = await train(spec);
    const planned = { ...defaultRecipe(), ...spec.recipe } as Recipe;
    const counts = new MemoryEstimator(openModel(spec.model.path)).counts(memoryRecipe(planned), tokens);
    return [{ ...line(name, what, trained, medianSpeed(trained, tokens)), counts }];
  }

  /** Measures the speed over one epoch of conversations, with the loss on the assistant's answers. */
  async conversations(): Promise<Line[]> {
    const data = this.#asked.conversations ?? join(this.#folder, 'conversations.jsonl');
    if (this.#asked.conversations === null) writeConversations(data);
    const own = { rank: 8, alpha: 16, batchSize: 8, maxLength: 1024, epochs: 1 };
    const trained = await train(this.#spec(own, data));
    const sum = (of: (step: Trained['steps'][number]) => number): number =>
      trained.steps.reduce((all, step) => all + of(step), 0);
    const speed = sum((step) => step.tokens) / sum((step) => step.seconds);
    return [line('conversations', 'one epoch of 96 conversations, rank 8, 8 a step', trained, speed)];
  }

  /** Measures the memory of a model with 152,064 tokens, which must not grow by rows of logits. */
  async vocabulary(): Promise<Line[]> {
    const modelPath = join(this.#folder, 'large-vocabulary');
    const model = writeLargeVocabularyModel(modelPath);
    const lines: Line[] = [];
    for (const tokens of [256, 1024]) {
      const own = { rank: 8, batchSize: 1, maxLength: tokens, maxSteps: warmupSteps + 1 };
      const trained = await train({ ...this.#spec(own, this.#rows(tokens, model.vocabularySize)), model: { path: modelPath } });
      const logits = ((4 * tokens * model.vocabularySize) / 1e9).toFixed(2);
      const what = `${tokens} tokens of 152,064 (their logits: ${logits} GB)`;
      lines.push(line(`vocabulary-${tokens}`, what, trained, medianSpeed(trained, tokens)));
    }
    return lines;
  }

  /**
   * Measures the time from the start of a process to its first step: with weights to expand, with expanded weights, and
   * resuming from a checkpoint.
   */
  async start(): Promise<Line[]> {
    rmSync(this.#cache(), { recursive: true, force: true });
    const data = this.#rows(128, vocabularySize);
    const spec = this.#spec({ rank: 16, batchSize: 1, maxLength: 128, maxSteps: 200 }, data);
    const first = await train(spec, 1);
    const again = await train(this.#spec({ rank: 16, batchSize: 1, maxLength: 128, maxSteps: 1 }, data));
    const resumed = await train({ ...spec, resume: true }, 1);
    return [
      line('start', 'start of a run, weights expanded first', first, null),
      line('start-again', 'start of another run of the model', again, null),
      line('start-resumed', 'start of a run that goes on', resumed, null),
    ];
  }

  /** Measures an answer of 128 tokens to a prompt of 512, in the process that answers in the playground. */
  async generation(): Promise<Line[]> {
    const spec = { kind: 'chat', model: { path: embeddedModelPath() }, cacheDir: this.#cache() } as const;
    const { promptTokensPerSecond, decodeTokensPerSecond, peakMemory, startSeconds } = await generate(
      spec,
      tokenIds(512, vocabularySize, 3),
      128,
      3,
    );
    const shared = { peakMemory, startSeconds: round(startSeconds) };
    return [
      { name: 'prompt', work: 'prompt of 512 tokens', tokensPerSecond: round(promptTokensPerSecond), ...shared },
      { name: 'decode', work: 'answer of 128 tokens after it', tokensPerSecond: round(decodeTokensPerSecond), ...shared },
    ];
  }

  #cache(): string {
    const path = join(this.#folder, 'cache');
    mkdirSync(path, { recursive: true });
    return path;
  }

  #rows(tokens: number, vocabulary: number): string {
    const path = join(this.#folder, `rows-${tokens}-${vocabulary}.jsonl`);
    writeRows(path, tokens, vocabulary);
    return path;
  }

  #spec(own: RecipeInput, data: string): Extract<JobSpec, { kind: 'train' }> {
    const always = { targetModules: 'all-linear', gradientAccumulation: 1, evalEvery: 0, saveEvery: 0 };
    return {
      kind: 'train',
      model: { path: embeddedModelPath() },
      data: { paths: [data] },
      adapterPath: null,
      recipe: { ...always, ...own, ...this.#asked.recipe },
      out: join(this.#folder, `run-${++this.#runs}`),
      device: 'cpu',
      skipBadRows: false,
      resume: false,
      cacheDir: this.#cache(),
    };
  }
}

/** Lists what `--only` can name, in the order in which it runs. */
const works: Readonly<Record<string, (bench: Bench) => Promise<Line[]>>> = {
  'rows-512': (bench) => bench.rows('rows-512', '1 x 512 tokens, all supervised, rank 16', 512),
  'rows-2048': (bench) => bench.rows('rows-2048', '1 x 2,048 tokens, all supervised, rank 16', 2048),
  '4bit': (bench) => bench.rows('4bit', '1 x 512 tokens, base in 4 bits', 512, { baseQuantization: '4bit' }),
  conversations: (bench) => bench.conversations(),
  vocabulary: (bench) => bench.vocabulary(),
  start: (bench) => bench.start(),
  generation: (bench) => bench.generation(),
};

function medianSpeed({ steps }: Trained, tokens: number): number {
  const seconds = steps.slice(warmupSteps).map((step) => step.seconds);
  return tokens / seconds.toSorted((a, b) => a - b)[seconds.length >> 1]!;
}

function line(name: string, work: string, { steps, peakMemory, startSeconds }: Trained, speed: number | null): Line {
  return {
    ...{ name, work, peakMemory },
    tokensPerSecond: speed === null ? null : round(speed),
    startSeconds: round(startSeconds),
    stepSeconds: steps.map((step) => round(step.seconds)),
  };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

function printLine({ work, tokensPerSecond, peakMemory, startSeconds, counts }: Line): void {
  const speed = tokensPerSecond === null ? '' : `${tokensPerSecond} tokens/s`;
  const memory = peakMemory === null ? 'not measured' : `${(peakMemory / 1e9).toFixed(2)} GB`;
  console.log(`  ${work.padEnd(50)} ${speed.padStart(16)} ${memory.padStart(12)}  started in ${startSeconds} s`);
  if (counts === undefined) return;
  const { nodes, copies, allocations, peakBytes } = counts;
  const planned = `planned peak ${(peakBytes / 1e9).toFixed(2)} GB beside weights`;
  console.log(`    ${nodes} nodes, ${copies} of them copies, ${allocations} allocations, ${planned}`);
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(works).join() },
    steps: { type: 'string', default: '8' },
    conversations: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
  },
});

function asked(): Asked {
  return {
    steps: Math.max(1, Number(values.steps) || 1),
    conversations: values.conversations ?? null,
    recipe: Object.fromEntries(
      values.set.map((pair): [string, unknown] => {
        const [key, ...text] = pair.split('=');
        return [key!, parseFieldText(key!, text.join('='))];
      }),
    ),
  };
}

function chosenWorks(): ((bench: Bench) => Promise<Line[]>)[] {
  const names = values.only.split(',');
  const unknown = names.find((name) => works[name] === undefined);
  if (unknown !== undefined)
    throw new Problem('request-invalid', `There is no work '${unknown}'.`, `Choose of ${Object.keys(works).join(', ')}.`);
  return names.map((name) => works[name]!);
}

let bench: Bench | null = null;
try {
  const chosen = chosenWorks();
  bench = new Bench(asked());
  const machine = {
    threads: cpuThreads(),
    processor: cpus()[0]?.model.trim() ?? process.arch,
    processorsAllowed: availableParallelism(),
    platform: `${process.platform} ${process.arch}`,
    versions,
  };
  if (!values.json) {
    const { studio, node, onnxruntime } = versions;
    console.log(`SmolLM2-135M-Instruct, all seven projections, ${machine.threads} threads on ${machine.processor}`);
    console.log(`studio ${studio}, node ${node}, onnxruntime ${onnxruntime}\n`);
  }
  const lines: Line[] = [];
  for (const work of chosen) {
    const found = await work(bench);
    lines.push(...found);
    if (!values.json) found.forEach(printLine);
  }
  if (!values.json) console.log();
  console.log(JSON.stringify({ model: 'SmolLM2-135M-Instruct', lines, ...machine }));
} catch (error) {
  const { message, hint } = toProblemValue(error);
  console.error(`${message}\n${hint}`);
  process.exitCode = 1;
} finally {
  bench?.close();
}
