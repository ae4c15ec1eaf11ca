/**
 * Builds the graph that transformers.js and onnxruntime-genai run. It takes tokens, mask and cached keys and values, and
 * returns logits and the longer cache, under the names both expect.
 */
import type { AdaptedModule } from '../../adapters/adapter.ts';
import { decoder, logits } from '../../decoder/decoder.ts';
import type { DecoderOptions } from '../../decoder/options.ts';
import type { Sequence } from '../../decoder/sequence.ts';
import { Graph } from '../../graph/graph.ts';
import type { Value } from '../../graph/node.ts';
import { gemm, type LoraFactors } from '../../graph/ops/matmul.ts';
import { reshape } from '../../graph/ops/shape.ts';
import { ropeTables } from '../../models/rope.ts';
import { blockState, type DecoderSpec, type RopeSpec } from '../../models/spec.ts';
import { exportDims, groupQueryAttention } from './attention.ts';
import type { WeightStore } from './weights.ts';

/** Builds the graph. Every weight it needs is requested from the store, which places it in the data file. */
export function buildOnnxGraph(spec: DecoderSpec, store: WeightStore, adapted: readonly AdaptedModule[] = []): Graph {
  const g = new Graph();
  const dims = exportDims;
  const inputIds = g.input('input_ids', 'int64', [dims.batch, dims.time]);
  const attentionMask = g.input('attention_mask', 'int64', [dims.batch, dims.total]);
  const needsPositions = spec.ropes.length > 0 || spec.learnedPositions !== null;
  const positionIds = needsPositions ? g.input('position_ids', 'int64', [dims.batch, dims.time]) : null;

  const one = (values: readonly number[]) => g.constant('int64', [values.length], values);
  const extent = (of: Value, axis: number): Value => {
    return g.node('Gather', [g.node('Shape', [of]), one([axis])], { axis: { int: 0 } });
  };
  g.defineDimension(dims.batch, extent(inputIds, 0));
  g.defineDimension(dims.time, extent(inputIds, 1));
  const flat = (value: Value): Value => reshape(g, [value], { shape: ['tokens'] });
  const flatIds = flat(inputIds);
  g.defineDimension('tokens', extent(flatIds, 0));

  const toInt32 = (value: Value): Value => g.node('Cast', [value], { to: { int: 6 } });
  // GroupQueryAttention counts each row's keys less one, and all keys.
  const counted = g.node('ReduceSum', [attentionMask, one([1])], { keepdims: { int: 0 } });
  const lastKey = toInt32(g.node('Sub', [counted, one([1])]));
  const total = toInt32(extent(attentionMask, 1));

  /** Adds the inputs that hold a block's earlier state, under the names that onnxruntime-genai and transformers.js know. */
  const past = (layer: number): Record<string, Value> =>
    Object.fromEntries(
      blockState(spec.blocks[layer]!).map(({ name, shape }) => {
        const own = shape.map((extent) => (extent === 'tokens' ? dims.past : extent));
        return [name, g.input(pastName(layer, name), 'float32', [dims.batch, ...own])];
      }),
    );
  const sequence = {
    batch: dims.batch,
    time: dims.time,
    tokens: 'tokens',
    queryBlocks: 1,
    inputIds: flatIds,
    // Without positions nothing reads it.
    position: positionIds ?? inputIds,
    positions: spec.learnedPositions === null ? null : flat(positionIds!),
    // Rows are never packed here.
    starts: null,
    rotations: spec.ropes.map((rope, i) => rotations(g, spec, rope, i, store)),
    masks: new Map(),
  } satisfies Sequence;
  const factors = new Map(adapted.map((module) => [module.path, adapterInputs(g, module)]));
  const options: DecoderOptions = {
    weight: (name) => store.dense(g, name),
    // This is for the head; the adapters of blocks are in their products.
    lora: (path) => factors.get(path) ?? null,
    recompute: 0,
    linear(path, x, bias) {
      const product = store.product(g, path, x, bias);
      const own = factors.get(path);
      return own === undefined ? product : gemm(g, [gemm(g, [x, own.a], { transB: true }), own.b, product], { transB: true });
    },
    attend(mixer, layer, inputs) {
      const { mixed, key, value } = groupQueryAttention(g, mixer, inputs, () => past(layer), { lastKey, total });
      g.output(`present.${layer}.key`, key);
      g.output(`present.${layer}.value`, value);
      return mixed;
    },
  };
  const hidden = decoder(g, spec, sequence, options);
  const all = logits(g, spec, hidden, null, options);
  const shaped = reshape(g, [all], { shape: [dims.batch, dims.time, spec.vocabularySize] });
  g.output('logits', shaped);
  return g;
}

/** Returns the name of the input from which a block reads an array of its state. */
export function pastName(layer: number, array: string): string {
  return `past_key_values.${layer}.${array}`;
}

/**
 * Returns the names of an adapter's factors, in an adapter file and as inputs of the graph. These inputs are empty unless an
 * adapter of any rank is given.
 */
export function factorNames({ path }: AdaptedModule): { readonly a: string; readonly b: string } {
  return { a: `${path}.lora_A.weight`, b: `${path}.lora_B.weight` };
}

function adapterInputs(g: Graph, module: AdaptedModule): LoraFactors {
  const { path, inFeatures, outFeatures } = module;
  const [names, rank] = [factorNames(module), `rank of ${path}`];
  return {
    a: g.optionalInput(names.a, 'float32', [rank, inFeatures], [0, inFeatures]),
    b: g.optionalInput(names.b, 'float32', [outFeatures, rank], [outFeatures, 0]),
    scale: 1,
  };
}

/** Adds the rotary tables over all positions to the data file. */
function rotations(
  g: Graph,
  spec: DecoderSpec,
  rope: RopeSpec,
  index: number,
  store: WeightStore,
): Sequence['rotations'][number] {
  // Beyond its original context longrope turns at other speeds: one table can hold only one of the two.
  const known = rope.scaling.kind === 'longrope' ? rope.scaling.originalContextLength : spec.contextLength;
  const positions = Math.min(known, spec.contextLength);
  const half = rope.dimension / 2;
  const table = (name: string, what: 'cos' | 'sin', growth: (position: number) => number): Value =>
    store.table(g, `rope.${index}.${name}${what}`, [positions, half], () =>
      ropeTables(rope, 0, positions)[what].map((value, i) => value * growth(Math.floor(i / half))),
    );
  const pair = (name: string, growth: (position: number) => number) => ({
    cos: table(name, 'cos', growth),
    sin: table(name, 'sin', growth),
  });
  const key = pair('', () => 1);
  if (spec.queryGrowth === null) return { key, query: key };
  const { beta, originalContextLength } = spec.queryGrowth;
  return { key, query: pair('query.', (position) => 1 + beta * Math.log1p(Math.floor(position / originalContextLength))) };
}
