import type { ExportFormat } from '../../../engine/contract.ts';

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

/** A format in two words, its numbers as the format writes them: `GGUF Q8_0`, `Merged f16`. */
export function shortName({ format, quantization }: { format: ExportFormat; quantization: string | null }): string {
  if (quantization === null) return names[format];
  return `${names[format]} ${/^i?q/.test(quantization) ? quantization.toUpperCase() : quantization}`;
}
