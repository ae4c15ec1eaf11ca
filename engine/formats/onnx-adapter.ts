/**
 * Reads and writes onnxruntime's adapter files (`.onnx_adapter`): tensors under the names of a model's inputs, in FlatBuffers
 * with the identifier TORT.
 *
 *   Adapter   { format_version, adapter_version, model_version: int; parameters: [Parameter] }
 *   Parameter { name: string; dims: [int64]; data_type: int; raw_data: [uint8], aligned to 8 }
 */
import { Problem } from '../problem.ts';
import { AtomicFile, readExactly, withFile } from './files.ts';

export interface OnnxParameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** Holds the values as float32. */
  readonly values: Float32Array;
}

const identifier = 'TORT';
const formatVersion = 1;
const float32 = 1;
/** Holds the vtable of both tables: each has four fields of four bytes after the offset to the vtable. */
const vtable = [12, 20, 4, 8, 12, 16];
const tableBytes = 20;
const maxBytes = 2 ** 31;

export function writeOnnxAdapter(path: string, parameters: readonly OnnxParameter[]): void {
  // Where everything lies: offsets point forward, so what is small comes first and the numbers follow in order.
  const adapterAt = 8 + vtable.length * 2;
  const vectorAt = adapterAt + tableBytes;
  let end = vectorAt + 4 + 4 * parameters.length;
  const aligned = (position: number, to: number): number => Math.ceil(position / to) * to;
  const placed = parameters.map((parameter) => {
    const name = Buffer.from(parameter.name, 'utf8');
    const table = aligned(end, 4);
    const nameAt = table + tableBytes;
    // A vector of 8-byte numbers begins with its length, 4 bytes before a multiple of 8.
    const dimsAt = aligned(nameAt + 4 + name.length + 1 + 4, 8) - 4;
    end = dimsAt + 4 + 8 * parameter.shape.length;
    return { parameter, name, table, nameAt, dimsAt };
  });
  const head = placed.map((place) => {
    const rawAt = aligned(end + 4, 8) - 4;
    end = rawAt + 4 + place.parameter.values.byteLength;
    return { ...place, rawAt };
  });
  if (end > maxBytes)
    throw new Problem(
      'export-unsupported',
      'The adapter is larger than 2 GB, more than a file for onnxruntime holds.',
      'Export it as PEFT.',
    );
  const bytes = Buffer.alloc(head[0]?.rawAt ?? end);
  const uint = (at: number, value: number): unknown => bytes.writeUInt32LE(value, at);
  const pointer = (at: number, to: number): unknown => uint(at, to - at);
  pointer(0, adapterAt);
  bytes.write(identifier, 4, 'latin1');
  vtable.forEach((entry, i) => bytes.writeUInt16LE(entry, 8 + 2 * i));
  uint(adapterAt, adapterAt - 8);
  for (const field of [1, 2, 3]) uint(adapterAt + 4 * field, field === 1 ? formatVersion : 1);
  pointer(adapterAt + 16, vectorAt);
  uint(vectorAt, parameters.length);
  head.forEach(({ parameter, name, table, nameAt, dimsAt, rawAt }, i) => {
    pointer(vectorAt + 4 + 4 * i, table);
    uint(table, table - 8);
    pointer(table + 4, nameAt);
    pointer(table + 8, dimsAt);
    uint(table + 12, float32);
    pointer(table + 16, rawAt);
    uint(nameAt, name.length);
    name.copy(bytes, nameAt + 4);
    uint(dimsAt, parameter.shape.length);
    parameter.shape.forEach((extent, d) => bytes.writeBigInt64LE(BigInt(extent), dimsAt + 4 + 8 * d));
  });
  const file = new AtomicFile(path);
  try {
    file.write(bytes);
    for (const { parameter, rawAt } of head) {
      file.write(new Uint8Array(rawAt - file.position));
      const length = new Uint8Array(Uint32Array.of(parameter.values.byteLength).buffer);
      file.write(length);
      file.write(new Uint8Array(parameter.values.buffer, parameter.values.byteOffset, parameter.values.byteLength));
    }
    file.finish();
  } finally {
    file.abort();
  }
}

/** Reads an adapter file. Throws a `Problem` where it is damaged. */
export function readOnnxAdapter(path: string): OnnxParameter[] {
  return withFile(path, (descriptor, size) => {
    const damaged = (what: string): Problem =>
      new Problem(
        'file-damaged',
        `'${path}' ${what}.`,
        'The file is damaged or is no adapter for onnxruntime: write it again.',
      );
    if (size < 16 || size > maxBytes) throw damaged(`has ${size} bytes`);
    const bytes = Buffer.from(readExactly(descriptor, path, 0, size).buffer);
    if (bytes.toString('latin1', 4, 8) !== identifier) throw damaged(`is not marked '${identifier}'`);
    const within = (at: number, length: number): number => {
      if (at < 0 || length < 0 || at + length > size) throw damaged(`points to byte ${at}, outside of itself`);
      return at;
    };
    const uint = (at: number): number => bytes.readUInt32LE(within(at, 4));
    const follow = (at: number): number => within(at + uint(at), 4);
    /** Returns the position of a field of a table, or null when it has its default. */
    const field = (table: number, index: number): number | null => {
      const entries = within(table - bytes.readInt32LE(within(table, 4)), 4);
      const entry = entries + 4 + 2 * index;
      if (entry + 2 > entries + bytes.readUInt16LE(entries)) return null;
      const offset = bytes.readUInt16LE(within(entry, 2));
      return offset === 0 ? null : within(table + offset, 4);
    };
    const needed = (table: number, index: number, what: string): number => {
      const at = field(table, index);
      if (at === null) throw damaged(`has a parameter without ${what}`);
      return at;
    };
    const adapter = follow(0);
    const version = field(adapter, 0);
    if (version === null || uint(version) !== formatVersion) throw damaged('has another version of the format');
    const vector = follow(needed(adapter, 3, 'parameters'));
    const count = uint(vector);
    within(vector + 4, 4 * count);
    let taken = 0;
    return Array.from({ length: count }, (_, i): OnnxParameter => {
      const table = follow(vector + 4 + 4 * i);
      const [nameAt, dimsAt, rawAt] = [0, 1, 3].map((index) => follow(needed(table, index, 'name, shape or numbers'))) as [
        number,
        number,
        number,
      ];
      const name = bytes.toString('utf8', nameAt + 4, within(nameAt + 4, uint(nameAt)) + uint(nameAt));
      if (uint(needed(table, 2, 'a type')) !== float32) throw damaged(`has '${name}' in another type than float32`);
      within(dimsAt + 4, 8 * uint(dimsAt));
      const shape = Array.from({ length: uint(dimsAt) }, (__, d) => Number(bytes.readBigInt64LE(dimsAt + 4 + 8 * d)));
      const length = uint(rawAt);
      within(rawAt + 4, length);
      taken += length + uint(nameAt) + 8 * uint(dimsAt);
      if (taken > size) throw damaged('has several parameters in the same place');
      if (length !== 4 * shape.reduce((product, extent) => product * extent, 1)) throw damaged(`has '${name}' of another size`);
      return { name, shape, values: new Float32Array(bytes.buffer.slice(rawAt + 4, rawAt + 4 + length)) };
    });
  });
}
