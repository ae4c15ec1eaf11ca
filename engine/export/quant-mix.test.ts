import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { mixTypes, type GgufQuantization, type MixedTensor } from './quant-mix.ts';

/** Made by quant-mix.py with llama.cpp's own quantizer: types of the outer tensors, and runs of types over the blocks. */
interface Case {
  readonly architecture: string;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly tied: boolean;
  readonly outer: Readonly<Record<string, readonly number[]>>;
  readonly block: Readonly<Record<string, readonly number[]>>;
  readonly types: Readonly<Record<string, Readonly<Record<string, string>>>>;
}
const cases = JSON.parse(readFileSync(join(import.meta.dirname, 'quant-mix.json'), 'utf8')) as readonly Case[];

function unroll(runs: string): string[] {
  return runs.split(' ').flatMap((run) => {
    const [type, count] = run.split('*') as [string, string];
    return Array.from({ length: Number(count) }, () => type);
  });
}

describe.each(cases)(
  '$architecture with $layers layers, $keyValueHeads of $heads heads, rows of $hidden and $feedForward',
  (model) => {
    const tensors: MixedTensor[] = Object.entries(model.outer).map(([name, shape]) => ({ name, shape }));
    for (let layer = 0; layer < model.layers; layer++)
      for (const [name, shape] of Object.entries(model.block)) tensors.push({ name: `blk.${layer}.${name}`, shape });

    it.each(Object.keys(model.types))('%s gets llama.cpp’s types', (key) => {
      const [quantization, importance] = key.split(' with ') as [GgufQuantization, string | undefined];
      const found = mixTypes(quantization, tensors, { ...model, importance: importance !== undefined });
      const expected = new Map<string, string>();
      for (const [name, types] of Object.entries(model.types[key]!)) {
        if (name in model.outer) expected.set(name, types);
        else unroll(types).forEach((type, layer) => expected.set(`blk.${layer}.${name}`, type));
      }
      expect(new Map(tensors.map(({ name }, i) => [name, found[i]]))).toEqual(expected);
    });
  },
);
