/** Reads an adapter of PEFT, in all the forms PEFT and those who build on it have written, and checks every tensor of it. */
import { join } from 'node:path';
import { type FileHash, pathIn, readText } from '../formats/files.ts';
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from '../formats/float.ts';
import { readSafetensors, readSafetensorsFloat32, type SafetensorsTensor } from '../formats/safetensors.ts';
import { hubLayout } from '../models/families/index.ts';
import { storedName, type DecoderSpec, type ModelTensor } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { Problem } from '../problem.ts';
import { adapterShape, shapeOfParts, type AdapterShape } from './adapter.ts';
import { type AdapterConfig } from './config.ts';
import { parseAdapterConfig } from './config-file.ts';
import { configName, weightsName } from './find.ts';
import { elsewhere, pathsOf, peftKey } from './keys.ts';
import { foundTwice, halfPair, leftOver, mismatch, wrongRank, wrongShape } from './refusals.ts';
import { readInOrder, type StoredAdapter } from './stored.ts';
import { adaptedTargets, patternOf, rankAndScale, savedWeights, wholeTensors, type AdaptedTarget } from './targets.ts';

/** Describes the model for which an adapter is read. */
export interface BaseModel {
  readonly spec: DecoderSpec;
  readonly weights: Pick<ModelWeights, 'read'>;
}

const maxConfigBytes = 1 << 20;

/** Reads the config of the adapter in a folder. */
export function readAdapterConfig(dir: string): AdapterConfig {
  const path = pathIn(dir, configName);
  return parseAdapterConfig(readText(path, maxConfigBytes), path);
}

/** Maps the keys of this model to the tensors of a file. */
type Stored = Map<string, SafetensorsTensor>;

/** Finds an adapter of PEFT in its folder, and checks every tensor that its file names. */
export function findPeftAdapter(dir: string, base: BaseModel): StoredAdapter {
  const { spec } = base;
  const path = pathIn(dir, weightsName);
  const given = readAdapterConfig(dir);
  const stored = storedTensors(path, pathsOf(spec));
  if (given.method !== 'full') requirePairs(path, stored);
  const config = given.method === 'full' ? given : settled(dir, given, stored, base);
  const shape = adapterShape(config, spec);
  if (shape.modules.length === 0 && shape.replaced.length === 0)
    throw mismatch(`${join(dir, configName)}: nothing in this model is called ${JSON.stringify(config.targetModules)}`);
  const tensors = shape.tensors.map((tensor) => {
    const key = peftKey(tensor.name, (own) => own)!;
    const found = stored.get(key);
    if (found === undefined) throw mismatch(`${path} has no tensor '${tensor.name}', which its config asks for`);
    requireShape(path, found, tensor.shape, key, shape, spec);
    stored.delete(key);
    return {
      tensor,
      offset: found.offset,
      read: (hash: FileHash | null) => readSafetensorsFloat32(path, found, hash),
    };
  });
  if (stored.size > 0) throw leftOver(path, [...stored.values()]);
  return { config, shape, readParameters: (hash) => readInOrder(shape, tensors, hash) };
}

/**
 * Finds an adapter of PEFT whose base is not at hand. Its modules are those that its file names, in the order of the file; only
 * its base could say whether they are all.
 */
export function findPeftAdapterAlone(dir: string): StoredAdapter {
  const path = pathIn(dir, weightsName);
  const config = readAdapterConfig(dir);
  const stored = storedTensors(path, (own) => own);
  if (config.method !== 'full') requirePairs(path, stored);
  const [targets, others]: [AdaptedTarget[], string[]] = [[], []];
  for (const [key, { name, shape }] of stored) {
    const [, module, side] = /^(.*)\.lora_(A|B|embedding_A|embedding_B)(?:\.weight)?$/.exec(key) ?? [];
    const isMagnitude = config.dora && key.endsWith('.lora_magnitude_vector');
    if (module === undefined && !isMagnitude) others.push(key);
    if (module === undefined || side?.endsWith('A') !== true) continue;
    const kind = side === 'A' ? 'linear' : 'embedding';
    const b = stored.get(key.replace(/A(?=\.weight$|$)/, 'B'))!;
    const { rank, scale } = rankAndScale(config, module);
    const [inFeatures = 0, outFeatures = 0] = [shape[1], b.shape[0]];
    const wanted = [rank, inFeatures];
    if (shape.join() !== wanted.join()) throw wrongRank(wrongShape(path, { name, shape }, wanted), shape[0]!, rank, module);
    if (b.shape.join() !== [outFeatures, rank].join()) throw mismatch(wrongShape(path, b, [outFeatures, rank]));
    targets.push({ path: module, kind, inFeatures, outFeatures, rank, scale });
  }
  const shape = shapeOfParts(
    targets,
    others.map((name) => ({ names: [name], shape: stored.get(name)!.shape })),
    config.dora,
  );
  const tensors = shape.tensors.map((tensor) => {
    const found = stored.get(peftKey(tensor.name, (own) => own)!);
    if (found === undefined) throw mismatch(`${path} has no tensor '${tensor.name}', which its config asks for`);
    return { tensor, offset: found.offset, read: (hash: FileHash | null) => readSafetensorsFloat32(path, found, hash) };
  });
  return { config, shape, readParameters: (hash) => readInOrder(shape, tensors, hash) };
}

