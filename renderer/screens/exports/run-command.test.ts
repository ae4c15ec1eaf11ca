import { expect, test } from 'vitest';
import { quoted, runCommands } from './run-command.ts';

test('a path with spaces and quotes survives the shell', () => {
  expect(quoted('/a/b-1.gguf')).toBe('/a/b-1.gguf');
  expect(quoted(`/my models/it's.gguf`)).toBe(`'/my models/it'\\''s.gguf'`);
});

test('a GGUF gets a llama.cpp command and a name Ollama takes', () => {
  const commands = runCommands({ format: 'gguf', path: '/out/My Model (1).gguf' });
  expect(commands[0]!.command).toBe(`llama-cli -m '/out/My Model (1).gguf' -cnv`);
  expect(commands[1]!.command).toContain('ollama run my-model-1-');
});
