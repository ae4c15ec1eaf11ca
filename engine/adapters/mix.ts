/** Mixes several adapters of one base into one, by the methods of PEFT's `add_weighted_adapter`. */
import type { MixedMatrix, MixMethod, MixSettings } from '../contract.ts';
import { mixMethods, type MixRule } from '../mix-methods.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import { defaultRecipe } from '../recipe.ts';
import { shapeOfParts, tensorView, type AdaptedModule, type Adapter } from './adapter.ts';
import type { AdapterConfig } from './config.ts';
import type { Matrix } from './decompose.ts';
import type { WeightedAdapter } from './delta.ts';
import { newConfig } from './initial.ts';
import { cutMatrix, cutProduct, type LowRank } from './low-rank.ts';
import { mergeTensors, type MergeNumbers, type MergeRule } from './merge-rules.ts';
import { patternOf, targetModules, targetsFor } from './targets.ts';

function methodOf(name: MixMethod): MixRule {
  if (Object.hasOwn(mixMethods, name)) return mixMethods[name];
  throw new Problem(
    'request-invalid',
    `'${String(name)}' is no method of mixing adapters.`,
    `Choose among ${Object.keys(mixMethods).join(', ')}.`,
  );
}

/** Describes one of the adapters that are mixed. */
export interface MixedPart extends WeightedAdapter {
  /** Gives the name for messages. */
  readonly name: string;
}

export interface Mix {
  readonly adapter: Adapter;
  readonly matrices: readonly MixedMatrix[];
  /** Holds the settings that counted, each with its value. */
  readonly settings: MixSettings;
  /** Says in sentences which settings counted for nothing. */
  readonly notes: readonly string[];
}

/**
 * Returns the mixed adapter, whose matrices have the scale 1. `base` is the model's spec, and the name of the base to write; it
 * is null where the model is not at hand, which is enough for a single adapter. What cannot be mixed is refused with a
 * `Problem`.
 */
export async function mixAdapters(
  parts: readonly MixedPart[],
  given: MixSettings,
  base: { readonly spec: DecoderSpec; readonly name: string | null } | null,
  onMatrix: (done: number, total: number) => Promise<void> = () => Promise.resolve(),
): Promise<Mix> {
  const method = methodOf(given.method);
  const settings = countingSettings(given, method);
  const isWhole = parts.length === 1 && parts[0]!.weight === 1;
  for (const part of parts) requireMixable(part, isWhole);
  const rank = settings.rank ?? (method.cuts ? Math.max(...parts.map(({ adapter }) => largestRank(adapter.config))) : Infinity);
  const places = placesOf(parts, base?.spec ?? null);
  const mixed: (LowRank & { readonly module: AdaptedModule })[] = [];
  await onMatrix(0, places.length);
  for (const [i, module] of places.entries()) {
    const changes = parts.flatMap(({ name, weight, adapter: { shape, parameters } }): Change[] => {
      const own = shape.modules.find(({ path }) => path === module.path);
      if (own === undefined) return [];
      return [{ name, weight, module: own, a: tensorView(parameters, own.a), b: tensorView(parameters, own.b) }];
    });
    mixed.push({ module, ...(await mixedMatrix(changes, method, numbersOf(settings), rank)) });
    await onMatrix(i + 1, places.length);
  }
  const most = Math.max(0, ...mixed.map(({ rank }) => rank));
  return {
    adapter: assembled(mixed, most, isWhole ? parts[0]!.adapter : null, () => {
      const [{ adapter: first }] = parts as [MixedPart];
      const recipe = { ...defaultRecipe(), dropout: first.config.dropout };
      const { spec, name } = base!;
      const paths = places.map(({ path }) => path);
      return { ...newConfig(recipe, spec, name), targetModules: targetsFor(paths, spec) };
    }),
    matrices: mixed.map(({ module: { path }, rank, lost }) => ({ path, rank, lost })),
    settings,
    notes: [
      ...unused(given, settings),
      ...(settings.rank !== undefined && settings.rank > most
        ? [`No matrix needs the rank ${settings.rank}: the largest has ${most}.`]
        : []),
    ],
  };
}

/** Describes what one adapter does to one matrix. */
interface Change {
  readonly name: string;
  readonly weight: number;
  readonly module: AdaptedModule;
  readonly a: Float32Array;
  readonly b: Float32Array;
}

