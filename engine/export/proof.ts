/**
 * Proves an export: it is read back as any other program would read it, and compared with base + adapter on the same tokens.
 * The limits are in `limits.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import { basename, join } from 'node:path';
import type { ChatMessage, Proof, ProofCheck } from '../contract.ts';
import { ignored } from '../labels.ts';
import type { TokenRow } from '../data/row.ts';
import { type Day, today } from '../data/day.ts';
import { openTemplate } from '../data/template.ts';
import { openTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { readHubTokenizer } from '../models/tokenizer-source.ts';
import { contextOf } from '../models/positions.ts';
import { ropeInverseFrequencies } from '../models/rope.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import type { OpenSession } from '../runtime/session.ts';
import type { Adapter } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import { onlyAdapter } from './adapter-export.ts';
import { builtInConversations, compareConversations, compareTokenizers } from './conversations.ts';
import { Predictions } from './distributions.ts';
import type { ExportTarget } from './index.ts';
import { LogitsRunner } from '../decoder/logits.ts';
import { OnnxRunner } from './onnx/run.ts';
import type { OnnxPrecision } from './onnx/weights.ts';
import { compareModelfile } from './ollama/folder.ts';
import { compareAdapters, compareFactors, compareWeights } from './readback.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

/** The bounds suffice to find a wrong tensor or a wrong rounding within seconds. */
export const proofBounds = { rows: 64, positions: 256, positionsOfRow: 64, tokensPerRow: 512 };

/** Describes a row of the proof: token ids, the positions whose logits are compared, and the conversation they came from. */
export interface ProofRow {
  readonly inputIds: Int32Array;
  readonly positions: readonly number[];
  readonly messages: readonly ChatMessage[] | null;
}

/** Holds the parts of a row that a proof needs. */
type SourceRow = Pick<TokenRow, 'inputIds' | 'labels' | 'messages'>;

/** Chooses supervised positions of evaluation rows until there are enough. */
export function proofRows(rows: readonly SourceRow[], spec: DecoderSpec): ProofRow[] {
  const longest = Math.min(proofBounds.tokensPerRow, contextOf(spec));
  const chosen: ProofRow[] = [];
  let found = 0;
  for (const { inputIds, labels, messages } of rows) {
    if (found >= proofBounds.positions || chosen.length === proofBounds.rows) break;
    const positions: number[] = [];
    const length = Math.min(inputIds.length, longest);
    for (let t = 0; t + 1 < length && positions.length < proofBounds.positionsOfRow; t++)
      if (labels[t + 1] !== ignored) positions.push(t);
    if (positions.length === 0) continue;
    found += positions.length;
    // The token that follows the last position is kept, because its likelihood is compared too.
    chosen.push({ inputIds: inputIds.slice(0, positions.at(-1)! + 2), positions, messages });
  }
  return chosen;
}

/**
 * Makes rows where there are no evaluation rows: from built-in conversations, or for a model without a tokenizer from a fixed
 * sequence of its ids.
 */
export async function builtInRows(tokenizer: Tokenizer | null, spec: DecoderSpec, day: Day = today()): Promise<ProofRow[]> {
  const every = (ids: readonly number[]): SourceRow => {
    const inputIds = Int32Array.from(ids);
    return { inputIds, labels: inputIds, messages: null };
  };
  if (tokenizer === null) {
    const length = Math.min(40, contextOf(spec));
    return proofRows(
      Array.from({ length: 8 }, (_, row) =>
        every(Array.from({ length }, (_, t) => (row * 7919 + t * t * 31 + t * 17) % spec.vocabularySize)),
      ),
      spec,
    );
  }
  const template = tokenizer.chatTemplate === null ? null : openTemplate(tokenizer, { day });
  const rows: SourceRow[] = [];
  for (const messages of builtInConversations) {
    if (messages.some(({ role }) => role === 'system')) continue;
    const text =
      template === null
        ? messages.map(({ content }) => content).join('\n')
        : template.render(messages, { addGenerationPrompt: false });
    rows.push(every(await tokenizer.encode(text)));
  }
  return proofRows(rows, spec);
}
/** Returns whether rows have as many positions as a proof compares at most. */

export function hasEnoughPositions(rows: readonly ProofRow[]): boolean {
  return rows.reduce((sum, { positions }) => sum + positions.length, 0) >= proofBounds.positions;
}

