import { expect, test } from 'vitest';
import type { ExportChoice } from '../../../engine/contract.ts';
import { takes } from './programs.ts';
import { isFolder, shortName, suggestedName } from './short-name.ts';

const choice = (format: ExportChoice['format'], quantization: ExportChoice['quantization'] = null) => ({
  format,
  quantization,
});

test('no two formats of one adapter are offered the same name', () => {
  const all = [
    choice('peft'),
    choice('lora-gguf', 'f16'),
    choice('mlx'),
    choice('safetensors', 'f16'),
    choice('safetensors', 'bf16'),
    choice('gguf', 'f16'),
    choice('gguf', 'q4_k_m'),
    choice('ollama', 'f16'),
    choice('ollama', 'q4_k_m'),
    choice('onnx', 'f16'),
    choice('onnx', 'q4'),
    choice('onnx-adapter', 'f16'),
    choice('onnx-adapter', 'q4'),
  ];
  expect(new Set(all.map((one) => suggestedName(one, 'orders'))).size).toBe(all.length);
  expect(all.filter((one) => !isFolder(one)).map((one) => suggestedName(one, 'Orders / Mai 2026!'))).toEqual([
    'Orders-Mai-2026-lora.gguf',
    'Orders-Mai-2026-f16.gguf',
    'Orders-Mai-2026-q4_k_m.gguf',
  ]);
  expect(suggestedName(choice('ollama', 'q8_0'), '!!!')).toBe('model-q8_0');
});

test('a format is called as its programs write it', () => {
  expect(shortName(choice('gguf', 'q4_k_m'))).toBe('GGUF Q4_K_M');
  expect(shortName(choice('safetensors', 'f16'))).toBe('Merged f16');
  expect(shortName(choice('mlx'))).toBe('mlx-lm');
});

test('Ollama takes what has a Modelfile, the others a GGUF of the whole model', () => {
  expect((['gguf', 'ollama', 'lora-gguf', 'peft'] as const).filter((format) => takes('ollama', format))).toEqual(['ollama']);
  for (const program of ['lm-studio', 'jan'] as const)
    expect((['gguf', 'ollama', 'lora-gguf', 'safetensors'] as const).filter((format) => takes(program, format))).toEqual([
      'gguf',
      'ollama',
    ]);
});