async function mixedMatrix(changes: readonly Change[], method: MixRule, numbers: MergeNumbers, most: number): Promise<LowRank> {
  const { path, inFeatures, outFeatures } = changes[0]!.module;
  if (method.of === 'matrices') {
    const weights = changes.map(({ weight }) => weight);
    const merged = mergeTensors(changes.map(wholeMatrix), weights, method, numbers, path);
    return cutMatrix(merged, [outFeatures, inFeatures], most, numbers.seed);
  }
  const whole = method.of === 'pairs' ? besideEachOther(changes) : mergedFactors(changes, method, numbers);
  if (whole.rank <= most) return { ...whole, lost: 0 };
  return cutProduct(matrix(whole.b, outFeatures, whole.rank), matrix(whole.a, whole.rank, inFeatures), most);
}

type Factors = Omit<LowRank, 'lost'>;

/** Puts the factors of all changes beside each other: [B, B'] [w s A; w' s' A'] is the sum of the changes. */
function besideEachOther(changes: readonly Change[]): Factors {
  const { inFeatures, outFeatures } = changes[0]!.module;
  const rank = changes.reduce((sum, { module }) => sum + module.rank, 0);
  const a = new Float32Array(rank * inFeatures);
  const b = new Float32Array(outFeatures * rank);
  let first = 0;
  for (const { weight, module, ...own } of changes) {
    a.set(
      own.a.map((value) => value * weight * module.scale),
      first * inFeatures,
    );
    for (let row = 0; row < outFeatures; row++)
      b.set(own.b.subarray(row * module.rank, (row + 1) * module.rank), row * rank + first);
    first += module.rank;
  }
  return { rank, a, b };
}

/**
 * Merges all A, and all B, which need one rank. Each takes the root of weight and scale, and A the sign, as in PEFT; with more
 * than one adapter the product therefore is not the sum of their changes.
 */
function mergedFactors(changes: readonly Change[], rule: MergeRule, numbers: MergeNumbers): Factors {
  const [first] = changes as readonly [Change, ...Change[]];
  const other = changes.find(({ module }) => module.rank !== first.module.rank);
  if (other !== undefined)
    throw new Problem(
      'adapter-mismatch',
      `'${first.name}' has the rank ${first.module.rank} at '${first.module.path}' and '${other.name}' has ${other.module.rank}: this method adds the factors one by one, which need one rank.`,
      'Choose cat, or a method with svd, which take adapters of different ranks.',
    );
  const { path, rank } = first.module;
  const scales = changes.map(({ weight, module }) => weight * module.scale);
  const roots = scales.map((scale) => Math.sqrt(Math.abs(scale)));
  const merged = (tensors: readonly Float32Array[], weights: readonly number[], name: string) =>
    mergeTensors(tensors, weights, rule, numbers, `${path}.${name}`);
  return {
    rank,
    a: merged(
      changes.map(({ a }) => a),
      roots.map((root, i) => (scales[i]! < 0 ? -root : root)),
      'A',
    ),
    b: merged(
      changes.map(({ b }) => b),
      roots,
      'B',
    ),
  };
}

/** Computes s B A, `[out, in]`. */
function wholeMatrix({ module: { rank, scale, inFeatures, outFeatures }, a, b }: Change): Float32Array {
  const whole = new Float32Array(outFeatures * inFeatures);
  const row = new Float64Array(inFeatures);
  for (let output = 0; output < outFeatures; output++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[output * rank + k]!;
      for (let input = 0; input < inFeatures; input++) row[input]! += factor * a[k * inFeatures + input]!;
    }
    whole.set(row, output * inFeatures);
  }
  return whole;
}

function matrix(values: Float32Array, rows: number, columns: number): Matrix {
  return { rows, columns, values: Float64Array.from(values) };
}

/** Lists the modules that any of the adapters has, in the order of the model. */
function placesOf(parts: readonly MixedPart[], spec: DecoderSpec | null): AdaptedModule[] {
  const places = new Map(parts.flatMap(({ adapter }) => adapter.shape.modules.map((module) => [module.path, module])));
  if (spec === null) return [...places.values()];
  return targetModules(spec).flatMap(({ path }) => places.get(path) ?? []);
}

/**
 * Makes the adapter of these matrices. One that is made of a single adapter keeps all that its config says of modules, and what
 * it trained whole.
 */