/** Holds the export to prove, and the means to do so. */
export interface ProofRequest {
  /** Holds the model and adapters the export was made from. */
  readonly source: ExportSource;
  readonly target: ExportTarget;
  /** Gives the present path of the export. */
  readonly path: string;
  readonly rows: readonly ProofRow[];
  readonly threads: number;
  /**
   * Gives the folder of the base's cache. `workDir` is a folder for what is expanded from the export, and is removed
   * afterwards.
   */
  readonly cacheDir: string;
  readonly workDir: string;
  readonly openSession: OpenSession;
  /** Is called for each tensor that is read back; `onRow` for each row. */
  readonly onTensor: OnProgress;
  readonly onRow: OnProgress;
}

/** A tensor with a larger relative error is a different one, or in a different order, whatever its type. */
const anotherTensor = 0.9;

/** Reports an export that is not what it should be; the proof says which check failed. */
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

/** An adapter with an effect below this, in nats, does too little to measure how much of it an export keeps. */
const smallestEffect = 1e-3;
/** An export that keeps a smaller share of the adapter's effect gets a warning. */
const keptEffect = 0.9;

/**
 * Compares an export with its source and returns the proof, whose failed checks are warnings. Throws `ProofFailed` where the
 * structure is wrong, or numbers miss a limit that is certain.
 */
