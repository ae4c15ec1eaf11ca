import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dequantize, quantize, type GgufWriteType } from '../gguf.ts';

/** Made by fixtures.py with llama.cpp's own library. */
const fixtures = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures.json'), 'utf8')) as {
  readonly width: number;
  readonly rows: string;
  readonly importance: string;
  readonly types: Readonly<Record<string, TypeFixture>>;
};
interface TypeFixture {
  readonly blocks: string;
  readonly values: string;
  /** What the rows become, without and with importance; missing where a type is only read. */
  readonly plain?: string;
  readonly weighted?: string;
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}
const rows = new Float32Array(bytes(fixtures.rows).buffer);
const importance = new Float32Array(bytes(fixtures.importance).buffer);

describe.each(Object.entries(fixtures.types))('%s', (name, { blocks, values, plain, weighted }) => {
  const type = name as GgufWriteType;

  it('is read with the bits of llama.cpp', () => {
    const found = dequantize(type, bytes(blocks));
    expect(new Uint32Array(found.buffer)).toEqual(new Uint32Array(bytes(values).buffer));
  });

  it.skipIf(plain === undefined)('is made with the bytes of llama.cpp', () => {
    expect(quantize(type, rows, fixtures.width)).toEqual(bytes(plain!));
    expect(quantize(type, rows, fixtures.width, importance)).toEqual(bytes(weighted!));
  });
});