function assembled(
  mixed: readonly (LowRank & { readonly module: AdaptedModule })[],
  most: number,
  single: Adapter | null,
  configOf: () => AdapterConfig,
): Adapter {
  const targets = mixed.map(({ module, rank }) => ({ ...module, rank, scale: 1 }));
  const ranks = patternOf(targets, ({ rank }) => rank, most);
  const config = {
    ...(single === null ? configOf() : single.config),
    // The scale is alpha / r.
    ...{ rank: most, alpha: most, rslora: false, rankPattern: ranks, alphaPattern: ranks },
  };
  const whole = single?.shape.replaced ?? [];
  const shape = shapeOfParts(
    targets,
    whole.map(({ names, tensor }) => ({ names, shape: tensor.shape })),
    false,
  );
  const parameters = new Float32Array(shape.length);
  shape.modules.forEach((module, i) => {
    tensorView(parameters, module.a).set(mixed[i]!.a);
    tensorView(parameters, module.b).set(mixed[i]!.b);
  });
  if (single !== null)
    shape.replaced.forEach(({ tensor }, i) =>
      tensorView(parameters, tensor).set(tensorView(single.parameters, whole[i]!.tensor)),
    );
  return { config, shape, parameters, initial: null };
}

function largestRank({ rank, rankPattern }: AdapterConfig): number {
  return Math.max(rank, ...Object.values(rankPattern));
}

/** Refuses an adapter that does more than add s B A to matrices. A single one may keep what it trained whole. */
function requireMixable({ name, adapter: { config, shape } }: MixedPart, isWhole: boolean): void {
  const refuse = (what: string) =>
    new Problem(
      'model-unsupported',
      `'${name}' ${what}, which ${isWhole ? 'cannot be cut to a smaller rank' : 'cannot be mixed into one adapter'}.`,
      isWhole
        ? 'Use it as it is, or merge it into the model (`lowrank merge`).'
        : 'Merge the adapters into the model with their weights instead (`lowrank merge --adapter DIR=weight`).',
    );
  if (config.method === 'full') throw refuse('is a model whose every weight was trained');
  const dora = shape.modules.find(({ magnitude }) => magnitude !== null);
  if (dora !== undefined) throw refuse(`scales the outputs of '${dora.path}' to magnitudes of its own (DoRA)`);
  if (isWhole || shape.replaced.length === 0) return;
  const names = shape.replaced.map(({ names }) => `'${names[0]!}'`);
  const listed = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
  throw refuse(`replaces ${listed}${names[0]!.endsWith(".bias'") ? '' : ', trained whole'}`);
}

/** Returns the settings that count for the method, with the values of those that were left out. Wrong ones are refused. */
function countingSettings(
  { method, rank, density, majoritySign = 'total', seed = 0 }: MixSettings,
  { prune, electsSign }: MixRule,
): MixSettings {
  if (prune !== null && density === undefined)
    throw new Problem(
      'request-invalid',
      `The method ${method} keeps a share of the values, and no density says which.`,
      'Give a density above 0 and at most 1, such as 0.5.',
    );
  if (density !== undefined && !(density > 0 && density <= 1))
    throw new Problem('request-invalid', `The density ${density} is no share of values.`, 'Give one above 0 and at most 1.');
  if (rank !== undefined && !(Number.isInteger(rank) && rank >= 1))
    throw new Problem('request-invalid', `${rank} is no rank.`, 'Give a whole number from 1.');
  return {
    method,
    ...(rank === undefined ? {} : { rank }),
    ...(prune === null || density === undefined ? {} : { density }),
    ...(electsSign ? { majoritySign } : {}),
    ...(prune === 'random' ? { seed } : {}),
  };
}

function numbersOf({ density = 1, majoritySign = 'total', seed = 0 }: MixSettings): MergeNumbers {
  return { density, majoritySign, seed };
}

const settingNames = { density: 'density', majoritySign: 'majority sign', seed: 'seed' } as const;

function unused(given: MixSettings, counting: MixSettings): string[] {
  return (Object.keys(settingNames) as (keyof typeof settingNames)[])
    .filter((key) => given[key] !== undefined && counting[key] === undefined)
    .map((key) => `The method ${given.method} takes no ${settingNames[key]}, so ${given[key]!} changed nothing.`);
}