export async function proveExport(request: ProofRequest): Promise<Proof> {
  const { source: made, target, rows } = request;
  const { base, model, tokenizer, adapters } = made;
  const checks: ProofCheck[] = [];
  const adapterBack = target.adapterOnly ? readAdapter(request.path, base) : null;
  const exported =
    adapterBack === null && !target.format.startsWith('onnx')
      ? openModel(join(request.path, target.modelFile ?? ''), base.info.acceptFields)
      : null;
  if (adapterBack) checks.push(compareAdapters(onlyAdapter(adapters), adapterBack, target.limits.tensorError));
  else {
    if (exported) checks.push(compareStructure(model.spec, exported.spec));
    const source = exported ? exported.tokenizerSource : readHubTokenizer(request.path);
    const tokenizerBack = source && openTokenizer(source);
    checks.push(await compareTokenizers(tokenizer, tokenizerBack));
    checks.push(await compareConversations(tokenizer, tokenizerBack, made));
    if (target.format === 'onnx-adapter') checks.push(compareFactors(onlyAdapter(adapters), request.path));
    if (target.format === 'ollama') checks.push(await compareModelfile(request.path, tokenizerBack, made));
  }
  // A model of another structure cannot be asked for the same logits.
  if (checks.some((check) => !check.passed))
    throw new ProofFailed(request.path, {
      passed: false,
      checks,
      rows: 0,
      positions: 0,
      maxLogitDifference: 0,
      top1Agreement: 0,
    });

  const { tensorError, maxLogitDifference, top1Agreement, certain } = target.limits;
  const weights = exported && (await compareWeights(made, exported, tensorError, request.onTensor));
  if (weights) checks.push(weights);
  const compared = await comparePredictions(request, exported, adapterBack);
  checks.push({
    name: 'Largest logit difference',
    value: compared.maxLogitDifference,
    limit: maxLogitDifference,
    text: `${compared.maxLogitDifference.toExponential(2)}${maxLogitDifference === null ? '' : ` (at most ${maxLogitDifference})`}, ${compared.meanLogitDifference.toExponential(2)} in the mean`,
    passed: Number.isFinite(compared.maxLogitDifference) && compared.maxLogitDifference <= (maxLogitDifference ?? Infinity),
  });
  checks.push({
    name: 'Same most likely token',
    value: compared.top1Agreement,
    limit: top1Agreement,
    text: `${percent(compared.top1Agreement)} of ${compared.positions} positions${top1Agreement === null ? '' : ` (at least ${percent(top1Agreement)})`}`,
    passed: compared.top1Agreement >= (top1Agreement ?? 0),
  });
  const change = compared.perplexityChange;
  checks.push({
    name: 'Distributions',
    value: compared.divergence,
    limit: null,
    text: `${compared.divergence.toExponential(2)} nats apart${change === null ? '' : `, perplexity ${change < 0 ? '' : '+'}${percent(change)}`}`,
    passed: Number.isFinite(compared.divergence),
  });
  if (adapters.length > 0 && compared.adapterEffect >= smallestEffect) {
    const kept = 1 - compared.divergence / compared.adapterEffect;
    checks.push({
      name: 'Effect of the adapter',
      value: kept,
      limit: keptEffect,
      text: `${percent(kept)} of what the adapter changes survives (at least ${percent(keptEffect)})`,
      passed: kept >= keptEffect,
    });
  }
  const proof: Proof = {
    passed: checks.every((check) => check.passed),
    checks,
    rows: rows.length,
    positions: compared.positions,
    maxLogitDifference: compared.maxLogitDifference,
    top1Agreement: compared.top1Agreement,
  };
  // Rounding cannot explain a different tensor, nor a logit that is NaN (weights too large for half precision can).
  const broken = (weights?.value ?? 0) > anotherTensor || !Number.isFinite(compared.maxLogitDifference);
  const wrong = certain === 'values' ? !proof.passed : certain === 'rounding' && weights?.passed === false;
  if (wrong || broken) throw new ProofFailed(request.path, proof);
  return proof;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/**
 * Compares two specs: sizes and switches must be equal. The rotary embedding may be written differently but must turn at the
 * same speeds.
 */
function compareStructure(expected: DecoderSpec, found: DecoderSpec): ProofCheck {
  const differing = differingPart({ ...expected, ropes: null }, { ...found, ropes: null });
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

/** Returns the path of the first part in which two specs differ, such as `blocks.3.mixer.heads`. */
function differingPart(expected: unknown, found: unknown): string | undefined {
  const isTree = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
  if (!isTree(expected) || !isTree(found)) return undefined;
  const key = Object.keys({ ...expected, ...found }).find((key) => !isDeepStrictEqual(expected[key], found[key]));
  if (key === undefined) return undefined;
  const within = differingPart(expected[key], found[key]);
  return within === undefined ? key : `${key}.${within}`;
}

/** Computes the logits of a row at its positions, `[positions, vocabulary]`. */
interface Candidate {
  logits(row: ProofRow): Promise<Float32Array>;
  release(): Promise<void>;
}

async function comparePredictions(
  request: ProofRequest,
  exported: OpenModel | null,
  adapterBack: Adapter | null,
): Promise<Predictions> {
  const { source, rows, threads, cacheDir, workDir, openSession, onRow } = request;
  const { base, adapters } = source;
  const reference = await LogitsRunner.open(base, adapters, { threads, cacheDir, openSession });
  let candidate: Candidate | null = null;
  try {
    const [adapted, plain] = [reference.feeds(adapters), reference.feeds([])];
    // An adapter that was read back uses the same base, in the same session.
    const ofAdapter = adapterBack && reference.feeds([{ adapter: adapterBack, weight: 1 }]);
    if (exported !== null) {
      const runner = await LogitsRunner.open(exported, [], { threads, cacheDir: workDir, openSession });
      const none = runner.feeds([]);
      candidate = {
        logits: ({ inputIds, positions }) => runner.run(inputIds, positions, none),
        release: () => runner.release(),
      };
    } else if (ofAdapter === null) candidate = await openOnnx(request);
    const predictions = new Predictions();
    const width = base.spec.vocabularySize;
    for (const [done, row] of rows.entries()) {
      await onRow(done, rows.length);
      const { inputIds, positions } = row;
      const expected = await reference.run(inputIds, positions, adapted);
      const found = candidate ? await candidate.logits(row) : await reference.run(inputIds, positions, ofAdapter!);
      const before = adapters.length === 0 ? null : await reference.run(inputIds, positions, plain);
      positions.forEach((position, at) => {
        const part = (logits: Float32Array): Float32Array => logits.subarray(at * width, (at + 1) * width);
        predictions.add(part(expected), part(found), before && part(before), inputIds[position + 1] ?? null);
      });
    }
    return predictions;
  } finally {
    await candidate?.release();
    await reference.release();
  }
}

async function openOnnx({ path, target, source, threads, openSession }: ProofRequest): Promise<Candidate> {
  const precision = target.quantization as OnnxPrecision;
  const adapted = target.format === 'onnx-adapter' ? onlyAdapter(source.adapters).shape.modules : [];
  const run = await OnnxRunner.open(path, precision, source.model, adapted, { threads, openSession });
  return { logits: ({ inputIds, positions }) => run.logits(inputIds, positions), release: () => run.release() };
}
