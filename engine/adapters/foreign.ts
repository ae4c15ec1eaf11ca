/**
 * Reads adapters of mlx-lm (a folder with `adapters.safetensors`) and llama.cpp (a GGUF file), and expresses them in PEFT's
 * terms.
 */
import { basename } from 'node:path';
import { type FileHash, pathIn, readText } from '../formats/files.ts';
import { readGguf, readGgufFloat32, type GgufValue } from '../formats/gguf.ts';
import { readSafetensors, readSafetensorsFloat32, type SafetensorsTensor } from '../formats/safetensors.ts';
import { ggufLayout, ggufMetadataOf, ggufName } from '../models/families/index.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import { defaultRecipe } from '../recipe.ts';
import { adapterShape } from './adapter.ts';
import { adapterConfig, type AdapterConfig } from './config.ts';
import { mlxWeightsName } from './find.ts';
import { bare, pathsOf } from './keys.ts';
import { foundTwice, halfPair, leftOver, mismatch, wrongShape, type Named } from './refusals.ts';
import { readInOrder, type StoredAdapter, type StoredTensor } from './stored.ts';
import { patternOf, targetModules, targetsFor, wholeTensors, type TargetModule } from './targets.ts';

const maxConfigBytes = 1 << 20;

/** Says where in the file the numbers of a factor are stored, and reads them in the layout of PEFT. */
type FoundFactor = Omit<StoredTensor, 'tensor'>;

/** Holds the factors found for one module: A [r, in] and B [out, r]. */
interface FoundModule {
  readonly target: TargetModule;
  readonly rank: number;
  readonly a: FoundFactor;
  readonly b: FoundFactor;
  readonly magnitude: FoundFactor | null;
}

interface MlxConfig {
  readonly dora: boolean;
  readonly scale: number;
  readonly dropout: number;
}

/** Reads mlx-lm's `adapter_config.json`. */
function readMlxConfig(dir: string): MlxConfig {
  const path = pathIn(dir, 'adapter_config.json');
  const invalid = (what: string) =>
    new Problem('config-invalid', `${path}: ${what}.`, 'The folder must be an adapter as mlx-lm writes it.');
  let config: { fine_tune_type?: unknown; lora_parameters?: { scale?: unknown; dropout?: unknown } } | null;
  try {
    config = JSON.parse(readText(path, maxConfigBytes)) as typeof config;
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw invalid('it is not JSON');
  }
  const kind = config?.fine_tune_type ?? 'lora';
  if (kind !== 'lora' && kind !== 'dora')
    throw new Problem(
      'model-unsupported',
      `${path}: 'fine_tune_type' is ${JSON.stringify(kind)}, which is no adapter.`,
      'Use the model that mlx_lm.fuse makes of it.',
    );
  const { scale, dropout = 0 } = config?.lora_parameters ?? {};
  if (typeof scale !== 'number' || typeof dropout !== 'number') throw invalid(`'lora_parameters' has no scale`);
  return { dora: kind === 'dora', scale, dropout };
}

/**
 * Finds an adapter of mlx-lm, where `lora_a` is [in, r], `lora_b` is [r, out], and their product is multiplied by `scale`
 * itself.
 */
export function findMlxAdapter(dir: string, spec: DecoderSpec): StoredAdapter {
  const { dora, scale, dropout } = readMlxConfig(dir);
  const path = pathIn(dir, mlxWeightsName);
  const parts = partsOf(path, readSafetensors(path).tensors.values(), spec, /^(.*)\.(lora_a|lora_b|m)$/);
  const places = placesOf(spec);
  const fits = ({ kind }: TargetModule): boolean => kind === 'linear' || (!dora && !spec.tiedEmbeddings);
  const found = modulesOf(path, parts, (module) => {
    const target = places.get(module);
    return target !== undefined && fits(target) ? target : undefined;
  });
  const modules = found.map(({ target, a, b, magnitude }): FoundModule => {
    const { inFeatures, outFeatures } = target;
    const rank = a.shape.at(-1) ?? 0;
    if (dora !== (magnitude !== undefined)) throw magnitude ? leftOver(path, [magnitude]) : missing(path, `${target.path}.m`);
    const factor = (tensor: SafetensorsTensor, ...shape: readonly number[]): FoundFactor => {
      requireShape(path, tensor, shape);
      const [rows, columns] = shape;
      const read = (hash: FileHash | null): Float32Array => {
        const values = readSafetensorsFloat32(path, tensor, hash);
        return columns === undefined ? values : transposed(values, rows!, columns);
      };
      return { offset: tensor.offset, read };
    };
    return {
      ...{ target, rank },
      a: factor(a, inFeatures, rank),
      b: factor(b, rank, outFeatures),
      magnitude: magnitude === undefined ? null : factor(magnitude, outFeatures),
    };
  });
  return assemble(path, spec, modules, { dora, dropout }, (rank) => scale * rank);
}

