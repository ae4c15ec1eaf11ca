/**
 * Opens a model, a hub folder or a GGUF file. It reads headers only, and checks that every tensor exists and has the right
 * shape.
 */
import { statSync } from 'node:fs';
import type { ModelInfo } from '../contract.ts';
import { longestName, shown } from '../problem.ts';
import { hashOfFiles } from './hash.ts';
import { locateModel } from './hub-folder.ts';
import { readGgufModel } from './open-gguf.ts';
import { readHubModel } from './open-hub.ts';
import { linearKinds, linearLayers, modelTensors, storedName, type DecoderSpec } from './spec.ts';
import type { StoredModel } from './stored-model.ts';
import type { TokenizerSource } from './tokenizer-source.ts';
import { StoredWeights, type BaseQuantization, type ModelWeights, type StoredTensor } from './weights.ts';

export interface OpenModel {
  /** Gives the path of the folder or file, with links resolved. */
  readonly path: string;
  readonly format: 'hub' | 'gguf';
  readonly spec: DecoderSpec;
  readonly weights: ModelWeights;
  /** Lists the tensors of the files besides the text model, such as those of a vision tower. */
  readonly otherParts: readonly StoredTensor[];
  readonly info: ModelInfo;
  readonly tokenizerSource: TokenizerSource | null;
  /** Gives the folder of the adapter that tokenizer and chat template come from, or null where they are the model's own. */
  readonly tokenizerFolder: string | null;
  /** Lists the paths of its weight files. */
  readonly files: readonly string[];
  /** Gives the SHA-256 over the weight files, computed on first use. */
  readonly hash: string;
}

/**
 * Opens the model at a path. `acceptFields` names unknown fields of its config, or keys of a GGUF's metadata, that are to be
 * ignored. A model that cannot be computed correctly is refused with a `Problem`.
 */
export function openModel(path: string, acceptFields: readonly string[] = []): OpenModel {
  const located = locateModel(path);
  const stored = located.format === 'hub' ? readHubModel(located, acceptFields) : readGgufModel(located.path, acceptFields);
  return makeModel(stored);
}

/**
 * Returns the model with its matrices quantized. Embedding and head are never rounded; they stay quantized where the file has
 * them so.
 */
export function quantizedModel(model: OpenModel, quantization: BaseQuantization): OpenModel {
  const { spec, weights } = model;
  const outer = quantization === 'stored' ? [spec.modules.token_embd, spec.modules.output] : [];
  const paths = [...linearLayers(spec).map((layer) => layer.path), ...outer];
  const matrices = new Set(paths.map((of) => storedName(spec, `${of}.weight`)));
  return withParts(model, { weights: weights.quantized(quantization, matrices) });
}

/** Returns the model with another vocabulary size: embedding and head keep their rows as far as they go; new rows are zeros. */
export function resizedModel(model: OpenModel, vocabularySize: number): OpenModel {
  const { spec, weights } = model;
  if (spec.vocabularySize === vocabularySize) return model;
  const rows = modelTensors(spec).filter(({ role }) => role === 'token_embd' || role === 'output');
  const names = new Set(rows.map(({ name }) => name));
  return withParts(model, { spec: { ...spec, vocabularySize }, weights: weights.withRows(names, vocabularySize) });
}

/** Returns the model with some fields replaced. Its hash is still computed only on first use. */
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

function makeModel(stored: StoredModel): OpenModel {
  const { path, format, spec, tensors, otherParts, files, tokenizerSource } = stored;
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
    name: shown(stored.name, longestName),
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
    hasChatTemplate: stored.hasChatTemplate,
    licence: stored.licence === null ? null : shown(stored.licence, longestName),
    get hash() {
      return hashOfFiles(files);
    },
    acceptFields: stored.acceptFields,
    notes: stored.notes.map((note) => shown(note)),
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