function storedTensors(path: string, pathOf: (path: string) => string): Stored {
  const stored: Stored = new Map();
  for (const tensor of readSafetensors(path).tensors.values()) {
    const key = peftKey(tensor.name, pathOf);
    if (key === null) continue;
    const before = stored.get(key);
    if (before !== undefined) throw foundTwice(path, before.name, tensor.name);
    stored.set(key, tensor);
  }
  return stored;
}

/**
 * Returns the number of tokens for which the embedding and head in an adapter's file have rows, where training changed the
 * vocabulary, or null where it is the model's.
 */
export function vocabularyOf(dir: string, spec: DecoderSpec): number | null {
  const path = pathIn(dir, weightsName);
  const stored = storedTensors(path, pathsOf(spec));
  const { modules, vocabularySize, hiddenSize, tiedEmbeddings } = spec;
  const [embedding, head] = [modules.token_embd, modules.output].map((module) => stored.get(`${module}.weight`));
  const rowsOf = (tensor: SafetensorsTensor | undefined): number | null =>
    tensor?.shape.length === 2 && tensor.shape[1] === hiddenSize ? tensor.shape[0]! : null;
  const [ofEmbedding, ofHead] = [rowsOf(embedding), rowsOf(head)];
  const found = ofEmbedding ?? ofHead;
  if (found === null || (found === vocabularySize && (ofHead ?? found) === found)) return null;
  // A copy of a tied embedding is its head too. A tensor trained whole has separated from it, and each needs its own rows.
  const isOne = tiedEmbeddings && !partsTied(dir, spec);
  const complete = isOne || (ofEmbedding !== null && ofHead !== null);
  const changed = (of: number | null): string => (of === null ? `none of its own, so ${vocabularySize}` : String(of));
  if ((ofEmbedding ?? found) === (ofHead ?? found) && complete && found > 0) return found;
  throw new Problem(
    'adapter-mismatch',
    `${path} was trained with another vocabulary than the model's ${vocabularySize} tokens, and its parts do not fit: the embedding has ${changed(ofEmbedding)} rows, the head ${changed(ofHead)}.`,
    'Save the adapter again with both (in PEFT, save_embedding_layers=True).',
  );
}

/** Says whether embedding or head is trained whole, and not both as one. */
function partsTied(dir: string, spec: DecoderSpec): boolean {
  const config = readAdapterConfig(dir);
  if (config.method === 'full' || config.keepsTied) return false;
  const outer = [spec.modules.token_embd, spec.modules.output].map((path) => `${path}.weight`);
  const modulesToSave = config.modulesToSave.map(pathsOf(spec));
  return savedWeights({ ...config, modulesToSave }, spec).some(({ name }) => outer.includes(name));
}

