import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Problem } from '../problem.ts';
import { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from './float.ts';
import { FileHash } from './files.ts';
import { dequantize, GgufWriter, ggufSize, quantize, readGguf, readGgufFloat32, type GgufValue } from './gguf.ts';
import { readOnnxAdapter, writeOnnxAdapter } from './onnx-adapter.ts';
import { readSafetensors, readSafetensorsFloat32, safetensorsSize, SafetensorsWriter } from './safetensors.ts';
import { problemOf } from '../testing/problem-of.ts';

const folder = mkdtempSync(join(tmpdir(), 'formats-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('float', () => {
  it('rounds as torch does', () => {
    // Values and results of torch 2.15: ties, subnormals, the last finite half and what follows it.
    const values = Float32Array.of(
      ...[0, 1e-8, 2.98e-8, 2 ** -25, 2 ** -25 * (1 + 2 ** -23), 8.9e-8, 6.1e-5, 6.103515e-5, 1.0004882, 1.0004883],
      ...[65504, 65519.99, 65520, -3.14159, 1e30],
    );
    const half = [0, 0, 0, 0, 1, 1, 1023, 1024, 15360, 15360, 31743, 31743, 31744, 65536 - 15800, 31744];
    const bfloat = [
      0,
      12844,
      13056,
      13056,
      13056,
      13247,
      14464,
      14464,
      16256,
      16256,
      18304,
      18304,
      18304,
      65536 - 16311,
      29002,
    ];
    expect([...float32ToHalf(values)]).toEqual(half);
    expect([...float32ToBfloat16(values)]).toEqual(bfloat);
  });

  it('gives every half and bfloat16 back', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => (bits & 0x7fff) <= 0x7c00);
    expect(float32ToHalf(halfToFloat32(all))).toEqual(all);
    const bfloats = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => (bits & 0x7fff) <= 0x7f80);
    expect(float32ToBfloat16(bfloat16ToFloat32(bfloats))).toEqual(bfloats);
  });
});

describe('the hash of a file that is read', () => {
  const path = join(folder, 'hashed');
  const content = Uint8Array.from({ length: 3 << 20 }, (_, i) => (i * 7919) % 251);
  const expected = createHash('sha256').update(content).digest('hex');
  it.each([
    [
      'in its order and whole',
      [
        [0, 1 << 20],
        [1 << 20, 3 << 20],
      ],
    ],
    [
      'with parts left out',
      [
        [8, 100],
        [5000, 2 << 20],
      ],
    ],
    [
      'in another order, and twice',
      [
        [2 << 20, 3 << 20],
        [0, 1000],
        [1000, 2000],
        [0, 1000],
      ],
    ],
    ['by nobody', []],
  ] as const)('is that of all of it: %s', (_, parts) => {
    writeFileSync(path, content);
    const hash = new FileHash(path);
    for (const [from, to] of parts) hash.take(from, content.subarray(from, to));
    expect(hash.finish()).toBe(expected);
  });

  it('is of the bytes that were read, whatever the file holds by now', () => {
    writeFileSync(path, content);
    const hash = new FileHash(path);
    hash.take(0, content.subarray(0, 1 << 20));
    writeFileSync(
      path,
      content.map((byte, i) => (i < 1 << 20 ? 0 : byte)),
    );
    expect(hash.finish()).toBe(expected);
  });
});

