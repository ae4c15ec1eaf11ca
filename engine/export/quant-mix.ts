/**
 * Chooses the type of each tensor of a quantized GGUF as llama.cpp does for dense models (llama-quant.cpp,
 * `llama_tensor_get_type_impl` and `tensor_type_fallback`), so that a file from here has the size and quality people know by
 * these names. The choice goes by the tensors' GGUF names.
 */
import type { Quantization } from '../contract.ts';
import { blockElements, type GgufWriteType } from '../formats/gguf.ts';

/** Names the quantizations that llama-quantize also knows; q8 and q4 belong to ONNX. */
export type GgufQuantization = Exclude<Quantization, 'q8' | 'q4'>;

/** Holds the type of most tensors, and the number that llama.h's enum llama_ftype gives the whole file. */
const mixtures: Readonly<Record<GgufQuantization, { readonly type: GgufWriteType; readonly fileType: number }>> = {
  f32: { type: 'F32', fileType: 0 },
  f16: { type: 'F16', fileType: 1 },
  bf16: { type: 'BF16', fileType: 32 },
  q8_0: { type: 'Q8_0', fileType: 7 },
  q6_k: { type: 'Q6_K', fileType: 18 },
  q5_k_m: { type: 'Q5_K', fileType: 17 },
  q5_1: { type: 'Q5_1', fileType: 9 },
  q5_0: { type: 'Q5_0', fileType: 8 },
  q4_k_m: { type: 'Q4_K', fileType: 15 },
  q4_1: { type: 'Q4_1', fileType: 3 },
  q4_0: { type: 'Q4_0', fileType: 2 },
  q3_k_m: { type: 'Q3_K', fileType: 12 },
  q2_k: { type: 'Q2_K', fileType: 10 },
};

/**
 * Returns whether a quantization is unusable without importance. llama.cpp's own q5_1 of a SmolLM2 that had learned to answer
 * in JSON gave 1 right answer of 16 in llama.cpp, and its q4_1 gave none. Made with importance both gave 15, and every other
 * type gave 16 either way. Read back here they were no worse than others: what fails is the product with activations, whose
 * sums llama.cpp keeps in half precision for these types.
 */
export function needsImportance(quantization: Quantization | null): boolean {
  return quantization === 'q4_1' || quantization === 'q5_1';
}

/** Returns the value of the metadata key `general.file_type`. */
export function ggufFileType(quantization: GgufQuantization): number {
  return mixtures[quantization].fileType;
}

export interface MixedModel {
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Says whether the importance of columns is known. */
  readonly importance: boolean;
}
export interface MixedTensor {
  /** Gives the name in the GGUF. */
  readonly name: string;
  /** Gives the shape, row-major: the last extent is the length of a row. */
  readonly shape: readonly number[];
}

/** Returns the type of each tensor. The tensors of blocks must come in the order of their layers. */
export function mixTypes(quantization: GgufQuantization, tensors: readonly MixedTensor[], model: MixedModel): GgufWriteType[] {
  const { type } = mixtures[quantization];
  const tied = !tensors.some(({ name }) => name === 'output.weight');
  const valueTensors = tensors.filter(({ name }) => isValue(name)).length;
  let values = 0;
  let downs = 0;
  return tensors.map(({ name, shape }) => {
    if (!isQuantizable(name, shape)) return 'F32';
    if (type === 'F32' || type === 'F16' || type === 'BF16') return type;
    const width = shape.at(-1)!;
    let chosen: GgufWriteType = type;
    if (name === 'output.weight' || (tied && name === 'token_embd.weight')) chosen = outputType(type, width);
    else if (isValue(name)) chosen = valueType(quantization, type, values++, valueTensors, model);
    else if (name.includes('ffn_down')) chosen = downType(quantization, type, downs++, model);
    else if (name.includes('attn_output.weight')) chosen = attentionOutputTypes[quantization] ?? type;
    return fitting(chosen, width);
  });
}

/** Returns whether a tensor is quantized. Vectors, norms and learned positions keep their precision. */
function isQuantizable(name: string, shape: readonly number[]): boolean {
  const matrix = shape.length - shape.findIndex((extent) => extent !== 1) >= 2;
  return matrix && name.endsWith('weight') && !name.endsWith('_norm.weight') && name !== 'position_embd.weight';
}

function isValue(name: string): boolean {
  return name.includes('attn_v.weight') || name.includes('attn_qkv.weight');
}

/** Returns the type of the head; an embedding that is also the head counts as one. */
function outputType(type: GgufWriteType, width: number): GgufWriteType {
  return type === 'Q8_0' || width % blockElements(type) !== 0 ? 'Q8_0' : 'Q6_K';
}

function valueType(
  quantization: GgufQuantization,
  type: GgufWriteType,
  index: number,
  count: number,
  { architecture, layers, heads, keyValueHeads }: MixedModel,
): GgufWriteType {
  const chosen = ((): GgufWriteType => {
    switch (quantization) {
      case 'q2_k':
        return heads / keyValueHeads >= 4 ? 'Q4_K' : 'Q3_K';
      case 'q3_k_m':
        return index < 2 ? 'Q5_K' : 'Q4_K';
      case 'q4_k_m':
      case 'q5_k_m':
        return deservesMoreBits(index, count) ? 'Q6_K' : type;
      default:
        return type;
    }
  })();
  // llama.cpp takes this for a 70B model, whose value matrices are an eighth of its queries', so better ones cost little.
  const large = layers === 80 && (architecture === 'qwen2' || (architecture === 'llama' && heads !== keyValueHeads));
  return large && (chosen === 'Q3_K' || chosen === 'Q4_K') ? 'Q5_K' : chosen;
}

function downType(
  quantization: GgufQuantization,
  type: GgufWriteType,
  index: number,
  { layers, importance }: MixedModel,
): GgufWriteType {
  switch (quantization) {
    case 'q2_k':
      return 'Q3_K';
    case 'q3_k_m':
      return index < Math.floor(layers / 16) ? 'Q5_K' : 'Q4_K';
    case 'q4_k_m':
    case 'q5_k_m':
      return deservesMoreBits(index, layers) ? 'Q6_K' : type;
    // With importance the first layers can go wild without a minimum.
    case 'q4_0':
      return importance && index < Math.floor(layers / 8) ? 'Q4_1' : type;
    case 'q5_0':
      return importance && index < Math.floor(layers / 8) ? 'Q5_1' : type;
    default:
      return type;
  }
}

const attentionOutputTypes: Partial<Record<GgufQuantization, GgufWriteType>> = { q2_k: 'Q3_K', q3_k_m: 'Q4_K' };

/** Returns whether a layer gets more bits: the first and last eighth of the layers, and every third between. */
function deservesMoreBits(index: number, count: number): boolean {
  const eighth = Math.floor(count / 8);
  return index < eighth || index >= Math.floor((7 * count) / 8) || (index - eighth) % 3 === 2;
}

/** Holds the types that llama.cpp uses instead when rows are not whole blocks. */
const fallbacks: Partial<Record<GgufWriteType, GgufWriteType>> = {
  Q2_K: 'Q4_0',
  Q3_K: 'Q4_0',
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
};

function fitting(type: GgufWriteType, width: number): GgufWriteType {
  const found = width % blockElements(type) === 0 ? type : (fallbacks[type] ?? 'F16');
  return width % blockElements(found) === 0 ? found : 'F16';
}
