/** Opens a model: a hub folder or a GGUF file. Reads headers only, and checks that every tensor is there in the right shape. */
import { realpathSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { ModelInfo } from '../contract.ts';
import { fileIn, pathIn, readJsonObject, readText, refuseStandIn, withFile } from '../formats/files.ts';
import { readGguf, type GgufValue } from '../formats/gguf.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { longestName, Problem, shown } from '../problem.ts';
import {
  ggufLayout,
  ggufName,
  hubLayout,
  hubNames,
  hubParts,
  isOfOtherPart,
  isUnusedTensor,
  specFromConfig,
  specFromGguf,
} from './families/index.ts';
import { hashOfFiles } from './hash.ts';
import { adapterNotes, locateModel, weightFiles, type LocatedModel } from './hub-folder.ts';
import type { Layout } from './layout.ts';
import { refusePacked } from './packed.ts';
import { linearKinds, linearLayers, modelTensors, storedName, type DecoderSpec, type ModelTensor } from './spec.ts';
import {
  fromGguf,
  fromSafetensors,
  inModelLayout,
  joined,
  rotaryDivisors,
  sameNumbers,
  StoredWeights,
  type BaseQuantization,
  type ModelWeights,
  type StoredTensor,
} from './weights.ts';

export interface OpenModel {
  /** The folder or file, links resolved. */
  readonly path: string;
  readonly format: 'hub' | 'gguf';
  readonly spec: DecoderSpec;
  readonly weights: ModelWeights;
  /** What the files have beside the text model, such as the eye of a model that also sees. */
  readonly otherParts: readonly StoredTensor[];
  readonly info: ModelInfo;
  readonly tokenizerSource: TokenizerSource | null;
  /** The folder of an adapter that tokenizer and chat template come from; null: they are the model's own. */
  readonly tokenizerFolder: string | null;
  /** Its weight files. */
  readonly files: readonly string[];
  /** SHA-256 over the weight files; read when first asked for. */
  readonly hash: string;
}

export type TokenizerSource =
  | {
      readonly kind: 'hub';
      /** Text of tokenizer.json, tens of MB for a large vocabulary: read when first asked for. */
      readonly tokenizerJson: string;
      readonly tokenizerConfig: Readonly<Record<string, unknown>>;
      /** special_tokens_map.json and added_tokens.json, which older folders have. */
      readonly specialTokensMap?: Readonly<Record<string, unknown>> | null;
      readonly addedTokens?: Readonly<Record<string, unknown>> | null;
      readonly generationConfig: Readonly<Record<string, unknown>> | null;
      /** The model's config.json: it says of what class the tokenizer is, and ids for generation. */
      readonly config?: Readonly<Record<string, unknown>> | null;
      readonly chatTemplate: string | null;
    }
  | { readonly kind: 'gguf'; readonly metadata: ReadonlyMap<string, GgufValue> };

/** Larger than any real file of these kinds. */
const textLimits = { config: 16 << 20, tokenizer: 128 << 20, card: 1 << 20 };

/** `acceptFields`: fields of its config, or metadata of a GGUF, that nobody here knows and that are to be passed over. */
export function openModel(path: string, acceptFields: readonly string[] = []): OpenModel {
  const located = locateModel(path);
  return located.format === 'hub' ? openHub(located, acceptFields) : openGguf(located.path, acceptFields);
}

// ── Hub folder ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function openHub({ path: folder, notes: found }: LocatedModel, acceptFields: readonly string[]): OpenModel {
  const configPath = pathIn(folder, 'config.json');
  const config = readJsonObject(configPath, textLimits.config);
  const notes = [...found, ...adapterNotes(folder)];
  const described = specFromConfig(config, configPath, { acceptFields, notes });
  if (isObject(config['auto_map']))
    notes.push(
      `config.json names code of the model's own (auto_map), which is never run: it is computed as transformers' '${described.family}'.`,
    );
  const files = weightFiles(folder);
  const stored = readTensors(files);
  refusePacked(configPath, config, [...stored.values()], { acceptFields, notes });
  joinParts(described, stored);
  const spec = settleHead(described, stored, notes);
  const tensors = selectTensors(folder, spec, stored, ({ name }) => hubNames(name, spec), hubLayout);
  const tokenizerSource = readHubTokenizer(folder, notes);
  const nameOrPath = config['_name_or_path'];
  return makeModel({
    path: folder,
    format: 'hub',
    spec,
    tensors,
    otherParts: [...stored.values()].filter(({ name }) => isOfOtherPart(name, spec)),
    files,
    tokenizerSource,
    acceptFields,
    notes,
    name: typeof nameOrPath === 'string' && nameOrPath !== '' ? basename(nameOrPath) : folderName(folder),
    hasChatTemplate: tokenizerSource?.kind === 'hub' && tokenizerSource.chatTemplate !== null,
    licence: cardLicence(folder),
  });
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** The tensors of all files; one that two of them have is one where both hold the same. */
function readTensors(files: readonly string[]): Map<string, StoredTensor> {
  const stored = new Map<string, StoredTensor>();
  for (const path of files)
    for (const tensor of readSafetensors(path).tensors.values()) {
      const other = stored.get(tensor.name);
      const found = fromSafetensors(path, tensor);
      if (other === undefined) stored.set(tensor.name, found);
      else if (!sameNumbers(other, found))
        throw new Problem(
          'file-damaged',
          `'${path}' has the tensor '${tensor.name}', which '${other.path}' has too, with other numbers.`,
          'Remove files that belong to another model, or download it again.',
        );
    }
  return stored;
}

/** What a model is called after its folder: by the folder above where its own name says nothing, `models--org--name` in the cache of a hub. */
function folderName(folder: string): string {
  const name = basename(folder);
  if (/^[0-9a-f]{40}$/.test(name) && basename(dirname(folder)) === 'snapshots')
    return basename(dirname(dirname(folder)))
      .split('--')
      .at(-1)!;
  return /^(model|merged|snapshot|weights)$/i.test(name) ? basename(dirname(folder)) || name : name;
}

/** Replaces tensors that are parts of one by it. */
function joinParts(spec: DecoderSpec, stored: Map<string, StoredTensor>): void {
  for (const wanted of modelTensors(spec)) {
    const names = (hubParts(wanted, spec) ?? []).flatMap(
      (part) => hubNames(part, spec).find((name) => stored.has(name)) ?? part,
    );
    const parts = names.flatMap((name) => stored.get(name) ?? []);
    const shape = wanted.shape.slice(1);
    const fits = (part: StoredTensor): boolean =>
      part.shape.length === shape.length && part.shape.every((extent, i) => extent === shape[i]);
    // A part that is missing or of another shape is left for the check of all tensors to refuse.
    if (names.length === 0 || parts.length < names.length || !parts.every(fits)) continue;
    for (const name of names) stored.delete(name);
    stored.set(wanted.name, joined(parts, wanted.name, wanted.shape));
  }
}

/**
 * A head that the config ties to the embedding is tied only where the files hold no other one, and where they hold the head alone, it is
 * the embedding: so does transformers. Leaves one of the two where they are one.
 */
function settleHead(spec: DecoderSpec, stored: Map<string, StoredTensor>, notes: string[]): DecoderSpec {
  if (!spec.tiedEmbeddings) return spec;
  const parted: DecoderSpec = { ...spec, tiedEmbeddings: false };
  const [[embedding], heads] = (['token_embd', 'output'] as const).map((role) => {
    const tensor = modelTensors(parted).find((wanted) => wanted.role === role && wanted.kind === 'weight')!;
    return hubNames(tensor.name, parted).flatMap((name) => stored.get(name) ?? []);
  }) as [StoredTensor[], StoredTensor[]];
  const [head] = heads;
  if (head === undefined) return spec;
  const other = heads.find((one) => !sameNumbers(embedding ?? head, one));
  if (other !== undefined) {
    notes.push(
      `The config ties the head to the embedding, but '${other.name}' holds other numbers: they count, as in transformers 5.`,
    );
    return parted;
  }
  for (const { name } of heads) stored.delete(name);
  if (embedding === undefined) stored.set(`${spec.modules.token_embd}.weight`, head);
  return spec;
}

/** The tokenizer of a hub folder, null when it has none that can be read. */
export function readHubTokenizer(folder: string, notes: string[] = []): TokenizerSource | null {
  const tokenizerPath = fileIn(folder, 'tokenizer.json');
  if (tokenizerPath === null) {
    notes.push(
      fileIn(folder, 'tokenizer.model') !== null
        ? "The folder has tokenizer.model but no tokenizer.json, which is needed to read text: transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it."
        : 'The folder has no tokenizer: without that of an adapter, only token ids can be used.',
    );
    return null;
  }
  withFile(tokenizerPath, (descriptor, size) => refuseStandIn(tokenizerPath, descriptor, size));
  let tokenizerJson: string | null = null;
  return {
    kind: 'hub',
    get tokenizerJson() {
      return (tokenizerJson ??= readText(tokenizerPath, textLimits.tokenizer));
    },
    tokenizerConfig: optionalJson(folder, 'tokenizer_config.json') ?? {},
    specialTokensMap: optionalJson(folder, 'special_tokens_map.json'),
    addedTokens: optionalJson(folder, 'added_tokens.json'),
    generationConfig: optionalJson(folder, 'generation_config.json'),
    config: optionalJson(folder, 'config.json'),
    chatTemplate: readHubTemplate(folder),
  };
}

function optionalJson(folder: string, name: string): Record<string, unknown> | null {
  const path = fileIn(folder, name);
  return path === null ? null : readJsonObject(path, textLimits.config);
}

/** The chat template in a hub folder, with a tokenizer or without. */
export function readHubTemplate(folder: string): string | null {
  const templatePath = fileIn(folder, 'chat_template.jinja');
  if (templatePath !== null) {
    withFile(templatePath, (descriptor, size) => refuseStandIn(templatePath, descriptor, size));
    return readText(templatePath, textLimits.config);
  }
  // The last is where transformers 4 kept the template of a model that also sees.
  return (
    configTemplate(optionalJson(folder, 'tokenizer_config.json')?.['chat_template']) ??
    configTemplate(optionalJson(folder, 'chat_template.json')?.['chat_template'])
  );
}

/** tokenizer_config.json has one template, or a list of named ones of which `default` counts. */
function configTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  const named = value as { name?: unknown; template?: unknown }[];
  const template = (named.find((entry) => entry.name === 'default') ?? named[0])?.template;
  return typeof template === 'string' ? template : null;
}

