/** Writes a merged model as a GGUF for llama.cpp, with the names, the row order and the metadata of its own converter. */
import { GgufWriter, ggufSize, readGguf, type GgufPlan, type GgufValue } from '../formats/gguf.ts';
import type { OpenModel } from '../models/open.ts';
import { ggufLayout, ggufMetadataOf, ggufName } from '../models/families/index.ts';
import { ropeInverseFrequencies } from '../models/rope.ts';
import { modelTensors, type DecoderSpec, type ModelTensor } from '../models/spec.ts';
import type { ExportSource, Step } from './source.ts';

/** llama.h, enum llama_ftype. */
const fileTypes = { F32: 0, F16: 1, Q8_0: 7 } as const;
type FileType = keyof typeof fileTypes;

/** Metadata of a source file that describes its own storage, not the model. */
const storageKeys = /^(general\.(file_type|quantization_version|alignment|architecture)$|split\.|quantize\.)/;

interface PlannedTensor extends GgufPlan {
  /** Null for the rotary divisors, which are no weight. */
  readonly source: ModelTensor | null;
}

function plan(model: OpenModel, type: FileType): PlannedTensor[] {
  const { spec } = model;
  const tensors = modelTensors(spec).map((source): PlannedTensor => {
    const shape = ggufLayout(source, spec)?.storedShape(source.shape) ?? source.shape;
    // As the converter: vectors stay float32; rows that are no whole blocks fall back to half precision.
    const stored = shape.length === 1 ? 'F32' : type === 'Q8_0' && shape.at(-1)! % 32 !== 0 ? 'F16' : type;
    return { name: ggufName(source), type: stored, shape, source };
  });
  const divisors = rotaryDivisors(spec).map(({ name, values }): PlannedTensor => {
    return { name, type: 'F32', shape: [values.length], source: null };
  });
  return [...divisors, ...tensors];
}

/** How much slower each pair turns than without scaling, as tensors of the file. */
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

export function ggufFileSize(model: OpenModel, type: FileType): number {
  const { tokenizerSource } = model;
  // A token with its type, score and merge takes about this much.
  const tokenizer = tokenizerSource === null ? 0 : model.spec.vocabularySize * 40;
  return ggufSize(new Map(), plan(model, type)) + tokenizer;
}

export async function writeGguf(path: string, source: ExportSource, type: FileType, step: Step): Promise<void> {
  const { model, weights } = source;
  const tensors = plan(model, type);
  const divisors = new Map(rotaryDivisors(model.spec).map(({ name, values }) => [name, values]));
  const writer = new GgufWriter(path, makeMetadata(source, type), tensors);
  try {
    for (const [done, tensor] of tensors.entries()) {
      await step(done, tensors.length);
      writer.write(
        tensor.source === null
          ? divisors.get(tensor.name)!
          : inFile(weights.read(tensor.source.name), tensor.source, model.spec),
      );
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

function inFile(values: Float32Array, tensor: ModelTensor, spec: DecoderSpec): Float32Array {
  return ggufLayout(tensor, spec)?.toFile(values, tensor.shape) ?? values;
}

function makeMetadata({ model, tokenizer }: ExportSource, type: FileType): Map<string, GgufValue> {
  const { spec } = model;
  const metadata = new Map<string, GgufValue>();
  const text = (key: string, value: string): unknown => metadata.set(key, { type: 'string', value });
  const count = (key: string, value: number): unknown => metadata.set(key, { type: 'uint32', value });
  const { architecture, metadata: own } = ggufMetadataOf(spec);
  text('general.architecture', architecture);
  text('general.type', 'model');
  count('general.file_type', fileTypes[type]);
  count('general.quantization_version', 2);
  if (model.format === 'gguf') {
    for (const [key, value] of readGguf(model.path).metadata) if (!storageKeys.test(key)) metadata.set(key, value);
    return metadata;
  }
  text('general.name', model.info.name);
  if (model.info.licence !== null) text('general.license', model.info.licence);
  for (const [key, value] of own) metadata.set(key, value);
  if (tokenizer === null) text('tokenizer.ggml.model', 'none');
  else for (const [name, value] of tokenizer.toGgufMetadata(spec.vocabularySize)) metadata.set(name, value);
  return metadata;
}
