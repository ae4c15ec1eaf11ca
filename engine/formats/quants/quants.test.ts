import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dequantize, type GgufTensorType } from '../gguf.ts';

/** Made by fixtures.py with llama.cpp's own library. */
const fixtures = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures.json'), 'utf8')) as {
  readonly types: Readonly<Record<string, { readonly blocks: string; readonly values: string }>>;
};

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

describe.each(Object.entries(fixtures.types))('%s', (name, { blocks, values }) => {
  const type = name as GgufTensorType;

  it('is read with the bits of llama.cpp', () => {
    const found = dequantize(type, bytes(blocks));
    expect(new Uint32Array(found.buffer)).toEqual(new Uint32Array(bytes(values).buffer));
  });
});