/** `license:` of the model card's front matter. */
function cardLicence(folder: string): string | null {
  const path = fileIn(folder, 'README.md');
  if (path === null || statSync(path).size > textLimits.card) return null;
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(readText(path, textLimits.card))?.[1] ?? '';
  return /^license:\s*["']?([^"'\r\n]+)/m.exec(frontMatter)?.[1]?.trim() ?? null;
}

// ── GGUF ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function openGguf(path: string, acceptFields: readonly string[]): OpenModel {
  const file = readGguf(path);
  const parts = file.metadata.get('split.count');
  if (parts !== undefined && Number(parts.value) > 1)
    throw new Problem(
      'format-unsupported',
      `'${path}' is one of ${Number(parts.value)} parts of a model, which cannot be read yet.`,
      'Join the parts with llama-gguf-split --merge.',
    );
  const [short, long] = ['rope_factors_short.weight', 'rope_factors_long.weight'].map((name) => rotaryDivisors(file, name));
  const notes: string[] = [];
  const spec = specFromGguf(
    file.metadata,
    {
      shape: (name) => file.tensors.get(name)?.shape ?? null,
      ropeFactors: rotaryDivisors(file, 'rope_freqs.weight'),
      longropeFactors: short && long ? { short, long } : null,
    },
    path,
    { acceptFields, notes },
  );
  const stored = new Map<string, StoredTensor>();
  for (const tensor of file.tensors.values()) stored.set(tensor.name, fromGguf(path, tensor));
  const tensors = selectTensors(path, spec, stored, (tensor) => [ggufName(tensor)], ggufLayout);
  const text = (key: string): string | null => {
    const entry = file.metadata.get(key);
    return entry?.type === 'string' ? entry.value : null;
  };
  const tokenizer = text('tokenizer.ggml.model');
  const hasTokenizer = tokenizer !== null && tokenizer !== 'none' && tokenizer !== 'no_vocab';
  return makeModel({
    path,
    format: 'gguf',
    spec,
    tensors,
    otherParts: [],
    files: [realpathSync(path)],
    tokenizerSource: hasTokenizer ? { kind: 'gguf', metadata: file.metadata } : null,
    acceptFields,
    notes: hasTokenizer
      ? notes
      : [...notes, 'The file has no tokenizer: without that of an adapter, only token ids can be used.'],
    // People know the file by its own name; `general.name` is whatever its converter made of a training folder.
    name: basename(path).replace(/\.gguf$/i, ''),
    hasChatTemplate: text('tokenizer.chat_template') !== null,
    licence: text('general.license'),
  });
}

