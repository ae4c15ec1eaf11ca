/** Writes a merged model as a GGUF for llama.cpp, with the names, row order and metadata of llama.cpp's own converter. */
import { GgufWriter, ggufSize, readGguf, type GgufPlan, type GgufValue } from '../formats/gguf.ts';
import type { OpenModel } from '../models/open.ts';
import { ggufLayout, ggufMetadataOf, ggufName } from '../models/families/index.ts';
import { ropeInverseFrequencies } from '../models/rope.ts';
import { attentionOf } from '../models/mixers/index.ts';
import { modelTensors, type DecoderSpec, type ModelTensor } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import { lineageKey } from './lineage.ts';
import { ggufFileType, mixTypes, type GgufQuantization } from './quant-mix.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

/** Matches metadata of a source file that describes its storage, not the model. */
const storageKeys = /^(general\.(file_type|quantization_version|alignment|architecture)$|split\.|quantize\.)/;

interface PlannedTensor extends GgufPlan {
  /** Holds the tensor of the model, or null for the rotary divisors, which are not weights. */
  readonly source: ModelTensor | null;
}

function plannedTensors({ spec }: OpenModel, quantization: GgufQuantization, importance: boolean): PlannedTensor[] {
  const placed = modelTensors(spec).map((source) => {
    return { name: ggufName(source), shape: ggufLayout(source, spec)?.storedShape(source.shape) ?? source.shape, source };
  });
  const { architecture } = ggufMetadataOf(spec);
  const { heads, keyValueHeads } = attentionOf(spec.blocks[0]!);
  const types = mixTypes(quantization, placed, { architecture, layers: spec.blocks.length, heads, keyValueHeads, importance });
  const tensors = placed.map((tensor, i): PlannedTensor => ({ ...tensor, type: types[i]! }));
  const divisors = rotaryDivisors(spec).map(({ name, values }): PlannedTensor => {
    return { name, type: 'F32', shape: [values.length], source: null };
  });
  return [...divisors, ...tensors];
}

/** Returns the tensors that say how much slower each pair turns than without scaling. */
function rotaryDivisors({ ropes: [rope] }: DecoderSpec): { readonly name: string; readonly values: Float32Array }[] {
  const named = (name: string, values: ArrayLike<number>) => ({ name, values: Float32Array.from(values) });
  switch (rope?.scaling.kind) {
    case 'factors':
      return [named('rope_freqs.weight', rope.scaling.factors)];
    case 'llama3': {
      const plain = ropeInverseFrequencies({ ...rope, scaling: { kind: 'none' } }, 0);
      const slowed = ropeInverseFrequencies(rope, 0).map((frequency, i) => plain[i]! / frequency);
      return [named('rope_freqs.weight', slowed)];
    }
    case 'longrope':
      return [
        named('rope_factors_long.weight', rope.scaling.longFactors),
        named('rope_factors_short.weight', rope.scaling.shortFactors),
      ];
    default:
      return [];
  }
}

/** Returns why llama.cpp could not run a model, or null when it can. */
export function ggufRefusal(spec: DecoderSpec): Problem | null {
  try {
    ggufMetadataOf(spec);
    return null;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

export function ggufFileSize(model: OpenModel, quantization: GgufQuantization): number {
  const { tokenizerSource } = model;
  // A token with its type, score and merge takes about this much.
  const tokenizer = tokenizerSource === null ? 0 : model.spec.vocabularySize * 40;
  return ggufSize(new Map(), plannedTensors(model, quantization, false)) + tokenizer;
}

export async function writeGguf(
  path: string,
  source: ExportSource,
  quantization: GgufQuantization,
  onProgress: OnProgress,
): Promise<void> {
  const { model, weights, importance } = source;
  const tensors = plannedTensors(model, quantization, importance !== undefined);
  const divisors = new Map(rotaryDivisors(model.spec).map(({ name, values }) => [name, values]));
  const writer = new GgufWriter(path, makeMetadata(source, quantization), tensors);
  try {
    for (const [done, tensor] of tensors.entries()) {
      await onProgress(done, tensors.length);
      if (tensor.source === null) writer.write(divisors.get(tensor.name)!);
      else {
        const { name } = tensor.source;
        writer.write(inFile(weights.read(name), tensor.source, model.spec), importance?.get(name) ?? null);
      }
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

function inFile(values: Float32Array, tensor: ModelTensor, spec: DecoderSpec): Float32Array {
  return ggufLayout(tensor, spec)?.toFile(values, tensor.shape) ?? values;
}

function makeMetadata(
  { model, base, tokenizer, importance, lineage }: ExportSource,
  quantization: GgufQuantization,
): Map<string, GgufValue> {
  const { spec } = model;
  const metadata = new Map<string, GgufValue>();
  const text = (key: string, value: string): unknown => metadata.set(key, { type: 'string', value });
  const count = (key: string, value: number): unknown => metadata.set(key, { type: 'uint32', value });
  const { architecture, metadata: own } = ggufMetadataOf(spec);
  text('general.architecture', architecture);
  text('general.type', 'model');
  count('general.file_type', ggufFileType(quantization));
  count('general.quantization_version', 2);
  if (lineage !== null) text(lineageKey, JSON.stringify(lineage));
  if (importance) count('quantize.imatrix.entries_count', importance.size);
  if (model.format === 'gguf') {
    const source = readGguf(model.path).metadata;
    const isResized = spec.vocabularySize !== model.info.vocabularySize;
    if (isResized) metadata.set(`${architecture}.vocab_size`, { type: 'uint32', value: spec.vocabularySize });
    if (tokenizer !== null && (isResized || model.tokenizerFolder !== null))
      for (const [name, value] of tokenizer.toGgufMetadata(spec.vocabularySize)) metadata.set(name, value);
    const isOwn = !metadata.has('tokenizer.ggml.model');
    for (const [key, value] of source)
      if (!metadata.has(key) && !storageKeys.test(key) && (isOwn || !key.startsWith('tokenizer.'))) metadata.set(key, value);
    return metadata;
  }
  const names = lineage?.adapters.map(({ name }) => name) ?? [];
  const name = [base.info.name, ...names].join(' + ');
  text('general.name', name);
  if (names.length > 0) {
    count('general.base_model.count', 1);
    text('general.base_model.0.name', base.info.name);
  }
  if (model.info.licence !== null) text('general.license', model.info.licence);
  for (const [key, value] of own) metadata.set(key, value);
  if (tokenizer === null) text('tokenizer.ggml.model', 'none');
  else for (const [key, value] of tokenizer.toGgufMetadata(spec.vocabularySize, name)) metadata.set(key, value);
  return metadata;
}