/** Settles the config on this model: with the model's own names, and with the tensors that the file holds besides factors. */
function settled(dir: string, given: AdapterConfig, stored: Stored, base: BaseModel): AdapterConfig {
  const path = pathIn(dir, weightsName);
  const { spec } = base;
  const config = withTiedPair(dir, withOwnNames(given, stored, spec), stored, spec, path);
  const wanted = new Set(adapterShape(config, spec).tensors.map(({ name }) => peftKey(name, (own) => own)!));
  const extra = wholeTensors(spec).filter(({ name }) => stored.has(name) && !wanted.has(name));
  const [embedding, head] = [`${spec.modules.token_embd}.weight`, `${spec.modules.output}.weight`];
  const tiedPair = spec.tiedEmbeddings ? foldTied(path, stored, extra, embedding, head) : [];
  const copies: string[] = [];
  for (const tensor of extra) {
    const { name } = tensor;
    const copy = stored.get(name);
    // A tensor stored in another layout cannot be compared; it is reported as left over.
    if (copy === undefined || hubLayout(tensor, spec) !== null) continue;
    if (copy.shape.join() !== tensor.shape.join()) {
      if (name === embedding || name === head) requireShape(path, copy, tensor.shape, name, null, spec);
    } else if (!tiedPair.includes(name) && isCopy(path, copy, base.weights.read(storedName(spec, name)))) stored.delete(name);
    else copies.push(name);
  }
  const dora = config.dora && adaptedTargets(config, spec).find((module) => copies.includes(`${module.path}.weight`));
  if (dora)
    throw new Problem(
      'model-unsupported',
      `${path} has its own '${dora.path}.weight', which is not the base's, and adapts it with DoRA: that is not supported.`,
      'Merge the adapter where it was trained, and use the merged model.',
    );
  return { ...config, copies };
}

/**
 * Merges the copies of a tied embedding and head into one. Copies that differ come from a model in which the two were separate;
 * both are then kept, and their names are returned.
 */
function foldTied(path: string, stored: Stored, extra: ModelTensor[], embedding: string, head: string): readonly string[] {
  const ofHead = extra.find(({ name }) => name === head) && stored.get(head);
  if (ofHead === undefined) return [];
  const ofEmbedding = stored.get(embedding);
  if (ofEmbedding !== undefined && !sameTensors(path, ofEmbedding, ofHead))
    return extra.some(({ name }) => name === embedding) ? [embedding, head] : [];
  if (ofEmbedding === undefined) {
    stored.set(embedding, ofHead);
    extra.push({ ...extra.find(({ name }) => name === head)!, name: embedding, role: 'token_embd' });
  } else if (!extra.some(({ name }) => name === embedding)) return [];
  stored.delete(head);
  return [];
}

function sameTensors(path: string, one: SafetensorsTensor, other: SafetensorsTensor): boolean {
  if (one.type !== other.type || one.length !== other.length) return false;
  const [a, b] = [readSafetensorsFloat32(path, one), readSafetensorsFloat32(path, other)];
  return a.every((value, i) => Object.is(value, b[i]));
}

/** Says whether a tensor equals the base's, rounded to the tensor's own type. */
function isCopy(path: string, copy: SafetensorsTensor, base: Float32Array): boolean {
  const values = readSafetensorsFloat32(path, copy);
  const piece = 1 << 20;
  for (let from = 0; from < values.length; from += piece) {
    const part = base.subarray(from, from + piece);
    const rounded =
      copy.type === 'F16'
        ? halfToFloat32(float32ToHalf(part))
        : copy.type === 'BF16'
          ? bfloat16ToFloat32(float32ToBfloat16(part))
          : part;
    for (let i = 0; i < rounded.length; i++) if (values[from + i] !== rounded[i]) return false;
  }
  return true;
}

/**
 * Resolves `ensure_weight_tying`, with which PEFT saves the embedding for both, and sometimes the head as well: the two become
 * one tensor. The flag is dropped where the model does not tie them or neither is trained whole.
 */
function withTiedPair(dir: string, config: AdapterConfig, stored: Stored, spec: DecoderSpec, path: string): AdapterConfig {
  if (!config.keepsTied) return config;
  const { token_embd, output } = spec.modules;
  const isEither = ({ name }: { readonly name: string }) => name === `${token_embd}.weight` || name === `${output}.weight`;
  const adapted = adaptedTargets(config, spec).find((module) => module.path === token_embd || module.path === output);
  if (spec.tiedEmbeddings && adapted !== undefined)
    throw new Problem(
      'model-unsupported',
      `${join(dir, configName)}: 'ensure_weight_tying' with an adapter of '${adapted.path}', which shares its weights in this model, is not supported.`,
      'Merge the adapter where it was trained, and use the merged model.',
    );
  const saved = savedWeights(config, spec);
  if (!spec.tiedEmbeddings || !saved.some(isEither)) return { ...config, keepsTied: false };
  const [embedding, head] = [stored.get(`${token_embd}.weight`), stored.get(`${output}.weight`)];
  if (embedding && head && !sameTensors(path, embedding, head))
    throw mismatch(`${path}: '${embedding.name}' and '${head.name}' differ, but 'ensure_weight_tying' says that they are one`);
  if (!embedding && head) stored.set(`${token_embd}.weight`, head);
  stored.delete(`${output}.weight`);
  const others = config.modulesToSave.filter(
    (name) => !savedWeights({ ...config, modulesToSave: [name] }, spec).every(isEither),
  );
  return { ...config, modulesToSave: [...others, token_embd] };
}

