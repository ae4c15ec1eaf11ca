/** Places people take for an adapter: what is there is said, and what to give instead. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { Problem } from '../problem.ts';
import { adapterFile } from './find.ts';

const work = mkdtempSync(join(tmpdir(), 'find-'));
afterAll(() => rmSync(work, { recursive: true }));

function place(...files: string[]): string {
  const dir = mkdtempSync(join(work, 'place-'));
  for (const file of files) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), 'x');
  }
  return dir;
}

function refusal(path: string): string {
  try {
    adapterFile(path);
  } catch (error) {
    if (error instanceof Problem) return `${error.code}: ${error.message} ${error.hint}`;
    throw error;
  }
  throw new Error('an adapter was found');
}

const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'];

it('finds the adapters of every program', () => {
  const [peft, mlx, gguf] = [place(config, weights), place(config, 'adapters.safetensors'), place('lora.gguf')];
  expect(adapterFile(peft)).toEqual({ form: 'peft', weights: join(peft, weights) });
  expect(adapterFile(mlx)).toEqual({ form: 'mlx', weights: join(mlx, 'adapters.safetensors') });
  expect(adapterFile(join(gguf, 'lora.gguf'))).toEqual({ form: 'gguf', weights: join(gguf, 'lora.gguf') });
});

it.each<[string, string[], RegExp]>([
  ['an empty folder', [], /^file-missing: .* is empty/],
  ['something else', ['notes.txt'], /has no adapter in it: there is no adapter_config\.json/],
  [
    'checkpoints',
    [`checkpoint-90/${weights}`, `checkpoint-100/${weights}`],
    /'checkpoint-100', 'checkpoint-90'.*Give '.*checkpoint-100'/,
  ],
  ['a subfolder', [`out/${weights}`, `out/${config}`], /there is one in 'out'.*Give '.*out'/],
  [
    'a pickle',
    [config, 'adapter_model.bin'],
    /^format-unsupported: .*adapter_model\.bin' keeps the adapter in a pickle.*save_pretrained/,
  ],
  ['shards', [config, 'adapter_model.safetensors.index.json', 'adapter_model-00001-of-00002.safetensors'], /several files/],
  ['a whole model', ['config.json', 'model.safetensors', 'tokenizer.json'], /is a whole model, not an adapter.*as the model/],
  [
    'a whole model in shards',
    ['config.json', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors'],
    /is a whole model/,
  ],
  ['a cache', ['refs/main', `snapshots/abc/${weights}`, `snapshots/abc/${config}`], /of a hub's cache\. Give '.*abc'/],
  ['a config alone', [config], /has adapter_config\.json but not the weights, adapter_model\.safetensors/],
  ['weights alone', [weights], /has adapter_model\.safetensors but no adapter_config\.json/],
  ['weights of another name', [config, 'pytorch_lora_weights.safetensors'], /there is pytorch_lora_weights\.safetensors/],
  ['a GGUF in a folder', ['lora.gguf'], /but a GGUF file.*Give '.*lora\.gguf'/],
])('%s is told', (_, files, words) => {
  expect(refusal(place(...files))).toMatch(words);
});

it.each<[string, RegExp]>([
  [weights, /is one file of an adapter.*Give the folder/],
  [config, /is one file of an adapter/],
  ['adapter_model.bin', /pickle/],
  ['notes.txt', /is no adapter/],
])('the file %s is told', (name, words) => {
  expect(refusal(join(place(name), name))).toMatch(words);
});

it('a path with nothing at it is told', () => {
  expect(refusal(join(work, 'nowhere'))).toMatch(/^file-missing: There is no adapter at/);
});
