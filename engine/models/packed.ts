/**
 * Decides by its tensors whether the weights of a hub folder are quantized, because a config may still say so after the weights
 * were written unquantized.
 */
import { Problem } from '../problem.ts';
import type { StoredTensor } from './weights.ts';

/** Lists the fields of config.json that say how weights are packed. */
export const packingFields = ['quantization_config', 'quantization', 'compression_config'] as const;

/** Lists the names of tensors that accompany packed weights, by the program that packs. */
const signs: readonly (readonly [by: string, names: RegExp])[] = [
  ['bitsandbytes', /\.(absmax|quant_map|nested_absmax|nested_quant_map|SCB|weight_format)$|\.quant_state\./],
  ['GPTQ or AWQ', /\.(qweight|qzeros|g_idx)$/],
  ['FP8', /\.(weight_scale_inv|activation_scale|input_scale)$/],
  ['compressed-tensors', /\.(weight_packed|weight_scale|weight_scale_2|weight_zero_point|weight_global_scale)$/],
  ['MXFP4', /_blocks$/],
  ['HQQ', /\.W_q$/],
  ['AQLM', /\.(codes|codebooks)$/],
  ['quanto', /\.weight\._(data|scale)$/],
  ['MLX', /\.(scales|biases)$/],
];

/** Holds the types of weights that are not packed. */
const plainTypes = new Set(['F64', 'F32', 'F16', 'BF16']);

/**
 * Holds the methods, by `quant_method` of transformers, that only change how weights are stored: unquantized weights are then
 * the model. Others, such as BitNet, also change the computation.
 */
const storing = new Set([
  ...['bitsandbytes', 'gptq', 'awq', 'auto-round', 'fp8', 'fbgemm_fp8', 'compressed-tensors', 'modelopt', 'mxfp4'],
  ...['hqq', 'eetq', 'aqlm', 'quanto', 'torchao', 'higgs', 'vptq', 'spqr'],
]);

/** Refuses packed weights, and methods that also change the computation. A config that no longer applies gives a note. */
export function refusePacked(
  configPath: string,
  config: Readonly<Record<string, unknown>>,
  stored: readonly StoredTensor[],
  { acceptFields, notes }: { readonly acceptFields: readonly string[]; readonly notes: string[] },
): void {
  const method = methodOf(config);
  const signOf = (name: string): string | undefined => signs.find(([, names]) => names.test(name))?.[0];
  const packed = stored.filter(
    ({ name, type }) => signOf(name) !== undefined || (name.endsWith('.weight') && !plainTypes.has(type)),
  );
  const [first] = packed;
  if (first !== undefined) {
    const by = method ?? packed.flatMap(({ name }) => signOf(name) ?? [])[0] ?? first.type;
    throw new Problem(
      'format-unsupported',
      `'${first.path}' has quantized weights (${by}): tensor '${first.name}' is ${first.type}. They cannot be read from a hub folder.`,
      "Use the unquantized model or a GGUF of it, or write the weights plain: transformers' model.dequantize(), then save_pretrained().",
    );
  }
  const field = packingFields.find((key) => (config[key] ?? textConfig(config)[key] ?? null) !== null);
  if (field === undefined) return;
  if (method !== null && storing.has(method))
    notes.push(`config.json says that the weights are quantized (${method}), but they are plain numbers: these count.`);
  else if (acceptFields.includes(field))
    notes.push(`The field '${field}' of config.json was accepted: the model is computed as if it were not there.`);
  else
    throw new Problem(
      'format-unsupported',
      `'${configPath}' describes quantized weights (${field}${method === null ? '' : `: ${method}`}), but the tensors are plain: how they are to be computed is not known.`,
      `Use the unquantized model or a GGUF of it. If you know that the weights are meant as they are, accept it: --accept-field ${field}.`,
    );
}

/** Returns the method by which the config says that weights are packed; the oldest bitsandbytes configs and MLX name none. */
function methodOf(config: Readonly<Record<string, unknown>>): string | null {
  const inText = textConfig(config);
  const packing = objectOf(config['quantization_config'] ?? inText['quantization_config'] ?? config['compression_config']);
  const { quant_method: named, load_in_4bit: four, load_in_8bit: eight } = packing;
  if (typeof named === 'string') return named.replace(/^.*\//, '');
  return four === true || eight === true ? 'bitsandbytes' : null;
}

function textConfig(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return objectOf(config['text_config']);
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