/**
 * Finds an adapter of llama.cpp. Its tensors have the names of the model's own with `.lora_a` [r, in] and `.lora_b` [out, r],
 * and their rows are in the order of a model's GGUF.
 */
export function findGgufAdapter(path: string, spec: DecoderSpec): StoredAdapter {
  const file = readGguf(path);
  const alpha = readGgufAlpha(path, file.metadata, spec);
  const targets = placesOf(spec);
  const places = new Map(wholeTensors(spec).map((tensor) => [ggufName(tensor), tensor]));
  const parts = partsOf(path, file.tensors.values(), null, /^(.*)\.(lora_a|lora_b)$/);
  const found = modulesOf(path, parts, (name) => targets.get(places.get(name)?.name.replace(/\.weight$/, '') ?? ''));
  const modules = found.map(({ name, target, a: left, b: right }): FoundModule => {
    const { kind, inFeatures, outFeatures } = target;
    const rank = right.shape.at(-1) ?? 0;
    // The factor of an embedding is turned, so that a token picks a row of it.
    requireShape(path, left, kind === 'embedding' ? [inFeatures, rank] : [rank, inFeatures]);
    requireShape(path, right, [outFeatures, rank]);
    const layout = kind === 'embedding' ? null : ggufLayout(places.get(name)!, spec);
    const readA = (hash: FileHash | null): Float32Array => {
      const values = readGgufFloat32(path, left, hash);
      return kind === 'embedding' ? transposed(values, inFeatures, rank) : values;
    };
    const readB = (hash: FileHash | null): Float32Array => {
      const values = readGgufFloat32(path, right, hash);
      return layout === null ? values : layout.toModel(values, [outFeatures, rank]);
    };
    return {
      ...{ target, rank },
      a: { offset: left.offset, read: readA },
      b: { offset: right.offset, read: readB },
      magnitude: null,
    };
  });
  // An alpha of 0 stands for a scale of 1 in llama.cpp.
  return assemble(path, spec, modules, { dora: false, dropout: 0 }, (rank) => (alpha === 0 ? rank : alpha));
}

/** Reads `adapter.lora.alpha`, and refuses a file that is no adapter for this model. */
function readGgufAlpha(path: string, metadata: ReadonlyMap<string, GgufValue>, spec: DecoderSpec): number {
  const value = (key: string): unknown => metadata.get(key)?.value;
  const type = value('general.type');
  if (type !== 'adapter')
    throw new Problem(
      'format-unsupported',
      `'${path}' is no adapter: its 'general.type' is ${type === undefined ? 'missing' : `'${String(type)}'`}.`,
      'Give it as the model, or choose another file.',
    );
  const kind = value('adapter.type');
  if (kind !== 'lora')
    throw new Problem(
      'format-unsupported',
      `'${path}' is no LoRA adapter: its 'adapter.type' is ${kind === undefined ? 'missing' : `'${String(kind)}'`}.`,
      'Choose a LoRA adapter.',
    );
  const architecture = value('general.architecture');
  const own = ggufMetadataOf(spec).architecture;
  if (architecture !== own)
    throw new Problem(
      'adapter-mismatch',
      `'${path}' is an adapter for the architecture ${architecture === undefined ? 'it does not name' : `'${String(architecture)}'`}, and the model is '${own}'.`,
      'Use the adapter with the base model it was trained on.',
    );
  if (metadata.has('adapter.alora.invocation_tokens'))
    throw new Problem('model-unsupported', `'${path}' adapts only after certain tokens.`, 'Use a plain LoRA adapter.');
  const alpha = Number(value('adapter.lora.alpha') ?? NaN);
  if (!Number.isFinite(alpha))
    throw new Problem(
      'config-invalid',
      `'${path}' does not say its 'adapter.lora.alpha', so how strong it is cannot be known.`,
      'Convert the adapter again with convert_lora_to_gguf.py.',
    );
  return alpha;
}

