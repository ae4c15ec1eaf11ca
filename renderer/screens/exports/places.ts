/** Says where a model can run, which formats are for each place, and which of them is recommended. */
import type { ExportChoice, ExportFormat, ExportRecord, Quantization } from '../../../engine/contract.ts';

export type PlaceId = 'local' | 'python' | 'web' | 'adapter';
export interface Place {
  readonly id: PlaceId;
  readonly title: string;
  /** Gives the text that is written for it. */
  readonly text: string;
}
type Choice = Pick<ExportChoice, 'format' | 'quantization'>;

export const places: readonly Place[] = [
  { id: 'local', title: 'llama.cpp, Ollama, LM Studio', text: 'One GGUF file' },
  { id: 'python', title: 'transformers, vLLM, MLX', text: 'A merged model folder' },
  { id: 'web', title: 'Browser, ONNX Runtime', text: 'An ONNX folder' },
  { id: 'adapter', title: 'With the base model', text: 'The adapter alone' },
];

const placeOfFormat: Readonly<Record<ExportFormat, PlaceId>> = {
  gguf: 'local',
  ollama: 'local',
  safetensors: 'python',
  onnx: 'web',
  'onnx-adapter': 'web',
  peft: 'adapter',
  'lora-gguf': 'adapter',
  mlx: 'adapter',
};
/** Identifies a format in one type of numbers. */
export const keyOf = ({ format, quantization }: Choice): string => `${format} ${quantization ?? ''}`;

export const placeOf = ({ format }: Pick<Choice, 'format'>): PlaceId => placeOfFormat[format];

/**
 * Returns the export that is in place after several attempts, which are given newest first: the newest that was written. A
 * later attempt that is in progress, failed or was stopped has left its file unchanged, and counts only where there is no
 * written one.
 */
export function standing(attempts: readonly ExportRecord[]): ExportRecord | null {
  return attempts.find(({ state }) => state === 'done') ?? attempts[0] ?? null;
}

export function runningOf(attempts: readonly ExportRecord[]): ExportRecord | null {
  return attempts.find(({ state }) => state === 'running') ?? null;
}

/** Lists the types that are shown at once. The others are older, or for few people. */
const usual: readonly Quantization[] = ['f16', 'q8_0', 'q6_k', 'q5_k_m', 'q4_k_m'];
export const isUsual = ({ format, quantization }: Choice): boolean =>
  (format !== 'gguf' && format !== 'ollama') || quantization === null || usual.includes(quantization);

/** Sets the number of parameters from which 4 bits are recommended. Smaller models lose more by rounding. */
const large = 1e9;

/**
 * Returns whether a format is the one to take when in doubt. For llama.cpp and ONNX Runtime this is 8 bits for a small model
 * and 4 bits for a large one; for Python it is the base's own half precision, because a base in bfloat16 may have numbers that
 * float16 cannot hold.
 */
export function isRecommended(
  { format, quantization }: Choice,
  { parameters, weightType }: { readonly parameters: number; readonly weightType: string },
): boolean {
  switch (format) {
    case 'peft':
      return true;
    case 'lora-gguf':
    case 'mlx':
    case 'ollama':
    case 'onnx-adapter':
      return false;
    case 'gguf':
      return quantization === (parameters < large ? 'q8_0' : 'q4_k_m');
    case 'safetensors':
      return quantization === (weightType === 'BF16' ? 'bf16' : 'f16');
    case 'onnx':
      return quantization === (parameters < large ? 'q8' : 'q4');
  }
}

/** Returns what a choice is like, without where it runs: the part of the engine's line after the programs. */
export function quality({ runsIn }: Pick<ExportChoice, 'runsIn'>): string {
  const words = runsIn.includes('; ') ? runsIn.slice(runsIn.indexOf('; ') + 2) : runsIn;
  return words.charAt(0).toUpperCase() + words.slice(1).replace(/\.$/, '');
}
