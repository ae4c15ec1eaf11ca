/**
 * Feeds adapters as inputs of a graph, so that they change without a new session: any number of weighted adapters act as one.
 */
import { tensorView } from '../adapters/adapter.ts';
import { addReplacements, doraScale, moduleWeight, type WeightedAdapter } from '../adapters/delta.ts';
import { targetModules, type TargetModule } from '../adapters/targets.ts';
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import type { LoraFactors } from '../graph/ops/matmul.ts';
import { storedName, type DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import type { TensorValue } from '../runtime/session.ts';
import type { DecoderOptions } from './options.ts';
import { float32 } from './sequence.ts';
import { weightsOf, type WeightFiles } from './weights.ts';

/** Lists the modules and weights that the inputs of a graph can adapt. */
export interface AdapterSlots {
  /** Lists the paths of adapted modules; a module whose factors have rank 0 computes as the base does. */
  readonly adapted: ReadonlySet<string>;
  /** Lists the paths of modules whose outputs are scaled by DoRA. */
  readonly scaled: ReadonlySet<string>;
  /** Lists the names of weights that trained ones replace. */
  readonly replaced: ReadonlySet<string>;
}

export const noSlots: AdapterSlots = { adapted: new Set(), scaled: new Set(), replaced: new Set() };

/** Returns the slots that these adapters need together with those already `held`. */
export function slotsFor(adapters: readonly WeightedAdapter[], held: AdapterSlots): AdapterSlots {
  const shapes = adapters.map(({ adapter }) => adapter.shape);
  const modules = shapes.flatMap((shape) => shape.modules);
  const scaled = modules.filter(({ magnitude }) => magnitude !== null);
  return {
    adapted: new Set([...held.adapted, ...modules.map(({ path }) => path)]),
    scaled: new Set([...held.scaled, ...scaled.map(({ path }) => path)]),
    replaced: new Set([...held.replaced, ...shapes.flatMap((shape) => shape.replaced.flatMap(({ names }) => names))]),
  };
}

export function sameSlots(a: AdapterSlots, b: AdapterSlots): boolean {
  return (['adapted', 'scaled', 'replaced'] as const).every((kind) => a[kind].size === b[kind].size);
}

/**
 * The input has a name of its own because the base weight may be in the graph too, as a tied head when the embedding is
 * trained.
 */
const replacedName = (name: string): string => `trained/${name}`;

function adaptedModules(spec: DecoderSpec, { adapted }: AdapterSlots): TargetModule[] {
  return targetModules(spec).filter(({ path }) => adapted.has(path));
}

/** Declares the inputs of the adapters and returns how the decoder reads its weights and factors through them. */
export function adapterInputs(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  slots: AdapterSlots,
): Pick<DecoderOptions, 'weight' | 'lora'> {
  const factors = new Map(
    adaptedModules(spec, slots).map(({ path, inFeatures, outFeatures }): [string, LoraFactors] => {
      const rank = `rank of ${path}`;
      const a = g.input(`${path}.lora_A`, 'float32', [rank, inFeatures]);
      const b = g.input(`${path}.lora_B`, 'float32', [outFeatures, rank]);
      const outputScale = slots.scaled.has(path) ? { outputScale: g.input(`${path}.scale`, 'float32', [outFeatures]) } : {};
      return [path, { a, b, scale: 1, ...outputScale }];
    }),
  );
  const frozen = weightsOf(g, spec, files);
  const replaced = new Map<string, Value>();
  for (const name of slots.replaced)
    replaced.set(name, g.input(replacedName(name), 'float32', files.get(storedName(spec, name))!.shape));
  return { weight: (name) => replaced.get(name) ?? frozen(name), lora: (path) => factors.get(path) ?? null };
}

/** Returns the values to feed to the inputs that `adapterInputs` declares, by name. */
export function adapterFeeds(
  { spec, weights }: { readonly spec: DecoderSpec; readonly weights: Pick<ModelWeights, 'read' | 'shape'> },
  slots: AdapterSlots,
  adapters: readonly WeightedAdapter[],
): Record<string, TensorValue> {
  const feeds: Record<string, TensorValue> = {};
  for (const module of adaptedModules(spec, slots)) {
    const base = slots.scaled.has(module.path) ? moduleWeight(weights, spec, module) : null;
    Object.assign(feeds, stackedFactors(module, base, adapters));
  }
  for (const name of slots.replaced) {
    const values = weights.read(storedName(spec, name));
    addReplacements(values, name, adapters);
    feeds[replacedName(name)] = float32(values, weights.shape(storedName(spec, name)));
  }
  return feeds;
}

/**
 * Stacks the factors of one module over all adapters: A one above the other, B side by side, multiplied by weight and scale.
 * With DoRA's scales c the sum is W + Σ w (c ∘ (W + s B A) - W) = C ∘ (W + Σ (w c s / C) B A) where C = 1 + Σ w (c - 1);
 * without DoRA, c and C are 1.
 */
function stackedFactors(
  { path, inFeatures, outFeatures }: TargetModule,
  base: Float32Array | null,
  adapters: readonly WeightedAdapter[],
): Record<string, TensorValue> {
  const parts = adapters.flatMap(({ adapter: { shape, parameters }, weight }) => {
    const module = shape.modules.find((candidate) => candidate.path === path);
    return module === undefined ? [] : [{ module, parameters, weight, scale: base && doraScale(base, module, parameters) }];
  });
  const total = new Float64Array(outFeatures).fill(1);
  for (const { scale, weight } of parts) scale?.forEach((factor, i) => (total[i]! += weight * (factor - 1)));
  const rank = parts.reduce((sum, { module }) => sum + module.rank, 0);
  const stackedA = new Float32Array(rank * inFeatures);
  const stackedB = new Float32Array(outFeatures * rank);
  let before = 0;
  for (const { module, parameters, weight, scale } of parts) {
    stackedA.set(tensorView(parameters, module.a), before * inFeatures);
    const b = tensorView(parameters, module.b);
    for (let row = 0; row < outFeatures; row++) {
      const factor = (weight * module.scale * (scale?.[row] ?? 1)) / total[row]!;
      for (let k = 0; k < module.rank; k++) stackedB[row * rank + before + k] = factor * b[row * module.rank + k]!;
    }
    before += module.rank;
  }
  return {
    [`${path}.lora_A`]: float32(stackedA, [rank, inFeatures]),
    [`${path}.lora_B`]: float32(stackedB, [outFeatures, rank]),
    ...(base === null ? {} : { [`${path}.scale`]: float32(Float32Array.from(total), [outFeatures]) }),
  };
}