describe('safetensors', () => {
  const plan = [
    { name: 'a', type: 'F32', shape: [2, 3] },
    { name: 'b', type: 'BF16', shape: [3] },
    { name: 'c', type: 'F16', shape: [] },
  ] as const;

  it('reads what it writes', () => {
    const path = join(folder, 'round.safetensors');
    const writer = new SafetensorsWriter(path, plan);
    writer.write(Float32Array.of(1, 2, 3, 4, 5, 6.1));
    writer.write(Float32Array.of(0.5, -1, 3));
    writer.write(Float32Array.of(2));
    writer.finish();
    const file = readSafetensors(path);
    expect(file.size).toBe(safetensorsSize(plan, { format: 'pt' }));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect(readSafetensorsFloat32(path, file.tensors.get('a')!)).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6.1));
    expect(readSafetensorsFloat32(path, file.tensors.get('b')!)).toEqual(Float32Array.of(0.5, -1, 3));
    expect(file.tensors.get('c')!.shape).toEqual([]);
  });

  it.each(['F32', 'F16', 'BF16'] as const)('reads what it writes of a tensor that is converted in parts, as %s', (type) => {
    const path = join(folder, `parts-${type}.safetensors`);
    const values = Float32Array.from({ length: 2 ** 20 + 3 }, (_, i) => (i % 257) - 128);
    const writer = new SafetensorsWriter(path, [{ name: 'a', type, shape: [values.length] }]);
    writer.write(values);
    writer.finish();
    const back = readSafetensorsFloat32(path, readSafetensors(path).tensors.get('a')!);
    expect(Buffer.from(back.buffer).equals(Buffer.from(values.buffer))).toBe(true);
  });

  function file(header: unknown, data = 24, length?: bigint): string {
    const path = join(folder, 'bad.safetensors');
    const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const start = Buffer.alloc(8);
    start.writeBigUInt64LE(length ?? BigInt(json.length));
    writeFileSync(path, Buffer.concat([start, json, Buffer.alloc(data)]));
    return path;
  }
  const tensor = (from: number, to: number, shape: unknown = [(to - from) / 4], dtype = 'F32') => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });

  const manyNames = (count: number) => Array.from({ length: count }, (_, i) => `"${i}":""`).join(',');
  const manyTensors = (count: number) => Array.from({ length: count }, (_, i) => `"${i}":{}`).join(',');

  it.each<[string, () => string, RegExp]>([
    ['header longer than any', () => file({}, 24, 100_000_001n), /100000001/],
    ['header longer than the file', () => file({}, 24, 5000n), /5000/],
    ['header beyond 64 bits of sense', () => file({}, 24, 0xffffffffffffffffn), /header/],
    ['no JSON', () => file('{"a":', 24), /not JSON/],
    ['no UTF-8', () => file('{"\u00ff":1}', 0, 3n), /UTF-8|JSON/],
    ['no object', () => file('[]', 0), /not a JSON object/],
    ['overlap', () => file({ a: tensor(0, 16), b: tensor(8, 24) }), /'b' overlapping/],
    ['hole', () => file({ a: tensor(0, 8), b: tensor(16, 24) }), /8 unused bytes before tensor 'b'/],
    ['beyond the file', () => file({ a: tensor(0, 400) }), /tensor 'a'/],
    ['shape against size', () => file({ a: tensor(0, 24, [5]) }), /F32 \[5\] takes 20/],
    ['product overflow', () => file({ a: tensor(0, 24, [2 ** 40, 2 ** 40]) }), /tensor 'a'/],
    ['negative extent', () => file({ a: tensor(0, 24, [-6]) }), /'a'/],
    [
      'repeated key',
      () => file('{"a":' + JSON.stringify(tensor(0, 24)) + ',"\\u0061":' + JSON.stringify(tensor(0, 24)) + '}'),
      /'a' twice/,
    ],
    ['repeated key after a long text', () => file(`{"a":"${'x\\\\'.repeat(5e6)}","b" :1,"b":2}`), /'b' twice/],
    ['lists without end', () => file('['.repeat(1e6)), /nested/],
    ['more tensors than any model', () => file(`{${manyTensors(3e5)}}`), /more than 262144 tensors/],
    ['a text without end', () => file('{"a'), /not JSON/],
    ['more metadata than any model', () => file(`{"__metadata__":{${manyNames(5000)}}}`), /more than 4096 names/],
    ['metadata in the place of tensors', () => file(`{${manyNames(3e5)}}`), /more than 262145 names/],
    // Their product is a number of millions of digits, which takes minutes.
    ['more dimensions than any', () => file({ a: tensor(0, 24, Array(4e6).fill(9)) }), /4000000 dimensions/],
    ['bytes after the end', () => file({ a: tensor(0, 8) }), /16 bytes after/],
    ['too short', () => (writeFileSync(join(folder, 's'), 'abc'), join(folder, 's')), /3 bytes/],
  ])('refuses damage: %s', (_, make, message) => {
    const problem = problemOf(() => readSafetensors(make()));
    expect(problem.code).toBe('file-damaged');
    expect(problem.message).toMatch(message);
  });

  it('refuses to make numbers infinite', () => {
    const writer = new SafetensorsWriter(join(folder, 'half.safetensors'), [{ name: 'a', type: 'F16', shape: [2] }]);
    expect(problemOf(() => writer.write(Float32Array.of(65521, 0))).message).toContain("'a' has values up to 6.55e+4");
    writer.abort();
  });

  it('refuses a type it does not know by name', () => {
    const problem = problemOf(() => readSafetensors(file({ a: tensor(0, 24, [24], 'F4') })));
    expect(problem.code).toBe('format-unsupported');
    expect(problem.message).toContain('F4');
  });
});

