/** Names formats, and the files that are written in them. */
import type { ExportChoice, ExportFormat } from '../../../engine/contract.ts';

const names: Readonly<Record<ExportFormat, string>> = {
  peft: 'PEFT',
  'lora-gguf': 'LoRA GGUF',
  mlx: 'mlx-lm',
  safetensors: 'Merged',
  gguf: 'GGUF',
  ollama: 'Ollama',
  onnx: 'ONNX',
  'onnx-adapter': 'ONNX + adapter',
};

/** Returns a format in two words, with the type of its numbers as the format writes it: `GGUF Q8_0`, `Merged f16`. */
export function shortName({ format, quantization }: { format: ExportFormat; quantization: string | null }): string {
  if (quantization === null) return names[format];
  return `${names[format]} ${/^i?q/.test(quantization) ? quantization.toUpperCase() : quantization}`;
}

type Choice = Pick<ExportChoice, 'format' | 'quantization'>;

/** Says whether a format is written as a folder, or else as one file. */
export const isFolder = ({ format }: Pick<Choice, 'format'>): boolean => format !== 'gguf' && format !== 'lora-gguf';

/** Suggests a name for the file or folder. Ollama calls the model as its folder. */
export function suggestedName({ format, quantization }: Choice, trained: string): string {
  const base = trained.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^-+|-+$/g, '') || 'model';
  switch (format) {
    case 'peft':
      return `${base}-adapter`;
    case 'lora-gguf':
      return `${base}-lora.gguf`;
    case 'mlx':
      return `${base}-mlx`;
    case 'gguf':
      return `${base}-${quantization ?? 'f16'}.gguf`;
    case 'ollama':
      return `${base}-${quantization ?? 'f16'}`;
    case 'onnx':
      return `${base}-onnx-${quantization ?? 'f32'}`;
    case 'onnx-adapter':
      return `${base}-onnx-adapter-${quantization ?? 'f32'}`;
    case 'safetensors':
      return `${base}-merged-${quantization ?? 'f32'}`;
  }
}