// ── Both ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Stored tensors that belong to no weight of the computation: caches of values that follow from the config. */
const derivedTensors = /((^|\.)rotary_emb\.inv_freq|^rope_freqs\.weight|\.attn_rot_embd|^rope_factors_.*)$/;

/** The spec's tensors in its order, each checked; a stored tensor the spec has no place for is refused. */
function selectTensors(
  model: string,
  spec: DecoderSpec,
  stored: ReadonlyMap<string, StoredTensor>,
  storedNames: (tensor: ModelTensor) => readonly string[],
  layoutOf: (tensor: ModelTensor, spec: DecoderSpec) => Layout | null,
): Map<string, StoredTensor> {
  const selected = new Map<string, StoredTensor>();
  const used = new Set<string>();
  const somewhere = [...stored.values()][0]?.path ?? model;
  for (const wanted of modelTensors(spec)) {
    const layout = layoutOf(wanted, spec);
    const shape = layout?.storedShape(wanted.shape) ?? wanted.shape;
    const names = storedNames(wanted);
    const [tensor, ...again] = names.flatMap((name) => stored.get(name) ?? []);
    if (!tensor && wanted.role === 'output')
      throw new Problem(
        'tensor-missing',
        `'${somewhere}' has no head ('${names[0]}'): the model was saved without it, so it cannot write text.`,
        'Use the model with its head (ForCausalLM), or set tie_word_embeddings in config.json if its head is the embedding.',
      );
    if (!tensor)
      throw new Problem(
        'tensor-missing',
        `'${somewhere}' has no tensor '${names[0]}', which its config asks for.`,
        'The model is incomplete or its config belongs to another one: download both again.',
      );
    if (tensor.shape.length !== shape.length || tensor.shape.some((extent, i) => extent !== shape[i]))
      throw new Problem(
        'tensor-shape',
        `'${tensor.path}': tensor '${tensor.name}' has the shape [${tensor.shape.join(', ')}], but the config asks for [${shape.join(', ')}].`,
        'The config belongs to another model: download both again.',
      );
    selected.set(wanted.name, inModelLayout(tensor, layout, wanted.shape));
    used.add(tensor.name);
    for (const other of again) {
      if (!sameNumbers(tensor, other))
        throw new Problem(
          'file-damaged',
          `'${other.path}' has the tensor '${tensor.name}' again as '${other.name}', with other numbers.`,
          'Which of them counts is not known: download the model again.',
        );
      used.add(other.name);
    }
  }
  for (const { name, path } of stored.values()) {
    if (/\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)\b/.test(name))
      throw new Problem(
        'model-unsupported',
        `'${path}' has the tensor '${name}': an adapter lies among the weights that was never merged into them.`,
        "Merge it first (PEFT: merge_and_unload, then save_pretrained), or use the base model and the adapter's own folder.",
      );
    if (!used.has(name) && !derivedTensors.test(name) && !isUnusedTensor(name, spec) && !isOfOtherPart(name, spec))
      throw new Problem(
        'model-unsupported',
        `'${path}' has the tensor '${name}', which a ${spec.family} model of this config does not use.`,
        'The model computes something this version does not know; choose another one.',
      );
  }
  return selected;
}

