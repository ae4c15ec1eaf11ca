import { expect, test } from 'vitest';
import { quoted, runCommands } from './run-command.ts';

test('a path with spaces and quotes survives the shell', () => {
  expect(quoted('/a/b-1.gguf')).toBe('/a/b-1.gguf');
  expect(quoted(`/my models/it's.gguf`)).toBe(`'/my models/it'\\''s.gguf'`);
});

test('a GGUF gets a llama.cpp command and a name Ollama takes', () => {
  const commands = runCommands({ format: 'gguf', quantization: 'q8_0', path: '/out/My Model (1).gguf' });
  expect(commands[0]!.command).toBe(`llama-cli -m '/out/My Model (1).gguf' -cnv`);
  expect(commands[1]!.command).toContain('ollama run my-model-1-');
});

test('an ONNX folder is loaded by its name from where it lies, in the numbers it has', () => {
  const [first] = runCommands({ format: 'onnx', quantization: 'f16', path: '/out/orders-onnx' });
  for (const part of ['localModelPath = "/out/"', '"orders-onnx"', 'fp16']) expect(first!.command).toContain(part);
});