describe('GGUF', () => {
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'llama' }],
    ['a.u64', { type: 'uint64', value: 2n ** 63n }],
    ['a.i8', { type: 'int8', value: -5 }],
    ['a.f64', { type: 'float64', value: 0.1 }],
    ['a.bool', { type: 'bool', value: true }],
    ['a.strings', { type: 'array', of: 'string', value: ['é', '', 'x'] }],
    ['a.ints', { type: 'array', of: 'int32', value: Int32Array.of(-1, 2) }],
    ['a.flags', { type: 'array', of: 'bool', value: [true, false] }],
  ]);
  const plan = [
    { name: 'one', type: 'F32', shape: [2, 3] },
    { name: 'two', type: 'Q8_0', shape: [2, 32] },
    { name: 'three', type: 'F16', shape: [5] },
  ] as const;
  const values = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i) * (i + 1));

  function write(name: string): string {
    const path = join(folder, name);
    const writer = new GgufWriter(path, metadata, plan);
    writer.write(Float32Array.of(1, 2, 3, 4, 5, 6));
    writer.write(values);
    writer.write(Float32Array.of(1, 2, 3, 4, 5));
    writer.finish();
    return path;
  }

  it.each([
    ['numbers in one list', { 'a.1': [1 << 23] }, /8388608 elements in 'a.1'/],
    ['numbers in several lists', { 'a.1': [1 << 22], 'a.2': [1] }, /1 elements in 'a.2'/],
  ])('refuses more %s than any model has, before they take memory', (_, lists, message) => {
    const path = join(folder, 'many.gguf');
    const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
    const u64 = (value: number) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
    // By hand, since no writer need be quick at this: version 3 without tensors, each list of type 9 with elements of type 0 (uint8).
    const entries = Object.entries(lists).flatMap(([key, [count]]) => {
      return [u64(key.length), Buffer.from(key), u32(9), u32(0), u64(count!), new Uint8Array(count!)];
    });
    writeFileSync(path, Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(entries.length / 6), ...entries]));
    const before = process.memoryUsage().rss;
    const { code, message: said } = problemOf(() => readGguf(path));
    expect([code, said]).toEqual(['file-damaged', expect.stringMatching(message)]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });

  it('reads what it writes', () => {
    const path = write('round.gguf');
    const file = readGguf(path);
    expect(file.size).toBe(ggufSize(metadata, plan));
    expect(file.metadata).toEqual(metadata);
    expect(file.tensors.get('one')!.shape).toEqual([2, 3]);
    expect(readGgufFloat32(path, file.tensors.get('one')!)).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(readGgufFloat32(path, file.tensors.get('three')!)).toEqual(Float32Array.of(1, 2, 3, 4, 5));
    const back = readGgufFloat32(path, file.tensors.get('two')!);
    for (let i = 0; i < 64; i++) expect(Math.abs(back[i]! - values[i]!)).toBeLessThan(64 / 127);
  });

  it('quantizes q8_0 as ggml does: halves away from zero, the scale as half', () => {
    const row = new Float32Array(32);
    row.set([127, 0.5, -0.5, 1.5, -2.5, 2.4999]);
    const bytes = quantize('Q8_0', row, 32);
    expect([bytes[0], bytes[1]]).toEqual([0x00, 0x3c]);
    expect([...new Int8Array(bytes.slice(2, 8).buffer)]).toEqual([127, 1, -1, 2, -3, 2]);
    expect(quantize('Q8_0', new Float32Array(32), 32).every((byte) => byte === 0)).toBe(true);
  });

  it('reads q4_0 and q4_1 blocks: low nibbles first', () => {
    const nibbles = Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4));
    const q4 = dequantize('Q4_0', Uint8Array.of(0x00, 0x40, ...nibbles));
    expect([q4[0], q4[1], q4[15], q4[16], q4[31]]).toEqual([-16, -14, 14, 14, -16]);
    const q41 = dequantize('Q4_1', Uint8Array.of(0x00, 0x40, 0x00, 0x3c, ...nibbles));
    expect([q41[0], q41[1], q41[15], q41[16], q41[31]]).toEqual([1, 3, 31, 31, 1]);
  });

  it.each<[string, (bytes: Buffer) => Buffer | void, RegExp]>([
    ['no magic', (b) => void b.write('GGML'), /GGUF/],
    ['absurd number of tensors', (b) => void b.writeBigUInt64LE(2n ** 60n, 8), /tensors/],
    ['absurd number of entries', (b) => void b.writeBigUInt64LE(2n ** 40n, 16), /entries/],
    ['absurd length of a key', (b) => void b.writeBigUInt64LE(2n ** 63n, 24), /key/],
    ['truncated header', (b) => b.subarray(0, 100), /ends at|hold/],
    ['truncated data', (b) => b.subarray(0, b.length - 40), /tensor 'three'|tensor 'two'/],
    ['absurd extent', (b) => void b.writeBigUInt64LE(2n ** 62n, b.indexOf('one') + 3 + 4), /tensor 'one'/],
    ['shifted tensor', (b) => void b.writeBigUInt64LE(8n, b.indexOf('two') + 3 + 4 + 16 + 4), /tensor 'two'/],
    ['overlap', (b) => void b.writeBigUInt64LE(0n, b.indexOf('two') + 3 + 4 + 16 + 4), /overlapping/],
  ])('refuses damage: %s', (_, harm, message) => {
    const bytes = readFileSync(write('sound.gguf'));
    const path = join(folder, 'bad.gguf');
    writeFileSync(path, harm(bytes) ?? bytes);
    const problem = problemOf(() => readGguf(path));
    expect(problem.code).toBe('file-damaged');
    expect(problem.message).toMatch(message);
  });

  it('refuses a quantization it cannot read by name, and big-endian files', () => {
    const bytes = readFileSync(write('sound.gguf'));
    const path = join(folder, 'bad.gguf');
    bytes.writeUInt32LE(16, bytes.indexOf('two') + 3 + 4 + 16);
    writeFileSync(path, bytes);
    expect(problemOf(() => readGguf(path)).message).toMatch(/'two' as IQ2_XXS/);
    bytes.writeUInt32BE(3, 4);
    writeFileSync(path, bytes);
    expect(problemOf(() => readGguf(path)).code).toBe('format-unsupported');
  });

  it('never fails otherwise when any byte of the header is flipped or the file cut', () => {
    const sound = readFileSync(write('sound.gguf'));
    const path = join(folder, 'bad.gguf');
    for (let at = 0; at < sound.indexOf('three') + 40; at++) {
      const bytes = Buffer.from(sound);
      bytes[at]! ^= 0xff;
      writeFileSync(path, bytes);
      try {
        readGguf(path);
      } catch (error) {
        expect(error).toBeInstanceOf(Problem);
      }
    }
    writeFileSync(path, sound);
    for (let size = sound.length - 33; size >= 0; size -= 7) {
      truncateSync(path, size);
      expect(problemOf(() => readGguf(path)).code).toBe('file-damaged');
    }
  });
});