/** Renames the targets of a config that names modules as another version of transformers does. */
function withOwnNames(config: AdapterConfig, stored: Stored, spec: DecoderSpec): AdapterConfig {
  const inFile = new Set(
    [...stored.keys()].flatMap((key) => /^(.*)\.lora_(?:embedding_)?[AB](?:\.weight)?$/.exec(key)?.[1] ?? []),
  );
  const explains = (targets: readonly AdaptedTarget[]): boolean =>
    targets.length === inFile.size && targets.every(({ path }) => inFile.has(path));
  const pathOf = pathsOf(spec);
  const modulesToSave = config.modulesToSave.map(pathOf);
  if (explains(adaptedTargets(config, spec))) return { ...config, modulesToSave };
  for (const other of elsewhere(spec)) {
    const targets = adaptedTargets(config, other).map((target) => ({ ...target, path: pathOf(target.path) }));
    if (explains(targets)) return { ...named(config, targets), modulesToSave };
  }
  return { ...config, modulesToSave };
}

/** Returns the config that targets exactly these modules. */
function named(config: AdapterConfig, targets: readonly AdaptedTarget[]): AdapterConfig {
  const alphaOf = ({ rank, scale }: AdaptedTarget): number =>
    Number((scale * (config.rslora ? Math.sqrt(rank) : rank)).toPrecision(12));
  return {
    ...config,
    targetModules: targets.map(({ path }) => path),
    excludeModules: [],
    layers: 'all',
    layersPattern: [],
    rankPattern: patternOf(targets, ({ rank }) => rank, config.rank),
    alphaPattern: patternOf(targets, alphaOf, config.alpha),
  };
}

function requirePairs(path: string, stored: Stored): void {
  for (const [key, { name }] of stored) {
    const [, module, prefix, side, end] = /^(.*)\.(lora_(?:embedding_)?)([AB])(\.weight)?$/.exec(key) ?? [];
    if (module === undefined) continue;
    const other = `${module}.${prefix}${side === 'A' ? 'B' : 'A'}${end ?? ''}`;
    if (!stored.has(other)) throw halfPair(path, name, other);
  }
}

function requireShape(
  path: string,
  found: SafetensorsTensor,
  wanted: readonly number[],
  key: string,
  shape: AdapterShape | null,
  { modules, vocabularySize }: DecoderSpec,
): void {
  if (found.shape.join() === wanted.join()) return;
  const is = wrongShape(path, found, wanted);
  const module = shape?.modules.find(({ a, b }) => [a, b].some(({ name }) => peftKey(name, (own) => own) === key));
  const isA = module !== undefined && peftKey(module.a.name, (own) => own) === key;
  const [rankAt, sizeAt] = isA ? [0, 1] : [1, 0];
  if (module !== undefined && found.shape.length === 2 && found.shape[sizeAt] === wanted[sizeAt])
    throw wrongRank(is, found.shape[rankAt]!, module.rank, module.path);
  const isOuter = [modules.token_embd, modules.output].some((outer) => key.startsWith(`${outer}.`));
  const tokens = found.shape[found.shape.length === 2 && key.endsWith('lora_embedding_A') ? 1 : 0];
  if (isOuter && wanted.includes(vocabularySize) && tokens !== vocabularySize)
    throw new Problem(
      'adapter-mismatch',
      `${is}: the adapter was trained with a vocabulary of ${tokens} tokens, and this model has ${vocabularySize}.`,
      'Use the base model with that vocabulary, or save the adapter with its embedding (in PEFT, save_embedding_layers=True).',
    );
  throw mismatch(is);
}
