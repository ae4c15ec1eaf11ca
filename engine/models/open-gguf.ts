/** Reads a model in a GGUF file. */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { readGguf } from '../formats/gguf.ts';
import { Problem } from '../problem.ts';
import { ggufLayout, ggufName, specFromGguf } from './families/index.ts';
import { selectTensors, type StoredModel } from './stored-model.ts';
import { fromGguf, rotaryDivisors, type StoredTensor } from './weights.ts';

export function readGgufModel(path: string, acceptFields: readonly string[]): StoredModel {
  const file = readGguf(path);
  const parts = file.metadata.get('split.count');
  if (parts !== undefined && Number(parts.value) > 1)
    throw new Problem(
      'format-unsupported',
      `'${path}' is one of ${Number(parts.value)} parts of a model, which cannot be read yet.`,
      'Join the parts with llama-gguf-split --merge.',
    );
  const [short, long] = ['rope_factors_short.weight', 'rope_factors_long.weight'].map((name) => rotaryDivisors(file, name));
  const notes: string[] = [];
  const spec = specFromGguf(
    file.metadata,
    {
      shape: (name) => file.tensors.get(name)?.shape ?? null,
      ropeFactors: rotaryDivisors(file, 'rope_freqs.weight'),
      longropeFactors: short && long ? { short, long } : null,
    },
    path,
    { acceptFields, notes },
  );
  const stored = new Map<string, StoredTensor>();
  for (const tensor of file.tensors.values()) stored.set(tensor.name, fromGguf(path, tensor));
  const tensors = selectTensors(path, spec, stored, (tensor) => [ggufName(tensor)], ggufLayout);
  const text = (key: string): string | null => {
    const entry = file.metadata.get(key);
    return entry?.type === 'string' ? entry.value : null;
  };
  const tokenizer = text('tokenizer.ggml.model');
  const hasTokenizer = tokenizer !== null && tokenizer !== 'none' && tokenizer !== 'no_vocab';
  return {
    path,
    format: 'gguf',
    spec,
    tensors,
    otherParts: [],
    files: [realpathSync(path)],
    tokenizerSource: hasTokenizer ? { kind: 'gguf', metadata: file.metadata } : null,
    acceptFields,
    notes: hasTokenizer
      ? notes
      : [...notes, 'The file has no tokenizer: without that of an adapter, only token ids can be used.'],
    // People know the file by its own name; `general.name` is whatever its converter made of a training folder.
    name: basename(path).replace(/\.gguf$/i, ''),
    hasChatTemplate: text('tokenizer.chat_template') !== null,
    licence: text('general.license'),
  };
}
