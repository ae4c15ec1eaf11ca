/**
 * The proof of an export: it is read back as anyone would read it and compared with base + adapter on the same tokens. What must hold
 * is in `limits.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import { basename } from 'node:path';
import type { Proof, ProofCheck } from '../contract.ts';
import { openTemplate } from '../data/template.ts';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { ropeInverseFrequencies } from '../models/rope.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import type { OpenSession } from '../runtime/session.ts';
import { noAdapterShape, tensorView, type Adapter } from '../training/lora/adapter.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { TrainStep, type MicroBatch } from '../training/step.ts';
import type { ExportTarget } from './index.ts';
import type { Merged } from './merge.ts';
import { compareWeights } from './readback.ts';
import type { Step } from './source.ts';

/** Enough to find a wrong tensor or a wrong rounding, in seconds. */
const bounds = { rows: 16, positions: 256, tokensPerRow: 512 };

/** A row of the proof: tokens, and the positions whose logits are compared. */
export interface ProofRow {
  readonly inputIds: Int32Array;
  readonly positions: readonly number[];
}

/** The supervised positions of evaluation rows, evenly over the rows. */
export function proofRows(rows: readonly { readonly inputIds: Int32Array; readonly labels: Int32Array }[]): ProofRow[] {
  const chosen = rows.slice(0, bounds.rows);
  const share = Math.ceil(bounds.positions / Math.max(1, chosen.length));
  return chosen
    .map(({ inputIds, labels }) => {
      const positions: number[] = [];
      const length = Math.min(inputIds.length, bounds.tokensPerRow);
      for (let t = 0; t + 1 < length && positions.length < share; t++) if (labels[t + 1] !== -100) positions.push(t);
      // What follows the last position plays no part in its logits.
      return { inputIds: inputIds.slice(0, (positions.at(-1) ?? -1) + 1), positions };
    })
    .filter((row) => row.positions.length > 0);
}

/** Texts with words, names, digits, code, other scripts and JSON. */
const builtInTexts: readonly (readonly [question: string, answer: string])[] = [
  ['What is the capital of France?', 'The capital of France is Paris.'],
  ['Give the order as JSON: two teas for table 14.', '{"table": 14, "items": [{"name": "tea", "count": 2}]}'],
  ['Schreib einen Satz über das Wetter.', 'Heute ist es kühl, aber später wird es schön.'],
  ['Add 1234 and 5678.', '1234 + 5678 = 6912'],
  ['Write a function that doubles a number.', 'def double(x):\n    return 2 * x\n'],
  ['Say hello in Japanese.', 'こんにちは 👋'],
];

/** Rows when no evaluation rows are at hand: built-in conversations, or for a model without a tokenizer a fixed walk over its ids. */
export async function builtInRows(tokenizer: Tokenizer | null, spec: DecoderSpec): Promise<ProofRow[]> {
  const every = (ids: readonly number[]): ProofRow => {
    const inputIds = Int32Array.from(ids.slice(0, Math.min(bounds.tokensPerRow, spec.contextLength)));
    return { inputIds, positions: [...inputIds.keys()].slice(0, Math.floor(bounds.positions / builtInTexts.length)) };
  };
  if (tokenizer === null) {
    const length = Math.min(40, spec.contextLength);
    return builtInTexts.map((_, row) =>
      every(Array.from({ length }, (_, t) => (row * 7919 + t * t * 31 + t * 17) % spec.vocabularySize)),
    );
  }
  const template = tokenizer.chatTemplate === null ? null : openTemplate(tokenizer);
  return Promise.all(
    builtInTexts.map(async ([question, answer]) => {
      const messages = [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ] as const;
      const text = template === null ? `${question}\n${answer}` : template.render(messages, { addGenerationPrompt: false });
      return every(await tokenizer.encode(text));
    }),
  );
}

export interface ProofRequest {
  readonly model: OpenModel;
  readonly adapter: Adapter | null;
  /** What was to be written. */
  readonly merged: Merged;
  readonly tokenizer: Tokenizer | null;
  readonly target: ExportTarget;
  /** Where the export lies now. */
  readonly path: string;
  readonly rows: readonly ProofRow[];
  readonly threads: number;
  /** Cache of the base, and a folder that is removed afterwards for what is expanded from the export. */
  readonly cacheDir: string;
  readonly workDir: string;
  readonly openSession: OpenSession;
  /** For each tensor that is read back, then for each row. */
  readonly readStep: Step;
  readonly step: Step;
}

