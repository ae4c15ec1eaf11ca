/** A GGUF of every reference model: written, and read back as the same model, or refused because llama.cpp cannot compute it. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { configOf, specFromConfig } from '../models/families/index.ts';
import { openModel } from '../models/open.ts';
import { ropeInverseFrequencies } from '../models/rope.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { writeGguf } from './gguf.ts';
import { exportSource } from './source.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'export-families-'));
afterAll(() => rmSync(root, { recursive: true }));

const refused: Readonly<Record<string, RegExp>> = {
  'llama-dynamic': /activation 'gelu_pytorch_tanh'/,
  'phi-qk-layernorm': /norms its queries and keys|activation/,
  'qwen3-bias': /bias of attn_output/,
  'smollm3-window': /no position embedding/,
  'starcoder2-no-bias': /without biases/,
};
const names = readdirSync(golden).filter(
  (name) =>
    /^(granite|llama|ministral3|mistral|phi|qwen|smollm3|stablelm|starcoder2)/.test(name) &&
    existsSync(join(golden, name, 'model')),
);

/** What a GGUF of these families does not carry. */
function carried(spec: DecoderSpec): unknown {
  const { ropes: _, family, ...rest } = spec;
  return {
    ...rest,
    family: family === 'mistral' ? 'llama' : family,
    blocks: spec.blocks.map((block) => ({ ...block, mixer: { ...block.mixer, window: null } })),
  };
}

describe.each(names)('%s', (name) => {
  const model = openModel(join(golden, name, 'model'));
  const path = join(root, `${name}.gguf`);
  const write = async () => writeGguf(path, exportSource(model, [], null), 'f32', async () => {});

  if (name in refused) {
    it('is refused', async () => {
      await expect(write()).rejects.toMatchObject({
        code: 'export-unsupported',
        message: expect.stringMatching(refused[name]!) as string,
      });
      expect(existsSync(path)).toBe(false);
    });
    return;
  }
  it('is the same model in a GGUF', async () => {
    await write();
    const written = openModel(path);
    expect(carried(written.spec)).toEqual(carried(model.spec));
    expect(written.spec.ropes).toHaveLength(model.spec.ropes.length);
    model.spec.ropes.forEach((rope, i) => {
      const own = written.spec.ropes[i]!;
      expect(own.dimension).toBe(rope.dimension);
      const factor = ({ scaling }: typeof rope) => ('attentionFactor' in scaling ? scaling.attentionFactor : 1);
      expect(factor(own)).toBeCloseTo(factor(rope), 6);
      for (const length of [4, 1000])
        ropeInverseFrequencies(rope, length).forEach((speed, j) =>
          expect(ropeInverseFrequencies(own, length)[j]! / speed).toBeCloseTo(1, 6),
        );
    });
    for (const tensor of model.weights.names) expect(written.weights.read(tensor), tensor).toEqual(model.weights.read(tensor));
    // And from there to a hub folder's config and back.
    const again = specFromConfig(configOf(written.spec), 'config.json');
    expect(carried(again)).toEqual(carried(written.spec));
  });
});