/** Groups tensors by module and by what they are in it; `spec` is given for files that name modules as transformers does. */
function partsOf<Tensor extends Named>(
  path: string,
  tensors: Iterable<Tensor>,
  spec: DecoderSpec | null,
  form: RegExp,
): Map<string, Map<string, Tensor>> {
  const pathOf = spec === null ? (name: string) => name : pathsOf(spec);
  const parts = new Map<string, Map<string, Tensor>>();
  const others: Tensor[] = [];
  for (const tensor of tensors) {
    const [, module, part] = form.exec(spec === null ? tensor.name : bare(tensor.name)) ?? [];
    if (module === undefined || part === undefined) {
      others.push(tensor);
      continue;
    }
    const key = pathOf(module);
    const ofModule = parts.get(key) ?? new Map<string, Tensor>();
    const before = ofModule.get(part);
    if (before !== undefined) throw foundTwice(path, before.name, tensor.name);
    parts.set(key, ofModule.set(part, tensor));
  }
  if (others.length > 0) throw leftOver(path, others);
  return parts;
}

interface FactorPair<Tensor> {
  readonly name: string;
  readonly target: TargetModule;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly magnitude: Tensor | undefined;
}

/** Pairs the factors of every module. A tensor without a place or without its other half is refused by name. */
function modulesOf<Tensor extends Named>(
  path: string,
  parts: ReadonlyMap<string, ReadonlyMap<string, Tensor>>,
  targetOf: (name: string) => TargetModule | undefined,
): FactorPair<Tensor>[] {
  const nowhere = [...parts].filter(([name]) => targetOf(name) === undefined);
  if (nowhere.length > 0)
    throw leftOver(
      path,
      nowhere.flatMap(([, ofModule]) => [...ofModule.values()]),
    );
  return [...parts].map(([name, ofModule]) => {
    const [a, b, magnitude] = ['lora_a', 'lora_b', 'm'].map((part) => ofModule.get(part));
    const [there] = ofModule.values();
    if (a === undefined || b === undefined)
      throw halfPair(path, there!.name, `${name}.${a === undefined ? 'lora_a' : 'lora_b'}`);
    return { name, target: targetOf(name)!, a, b, magnitude };
  });
}

function requireShape(path: string, tensor: Named, wanted: readonly number[]): void {
  if (tensor.shape.join() !== wanted.join()) throw mismatch(wrongShape(path, tensor, wanted));
}

function placesOf(spec: DecoderSpec): Map<string, TargetModule> {
  return new Map(targetModules(spec).map((target) => [target.path, target]));
}

/** Builds the adapter whose config means exactly these modules. */
function assemble(
  path: string,
  spec: DecoderSpec,
  modules: readonly FoundModule[],
  { dora, dropout }: { readonly dora: boolean; readonly dropout: number },
  alphaOf: (rank: number) => number,
): StoredAdapter {
  const [first] = modules;
  if (first === undefined) throw missing(path, 'lora_a');
  const ranks = modules.map(({ target, rank }) => ({ path: target.path, rank }));
  const config: AdapterConfig = {
    ...adapterConfig(defaultRecipe()),
    ...{ rank: first.rank, alpha: alphaOf(first.rank), dora, dropout },
    targetModules: targetsFor(
      modules.map(({ target }) => target.path),
      spec,
    ),
    rankPattern: patternOf(ranks, ({ rank }) => rank, first.rank),
    alphaPattern: patternOf(ranks, ({ rank }) => alphaOf(rank), alphaOf(first.rank)),
  };
  const shape = adapterShape(config, spec);
  const tensors = shape.modules.flatMap(({ path, a, b, magnitude }): StoredTensor[] => {
    const found = modules.find(({ target }) => target.path === path)!;
    return [
      { tensor: a, ...found.a },
      { tensor: b, ...found.b },
      ...(magnitude === null || found.magnitude === null ? [] : [{ tensor: magnitude, ...found.magnitude }]),
    ];
  });
  return { config, shape, readParameters: (hash) => readInOrder(shape, tensors, hash) };
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

function missing(path: string, name: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `'${basename(path)}' has no tensor '${name}'.`,
    'The adapter is incomplete; copy it again.',
  );
}