/** A tensor that is off by more is another one, or in another order, whatever its type. */
const anotherTensor = 0.9;

/** The export is not what it should be; the proof says in which of its checks. */
export class ProofFailed extends Problem {
  readonly proof: Proof;

  constructor(path: string, proof: Proof) {
    const missed = proof.checks.find((check) => !check.passed)!;
    super(
      'proof-failed',
      `The export '${basename(path)}' was read back and is not what it should be: ${missed.name}: ${missed.text}.`,
      'The file was not kept. This is a bug of the export; another format may work.',
    );
    this.proof = proof;
  }
}

/** Compares; throws `ProofFailed` when the structure is wrong or a lossless format differs. */
export async function proveExport(request: ProofRequest): Promise<Proof> {
  const { model, target, rows } = request;
  const checks: ProofCheck[] = [];
  const adapterBack = target.format === 'peft' ? readAdapter(request.path, model.spec) : null;
  if (adapterBack) checks.push(compareAdapters(request.adapter, adapterBack));
  const exported = adapterBack ? null : openModel(request.path);
  if (exported) {
    checks.push(compareStructure(request.merged.model.spec, exported.spec));
    const tokenizerBack = exported.tokenizerSource && openTokenizer(exported.tokenizerSource);
    checks.push(await compareTokenizers(request.tokenizer, tokenizerBack));
    checks.push(compareTemplates(request.tokenizer, tokenizerBack));
  }
  // What is built otherwise cannot be asked for the same logits.
  if (checks.some((check) => !check.passed))
    throw new ProofFailed(request.path, {
      passed: false,
      checks,
      rows: 0,
      positions: 0,
      maxLogitDifference: 0,
      top1Agreement: 0,
    });

  const { tensorError } = target.limits;
  const weights = exported && (await compareWeights(request.merged, exported, tensorError, request.readStep));
  if (weights) checks.push(weights);
  const compared = await compareLogits(request, exported, adapterBack);
  const { maxLogitDifference, top1Agreement, lossless } = { ...target.limits };
  checks.push({
    name: 'Largest logit difference',
    value: compared.maxLogitDifference,
    limit: maxLogitDifference,
    text: `${compared.maxLogitDifference.toExponential(2)}${maxLogitDifference === null ? '' : ` (at most ${maxLogitDifference})`}`,
    passed: Number.isFinite(compared.maxLogitDifference) && compared.maxLogitDifference <= (maxLogitDifference ?? Infinity),
  });
  checks.push({
    name: 'Same most likely token',
    value: compared.top1Agreement,
    limit: top1Agreement,
    text: `${percent(compared.top1Agreement)} of ${compared.positions} positions${top1Agreement === null ? '' : ` (at least ${percent(top1Agreement)})`}`,
    passed: compared.top1Agreement >= (top1Agreement ?? 0),
  });
  const proof: Proof = { passed: checks.every((check) => check.passed), checks, rows: rows.length, ...compared };
  // No rounding explains another tensor, or a logit that is no number (weights too large for half precision do).
  const broken = (weights?.value ?? 0) > anotherTensor || !Number.isFinite(compared.maxLogitDifference);
  if (!proof.passed && (lossless || broken)) throw new ProofFailed(request.path, proof);
  return proof;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function compareAdapters(expected: Adapter | null, found: Adapter): ProofCheck {
  const differing = found.shape.tensors.find((tensor, i) => {
    const other = expected?.shape.tensors[i];
    if (!expected || other?.name !== tensor.name) return true;
    const values = tensorView(expected.parameters, other);
    return !tensorView(found.parameters, tensor).every((value, j) => value === values[j]);
  });
  const rescaled = found.shape.modules.find(({ scale }, i) => scale !== expected?.shape.modules[i]?.scale);
  const wrong = differing?.name ?? rescaled?.path;
  const passed = wrong === undefined && found.shape.length === expected?.shape.length;
  const text = passed ? `all ${found.shape.tensors.length} tensors are equal` : `${wrong ?? 'a tensor'} differs`;
  return { name: 'Structure', value: null, limit: null, text, passed };
}

/** Sizes and switches must be equal; the rotary embedding may be written another way but must turn at the same speeds. */
function compareStructure(expected: DecoderSpec, found: DecoderSpec): ProofCheck {
  const differing = (Object.keys(expected) as (keyof DecoderSpec)[]).find(
    (key) => key !== 'ropes' && !isDeepStrictEqual(expected[key], found[key]),
  );
  const sameRope =
    expected.ropes.length === found.ropes.length &&
    expected.ropes.every((rope, i) => {
      const other = found.ropes[i]!;
      const speeds = ropeInverseFrequencies(other, expected.contextLength);
      return (
        rope.dimension === other.dimension &&
        rope.interleaved === other.interleaved &&
        ropeInverseFrequencies(rope, expected.contextLength).every((speed, j) => Math.abs(speeds[j]! / speed - 1) < 1e-5)
      );
    });
  const wrong = differing ?? (sameRope ? undefined : 'ropes');
  return {
    name: 'Structure',
    value: null,
    limit: null,
    text: wrong === undefined ? 'all tensors and sizes are there' : `'${wrong}' differs`,
    passed: wrong === undefined,
  };
}

async function compareTokenizers(expected: Tokenizer | null, found: Tokenizer | null): Promise<ProofCheck> {
  const check = (passed: boolean, text: string): ProofCheck => ({ name: 'Tokenizer', value: null, limit: null, text, passed });
  if (expected === null || found === null)
    return check(expected === found, expected === found ? 'neither has one' : 'only one of the two models has one');
  const texts = builtInTexts.flat();
  for (const text of texts) {
    const marked = `${expected.bosText ?? ''}${text}${expected.eosText ?? ''}`;
    const [a, b] = [await expected.encode(marked), await found.encode(marked)];
    if (a.length !== b.length || a.some((id, i) => id !== b[i])) return check(false, `'${text}' becomes other tokens`);
  }
  if (expected.bos !== found.bos || expected.eos !== found.eos) return check(false, 'the first or last special token differs');
  return check(true, `same tokens for ${texts.length} texts, same special tokens`);
}

function compareTemplates(expected: Tokenizer | null, found: Tokenizer | null): ProofCheck {
  const [template, other] = [expected?.chatTemplate ?? null, found?.chatTemplate ?? null];
  const passed = template === other;
  const text = passed ? (template === null ? 'neither has one' : 'the same, letter by letter') : 'the chat template differs';
  return { name: 'Chat template', value: null, limit: null, text, passed };
}

async function compareLogits(
  { model, adapter, rows, threads, cacheDir, workDir, openSession, step }: ProofRequest,
  exported: OpenModel | null,
  adapterBack: Adapter | null,
): Promise<{ positions: number; maxLogitDifference: number; top1Agreement: number }> {
  const none = new Float32Array(0);
  const reference = await TrainStep.open(model, adapter?.shape ?? noAdapterShape, {
    recompute: false,
    threads,
    cacheDir,
    openSession,
  });
  try {
    const candidate = exported
      ? await TrainStep.open(exported, noAdapterShape, { recompute: false, threads, cacheDir: workDir, openSession })
      : reference;
    try {
      let positions = 0;
      let same = 0;
      let largest = 0;
      for (const [done, row] of rows.entries()) {
        await step(done, rows.length);
        const { inputIds } = row;
        const batch: MicroBatch = {
          inputIds,
          labels: new Int32Array(inputIds.length).fill(-100),
          batch: 1,
          time: inputIds.length,
          lengths: [inputIds.length],
        };
        const expected = await reference.logits(batch, row.positions, adapter?.parameters ?? none);
        const found = await candidate.logits(batch, row.positions, adapterBack?.parameters ?? none);
        const width = model.spec.vocabularySize;
        for (let at = 0; at < row.positions.length; at++) {
          const a = expected.subarray(at * width, (at + 1) * width);
          const b = found.subarray(at * width, (at + 1) * width);
          const { difference, sameTop } = compareRow(a, b);
          // A value that is no number compares as false everywhere; it must not pass as equal.
          largest = Number.isNaN(difference) ? Infinity : Math.max(largest, difference);
          positions++;
          if (sameTop) same++;
        }
      }
      return { positions, maxLogitDifference: largest, top1Agreement: positions === 0 ? 0 : same / positions };
    } finally {
      if (candidate !== reference) await candidate.release();
    }
  } finally {
    await reference.release();
  }
}

function compareRow(a: Float32Array, b: Float32Array): { difference: number; sameTop: boolean } {
  let difference = 0;
  let topA = 0;
  let topB = 0;
  for (let i = 0; i < a.length; i++) {
    const apart = Math.abs(a[i]! - b[i]!);
    if (!(apart <= difference)) difference = apart;
    if (a[i]! > a[topA]!) topA = i;
    if (b[i]! > b[topB]!) topB = i;
  }
  return { difference, sameTop: topA === topB };
}