/** The model with its matrices kept in few bits. Embedding and head are so only as they are stored: they are never rounded. */
export function quantizedModel(model: OpenModel, quantization: BaseQuantization): OpenModel {
  const { spec, weights } = model;
  const outer = quantization === 'stored' ? [spec.modules.token_embd, spec.modules.output] : [];
  const paths = [...linearLayers(spec).map((layer) => layer.path), ...outer];
  const matrices = new Set(paths.map((of) => storedName(spec, `${of}.weight`)));
  return withParts(model, { weights: weights.quantized(quantization, matrices) });
}

/** The model for another number of tokens: embedding and head have their rows as far as they go, and then rows of zeros. */
export function resizedModel(model: OpenModel, vocabularySize: number): OpenModel {
  const { spec, weights } = model;
  if (spec.vocabularySize === vocabularySize) return model;
  const rows = modelTensors(spec).filter(({ role }) => role === 'token_embd' || role === 'output');
  const names = new Set(rows.map(({ name }) => name));
  return withParts(model, { spec: { ...spec, vocabularySize }, weights: weights.withRows(names, vocabularySize) });
}

/** The model with some of it otherwise. Its hash is still read only when it is asked for. */
export function withParts(
  model: OpenModel,
  parts: Partial<Pick<OpenModel, 'spec' | 'weights' | 'tokenizerSource' | 'tokenizerFolder'>>,
): OpenModel {
  const { path, format, spec, weights, otherParts, info, tokenizerSource, tokenizerFolder, files } = model;
  return {
    ...{ path, format, spec, weights, otherParts, info, tokenizerSource, tokenizerFolder, files, ...parts },
    get hash() {
      return model.hash;
    },
  };
}

