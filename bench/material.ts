/** Makes what the bench works on, anew each time and always the same. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChatMessage } from '../engine/contract.ts';
import { SafetensorsWriter, type SafetensorsPlan } from '../engine/formats/safetensors.ts';
import { specFromConfig } from '../engine/models/families/index.ts';
import { modelTensors } from '../engine/models/spec.ts';
import { fillUniform } from '../engine/random.ts';

/** Returns ids that look random, none of them 0. */
export function tokenIds(count: number, vocabularySize: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => 1 + (((seed + Math.imul(i + 1, 7919 + seed)) >>> 0) % (vocabularySize - 1)));
}

/** Writes rows of ids, every one of them a target. */
export function writeRows(path: string, tokens: number, vocabularySize: number): void {
  const rows = Array.from(
    { length: 4 },
    (_, row) => JSON.stringify({ input_ids: tokenIds(tokens, vocabularySize, row) }) + '\n',
  );
  writeFileSync(path, rows.join(''));
}

const words = 'the order of two lamps and a kettle to Nairobi was paid in cash before noon, please send it again today'.split(
  ' ',
);

/** Writes conversations of uneven length: most have a few dozen tokens, some many hundred, with one to four answers. */
export function writeConversations(path: string): void {
  const text = (seed: number, length: number): string =>
    Array.from({ length }, (_, i) => words[Math.imul(i + 1, 31 + seed) % words.length]).join(' ') + '.';
  const rows = Array.from({ length: 96 }, (_, row) => {
    const messages: ChatMessage[] = [{ role: 'system', content: text(1, 14) }];
    for (let turn = 0; turn <= (row % 8 < 5 ? 0 : row % 4); turn++) {
      const length = 12 + (row % 11 === 0 ? 500 : row % 5 === 0 ? 160 : row % 17);
      messages.push(
        { role: 'user', content: text(row, length) },
        { role: 'assistant', content: text(row + turn, 20 + (row % 23)) },
      );
    }
    return JSON.stringify({ messages }) + '\n';
  });
  writeFileSync(path, rows.join(''));
}

/** Writes a small model of random weights, with a vocabulary as large as they get, as a hub folder. */
export function writeLargeVocabularyModel(folder: string): { readonly vocabularySize: number } {
  const config = {
    ...{ model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 152_064, tie_word_embeddings: true },
    ...{ hidden_size: 256, intermediate_size: 512, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 4 },
    ...{ head_dim: 64, hidden_act: 'silu', max_position_embeddings: 4096, rms_norm_eps: 1e-5, attention_bias: false },
    ...{ mlp_bias: false, rope_theta: 10000, rope_scaling: null, torch_dtype: 'float32' },
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const plan = modelTensors(specFromConfig(config, 'config.json')).map(({ name, shape }): SafetensorsPlan => ({
    name,
    shape,
    type: 'F32',
  }));
  const writer = new SafetensorsWriter(join(folder, 'model.safetensors'), plan, { format: 'pt' });
  for (const { name, shape } of plan) {
    const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
    if (shape.length === 1) values.fill(1);
    else fillUniform(values, 0.05, 1, name);
    writer.write(values);
  }
  writer.finish();
  return { vocabularySize: config.vocab_size };
}
