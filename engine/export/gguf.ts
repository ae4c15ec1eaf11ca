/** Writes a merged model as a GGUF for llama.cpp, with the names, the row order and the metadata of its own converter. */
import { GgufWriter, ggufSize, readGguf, type GgufPlan, type GgufValue, type GgufWriteType } from '../formats/gguf.ts';
import type { OpenModel } from '../models/open.ts';
import { ropeInverseFrequencies, type DecoderSpec } from '../models/spec.ts';
import { ggufTensorName, permuteRows } from '../models/weights.ts';
import type { ExportSource, Step } from './source.ts';

/** llama.h, enum llama_ftype. */
const fileTypes: Record<GgufWriteType, number> = { F32: 0, F16: 1, Q8_0: 7 };

/** Metadata of a source file that describes its own storage, not the model. */
const storageKeys = /^(general\.(file_type|quantization_version|alignment|architecture)$|split\.|quantize\.)/;

interface PlannedTensor extends GgufPlan {
  /** Null for the rotary divisors, which are no weight. */
  readonly source: string | null;
  readonly permutedHeads: number;
}

function plan(model: OpenModel, type: GgufWriteType): PlannedTensor[] {
  const { spec, weights } = model;
  const factors = ropeDivisors(spec);
  const tensors = weights.names.map((source): PlannedTensor => {
    const shape = weights.shape(source);
    const { name, permutedHeads } = ggufTensorName(source, spec);
    // As the converter: vectors stay float32; rows that are no whole blocks fall back to half precision.
    const stored = shape.length === 1 ? 'F32' : type === 'Q8_0' && shape.at(-1)! % 32 !== 0 ? 'F16' : type;
    return { name, type: stored, shape, source, permutedHeads };
  });
  const divisors: PlannedTensor[] = factors
    ? [{ name: 'rope_freqs.weight', type: 'F32', shape: [factors.length], source: null, permutedHeads: 0 }]
    : [];
  return [...divisors, ...tensors];
}

/** What `rope_freqs.weight` holds: how much slower each pair turns than without scaling. */
function ropeDivisors({ rope }: DecoderSpec): Float32Array | null {
  if (rope.scaling.kind === 'factors') return Float32Array.from(rope.scaling.factors);
  if (rope.scaling.kind !== 'llama3') return null;
  const plain = ropeInverseFrequencies({ ...rope, scaling: { kind: 'none' } });
  return Float32Array.from(ropeInverseFrequencies(rope), (frequency, i) => plain[i]! / frequency);
}

export function ggufFileSize(model: OpenModel, type: GgufWriteType): number {
  const { tokenizerSource } = model;
  // A token with its type, score and merge takes about this much.
  const tokenizer = tokenizerSource === null ? 0 : model.spec.vocabularySize * 40;
  return ggufSize(new Map(), plan(model, type)) + tokenizer;
}

export async function writeGguf(path: string, source: ExportSource, type: GgufWriteType, step: Step): Promise<void> {
  const { model, weights } = source;
  const tensors = plan(model, type);
  const divisors = ropeDivisors(model.spec);
  const writer = new GgufWriter(path, makeMetadata(source, type), tensors);
  try {
    for (const [done, tensor] of tensors.entries()) {
      await step(done, tensors.length);
      const values = tensor.source === null ? divisors! : weights.read(tensor.source);
      writer.write(tensor.permutedHeads === 0 ? values : permuteRows(values, tensor.shape[0]!, tensor.permutedHeads));
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

function makeMetadata({ model, tokenizer }: ExportSource, type: GgufWriteType): Map<string, GgufValue> {
  const { spec } = model;
  const metadata = new Map<string, GgufValue>();
  const text = (key: string, value: string): unknown => metadata.set(key, { type: 'string', value });
  const count = (key: string, value: number): unknown => metadata.set(key, { type: 'uint32', value });
  const number = (key: string, value: number): unknown => metadata.set(key, { type: 'float32', value });
  text('general.architecture', spec.family);
  text('general.type', 'model');
  count('general.file_type', fileTypes[type]);
  count('general.quantization_version', 2);
  if (model.format === 'gguf') {
    for (const [key, value] of readGguf(model.path).metadata) if (!storageKeys.test(key)) metadata.set(key, value);
    return metadata;
  }
  const key = (name: string): string => `${spec.family}.${name}`;
  text('general.name', model.info.name);
  if (model.info.licence !== null) text('general.license', model.info.licence);
  count(key('block_count'), spec.layers);
  count(key('context_length'), spec.contextLength);
  count(key('embedding_length'), spec.hiddenSize);
  count(key('feed_forward_length'), spec.intermediateSize);
  count(key('attention.head_count'), spec.heads);
  count(key('attention.head_count_kv'), spec.keyValueHeads);
  count(key('attention.key_length'), spec.headDim);
  count(key('attention.value_length'), spec.headDim);
  number(key('attention.layer_norm_rms_epsilon'), spec.normEpsilon);
  number(key('rope.freq_base'), spec.rope.theta);
  count(key('rope.dimension_count'), spec.rope.dimension);
  count(key('vocab_size'), spec.vocabularySize);
  if (spec.rope.scaling.kind === 'linear') {
    text(key('rope.scaling.type'), 'linear');
    number(key('rope.scaling.factor'), spec.rope.scaling.factor);
  }
  if (tokenizer === null) text('tokenizer.ggml.model', 'none');
  else for (const [name, value] of tokenizer.toGgufMetadata(spec.vocabularySize)) metadata.set(name, value);
  return metadata;
}