interface Opened {
  readonly path: string;
  readonly format: 'hub' | 'gguf';
  readonly spec: DecoderSpec;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly otherParts: readonly StoredTensor[];
  readonly files: readonly string[];
  readonly tokenizerSource: TokenizerSource | null;
  readonly acceptFields: readonly string[];
  readonly notes: readonly string[];
  readonly name: string;
  readonly hasChatTemplate: boolean;
  readonly licence: string | null;
}

function makeModel(opened: Opened): OpenModel {
  const { path, format, spec, tensors, otherParts, files, tokenizerSource } = opened;
  const perType = new Map<string, number>();
  let parameters = 0;
  for (const { shape, type } of tensors.values()) {
    const count = shape.reduce((product, extent) => product * extent, 1);
    parameters += count;
    perType.set(type, (perType.get(type) ?? 0) + count);
  }
  const weightType = [...perType].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'F32';
  const info: ModelInfo = {
    family: spec.family,
    name: shown(opened.name, longestName),
    format,
    parameters,
    layers: spec.blocks.length,
    hiddenSize: spec.hiddenSize,
    vocabularySize: spec.vocabularySize,
    contextLength: spec.contextLength,
    weightType,
    bytes: files.reduce((sum, file) => sum + statSync(file).size, 0),
    linears: linearKinds(spec).map(({ name, path, layers, outFeatures, inFeatures }) => {
      return { name, path, layers, outFeatures, inFeatures };
    }),
    hasTokenizer: tokenizerSource !== null,
    hasChatTemplate: opened.hasChatTemplate,
    licence: opened.licence === null ? null : shown(opened.licence, longestName),
    get hash() {
      return hashOfFiles(files);
    },
    acceptFields: opened.acceptFields,
    notes: opened.notes.map((note) => shown(note)),
  };
  return {
    path,
    format,
    spec,
    weights: new StoredWeights(tensors),
    otherParts,
    info,
    tokenizerSource,
    tokenizerFolder: null,
    files,
    get hash() {
      return hashOfFiles(files);
    },
  };
}