describe('an adapter for onnxruntime', () => {
  const parameters = [
    { name: 'a', shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'a longer name, of ünicode', shape: [3, 1], values: Float32Array.of(-1, 0.1, NaN) },
  ];
  const path = join(folder, 'own.onnx_adapter');

  it('is read as it was written, its numbers at multiples of eight', () => {
    writeOnnxAdapter(path, parameters);
    expect(readOnnxAdapter(path)).toEqual(parameters);
    const bytes = readFileSync(path);
    expect(bytes.toString('latin1', 4, 8)).toBe('TORT');
    for (const { values } of parameters) expect(bytes.indexOf(Buffer.from(values.buffer)) % 8).toBe(0);
  });

  it('never fails otherwise when any byte is flipped or the file cut', () => {
    writeOnnxAdapter(path, parameters);
    const bytes = readFileSync(path);
    const other = join(folder, 'damaged.onnx_adapter');
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 0xff;
      for (const damage of [flipped, bytes.subarray(0, at)]) {
        writeFileSync(other, damage);
        try {
          readOnnxAdapter(other);
        } catch (error) {
          expect(error).toBeInstanceOf(Problem);
        }
      }
      expect(() => readOnnxAdapter(other)).toThrow(/damaged|has \d+ bytes|points to|is not marked/);
    }
  });
});
