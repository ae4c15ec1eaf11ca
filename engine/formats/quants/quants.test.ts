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

  if (plain === undefined || weighted === undefined) return;

  it('makes each row by itself, and of rows four times as large values four times as large', () => {
    // Large enough that no scale is a half below 2^-14, which has fewer bits.
    const ordinary = rows.subarray(0, 2 * fixtures.width).map((value) => 1024 * value);
    for (const weights of [null, importance]) {
      const together = quantize(type, ordinary, fixtures.width, weights);
      const apart = [0, 1].map((row) =>
        quantize(type, ordinary.subarray(row * fixtures.width, (row + 1) * fixtures.width), fixtures.width, weights),
      );
      expect(Buffer.concat(apart)).toEqual(Buffer.from(together));
      const larger = ordinary.map((value) => 4 * value);
      const found = dequantize(type, Uint8Array.from(quantize(type, larger, fixtures.width, weights)));
      expect(found).toEqual(dequantize(type, Uint8Array.from(together)).map((value) => 4 * value));
    }
  });

  it('is made with the bytes of llama.cpp', () => {
    expect(quantize(type, rows, fixtures.width)).toEqual(bytes(plain));
    expect(quantize(type, rows, fixtures.width, importance)).toEqual(bytes(weighted));
  });
});
