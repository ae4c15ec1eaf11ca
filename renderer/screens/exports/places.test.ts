import { expect, test } from 'vitest';
import type { ExportFormat, ExportRecord, Quantization } from '../../../engine/contract.ts';
import { isRecommended, quality, runningOf, standing } from './places.ts';

test('one format is recommended at each place, by the size and numbers of the model', () => {
  const choices: [ExportFormat, Quantization | null][] = [
    ['peft', null],
    ['safetensors', 'f32'],
    ['safetensors', 'f16'],
    ['safetensors', 'bf16'],
    ['gguf', 'f16'],
    ['gguf', 'q8_0'],
    ['gguf', 'q4_k_m'],
    ['onnx', 'q4'],
    ['onnx', 'q8'],
  ];
  const recommended = (parameters: number, weightType: string) =>
    choices
      .filter(([format, quantization]) => isRecommended({ format, quantization }, { parameters, weightType }))
      .map(([format, quantization]) => `${format} ${quantization}`);
  expect(recommended(135e6, 'F32')).toEqual(['peft null', 'safetensors f16', 'gguf q8_0', 'onnx q8']);
  expect(recommended(8e9, 'BF16')).toEqual(['peft null', 'safetensors bf16', 'gguf q4_k_m', 'onnx q4']);
});

test('the words on quality leave the programs out', () => {
  expect(quality({ runsIn: 'Runs in llama.cpp, Ollama and LM Studio; a small loss.' })).toBe('A small loss');
  expect(quality({ runsIn: 'Runs in transformers, vLLM and MLX.' })).toBe('Runs in transformers, vLLM and MLX');
});

test('a later attempt that wrote nothing never covers what stands', () => {
  const record = (id: string, state: ExportRecord['state']) => ({ id, state }) as ExportRecord;
  const [failed, stopped, running, done, older] = [
    record('1', 'failed'),
    record('2', 'stopped'),
    record('3', 'running'),
    record('4', 'done'),
    record('5', 'done'),
  ];
  expect(standing([failed!, stopped!, running!, done!, older!])).toBe(done);
  expect(standing([failed!, stopped!])).toBe(failed);
  expect(standing([])).toBeNull();
  expect(runningOf([failed!, running!, done!])).toBe(running);
});
