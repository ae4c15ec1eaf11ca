/** Builds the graph of a training step, from tokens and an adapter to the loss of every supervised token and the gradient. */
import type { AdapterShape, AdapterTensor } from '../adapters/adapter.ts';
import type { Provider } from '../contract.ts';
import { decoder, headInput, headLogits } from '../decoder/decoder.ts';
import type { DecoderOptions } from '../decoder/options.ts';
import { packedEnds, weightsOf, type WeightFiles } from '../decoder/weights.ts';
import { sequenceInputs } from '../decoder/sequence.ts';
import { gradients } from '../graph/gradient.ts';
import { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { headCrossEntropy } from '../graph/ops/loss.ts';
import { doraScale, type LoraFactors } from '../graph/ops/matmul.ts';
import { uniformNoise, type RowKeys } from '../graph/ops/random.ts';
import { reshape } from '../graph/ops/shape.ts';
import { rematerialize } from '../graph/rematerialize.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { assert } from '../problem.ts';

/** Says what a graph computes: losses and their gradient, the same losses alone, or losses without dropout and noise. */
export type Purpose = 'gradient' | 'score' | 'evaluate';

/** Describes the graph of a step, besides the model and the shape of the adapter. */
export interface StepGraphOptions {
  /**
   * Counts the blocks with gradient checkpointing: these, counted from the first, keep only their input until the backward
   * pass. For all blocks it takes about a third more work and a fraction of the memory.
   */
  readonly recompute: number;
  /** Gives the device that computes it; the processor when left out. */
  readonly provider?: Provider;
  /** Gives the share of the adapters' inputs that is dropped while training, from 0 to 1. */
  readonly dropout?: number;
  /**
   * Gives the alpha of NEFTune: while training, uniform noise within alpha / √(tokens of the row x width) is added to the
   * embeddings.
   */
  readonly neftuneNoiseAlpha?: number;
  /** Holds the first values of the adapter's factors, as in `Adapter.initial`. */
  readonly initial?: Float32Array | null;
  /** Gives the number of blocks of queries into which attention is cut, 1 when left out; see `attentionBlocksFor`. */
  readonly attentionBlocks?: number;
}

/** Builds the whole step as one graph. */
export function buildStep(
  spec: DecoderSpec,
  files: WeightFiles,
  shape: AdapterShape,
  purpose: Purpose,
  {
    recompute,
    dropout = 0,
    neftuneNoiseAlpha = 0,
    initial = null,
    attentionBlocks: queryBlocks = 1,
    provider = 'cpu',
  }: StepGraphOptions,
): Graph {
  const g = new Graph();
  const sequence = sequenceInputs(g, spec, { batch: 'batch', tokens: 'tokens', keys: 'time', queryBlocks });
  const inputs = new Map(shape.tensors.map((tensor) => [tensor, g.input(tensor.name, 'float32', tensor.shape)]));
  const rows = g.input('rows', 'int64', ['rows']);
  const taken = new Map(
    (initial ? takenTensors(shape) : []).map((tensor) => [tensor, g.input(takenName(tensor), 'float32', tensor.shape)]),
  );
  const isRandom = purpose !== 'evaluate' && (dropout > 0 || neftuneNoiseAlpha > 0);
  const keyInput = (name: string): Value => g.input(`random.${name}`, 'int32', ['tokens', 1]);
  const keys: RowKeys | null = isRandom ? [keyInput('first'), keyInput('second')] : null;
  const replaced = new Set(shape.replaced.flatMap(({ names }) => names));
  const adapted = (): DecoderOptions => {
    const own = adaptation(g, spec, files, shape, inputs, taken, keys && dropout > 0 ? { rate: dropout, keys } : null);
    return {
      ...own,
      // An accelerator cannot pick rows out of bytes, so there both are dequantized as a whole.
      ...(provider === 'cpu' ? packedEnds(g, spec, files, (name) => replaced.has(name)) : {}),
      ...(keys && neftuneNoiseAlpha > 0 ? { noise: embeddingNoise(g, spec, keys) } : {}),
      recompute: purpose === 'gradient' ? recompute : 0,
    };
  };
  const targets = g.input('targets', 'int64', ['chunks', 'chunkRows']);
  const { result: tokenLoss, tape } = g.record(() => {
    const options = adapted();
    const hidden = decoder(g, spec, sequence, options);
    const chunked = reshape(g, [headInput(g, spec, hidden, rows, options)], {
      shape: ['chunks', 'chunkRows', spec.hiddenSize],
    });
    const trained = headValues(spec, options, replaced);
    const gradient = purpose !== 'gradient' ? 'none' : trained.length === 0 ? 'hidden' : 'hidden and trained';
    const dropped = options.lora(spec.modules.output)?.dropout;
    const keysOfRows = dropped === undefined ? [] : dropped.keys.map((key) => chosenKeys(g, key, rows));
    const head = (body: Graph, x: Value, _: readonly Value[], [first, second]: readonly Value[]): Value => {
      if (dropped === undefined || first === undefined || second === undefined) return headLogits(body, spec, x, options);
      const lora = (path: string) => ({ ...options.lora(path)!, dropout: { ...dropped, keys: [first, second] as const } });
      return headLogits(body, spec, x, { ...options, lora });
    };
    const attributes = { head, gradient, ofRows: keysOfRows.length } as const;
    return g.scope('loss', () => headCrossEntropy(g, [chunked, targets, ...keysOfRows, ...trained], attributes));
  });
  if (purpose === 'gradient') {
    const forward = g.nodes.length;
    const weight = g.input('weight', 'float32', ['chunks', 'chunkRows']);
    const found = gradients(g, tape, tokenLoss, weight, [...inputs.values()]);
    shape.tensors.forEach(({ name }, i) => {
      const gradient = found[i];
      assert(gradient !== null && gradient !== undefined, `the loss does not depend on ${name}`);
      g.output(`gradient.${name}`, gradient);
    });
    rematerialize(g, forward);
  }
  g.output('token_loss', reshape(g, [tokenLoss], { shape: ['rows'] }));
  return g;
}

/** Builds the noise of NEFTune (Jain et al. 2023), `[tokens, hidden]`. */
function embeddingNoise(g: Graph, { hiddenSize }: DecoderSpec, keys: RowKeys): Value {
  return uniformNoise(g, keys, 'neftune', hiddenSize, g.input('random.limit', 'float32', ['tokens', 1]));
}

/** Picks from the keys `[tokens, 1]` those of the rows that the head reads, `[chunks, chunkRows, 1]`. */
function chosenKeys(g: Graph, keys: Value, rows: Value): Value {
  const chosen = g.node('Gather', [keys, rows], { axis: { int: 0 } });
  return reshape(g, [chosen], { shape: ['chunks', 'chunkRows', 1] });
}

/** Lists the factors whose first values are taken out of the base. */
export function takenTensors({ modules }: AdapterShape): AdapterTensor[] {
  return modules.flatMap(({ kind, a, b }) => (kind === 'linear' ? [a, b] : []));
}

/** Returns the name of the input of a factor's first values. */
export const takenName = ({ name }: AdapterTensor): string => `taken/${name}`;

type TrainedInputs = ReadonlyMap<AdapterTensor, Value>;

/**
 * Builds the weights, frozen or trained, and the factors of every adapted module. DoRA's scales are computed once, before the
 * blocks.
 */
function adaptation(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  { modules, replaced }: AdapterShape,
  inputs: TrainedInputs,
  takenInputs: TrainedInputs,
  dropout: { readonly rate: number; readonly keys: RowKeys } | null,
): Pick<DecoderOptions, 'weight' | 'lora'> {
  const frozen = weightsOf(g, spec, files);
  const trained = new Map(replaced.flatMap(({ names, tensor }) => names.map((name) => [name, inputs.get(tensor)!] as const)));
  const weight = (name: string): Value => trained.get(name) ?? frozen(name);
  const factors = new Map(
    modules.map(({ path, kind, scale, a, b, magnitude }): [string, LoraFactors] => {
      const dropping = dropout === null ? {} : { dropout: { ...dropout, name: path } };
      const [takenA, takenB] = [takenInputs.get(a), takenInputs.get(b)];
      const taking = takenA && takenB ? { taken: { a: takenA, b: takenB } } : {};
      const own = { a: inputs.get(a)!, b: inputs.get(b)!, scale, ...dropping, ...taking };
      if (magnitude === null) return [path, own];
      const values = [inputs.get(magnitude)!, weight(`${path}.weight`), own.a, own.b];
      const outputScale = g.scope(path, () => doraScale(g, values, { scale, embedding: kind === 'embedding' }));
      return [path, { ...own, outputScale }];
    }),
  );
  return { weight, lora: (path) => factors.get(path) ?? null };
}

/** Lists the values of the output head that get a gradient: trained weights, factors, and DoRA's scale. */
function headValues({ modules, head }: DecoderSpec, { weight, lora }: DecoderOptions, replaced: ReadonlySet<string>): Value[] {
  const factors = lora(modules.output);
  const own = [`${modules.output}.weight`, ...(head.bias ? [`${modules.output}.bias`] : [])];
  const scale = factors?.outputScale;
  return [
    ...own.filter((name) => replaced.has(name)).map(weight),
    ...(factors ? [factors.a, factors.b] : []),
    ...(scale ? [scale] : []),
  ];
}
