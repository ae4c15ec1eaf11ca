/** The weights of a model under transformers' names, wherever they are stored. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { AtomicFile, makeFolder } from '../formats/files.ts';
import { readGgufFloat32, type GgufFile, type GgufTensor } from '../formats/gguf.ts';
import { readSafetensorsFloat32, type SafetensorsTensor } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import type { Layout } from './layout.ts';

/** Bytes of one float32 tensor in a file, row-major, little-endian: what an ONNX initializer with external data points to. */
export interface Float32Location {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly shape: readonly number[];
}

export interface ModelWeights {
  readonly names: readonly string[];
  shape(name: string): readonly number[];
  /** The tensor as float32, row-major, in transformers' layout (whatever order the file has). */
  read(name: string): Float32Array;
  /** Where every tensor lies as float32. Stored float32 is used in place; anything else is expanded once into a file under `cacheDir`. */
  float32Files(cacheDir: string): Promise<ReadonlyMap<string, Float32Location>>;
}

/** One tensor where it is stored. */
export interface StoredTensor {
  readonly path: string;
  /** Name in its file, for messages. */
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
  /** Whether its numbers stand in the file otherwise than in the model. */
  readonly moved: boolean;
  load(): Float32Array;
}

export function fromSafetensors(path: string, tensor: SafetensorsTensor): StoredTensor {
  return { ...tensor, path, moved: false, load: () => readSafetensorsFloat32(path, tensor) };
}

export function fromGguf(path: string, tensor: GgufTensor): StoredTensor {
  return { ...tensor, path, moved: false, load: () => readGgufFloat32(path, tensor) };
}

/** The stored tensor as the model has it. */
export function inModelLayout(stored: StoredTensor, layout: Layout | null, shape: readonly number[]): StoredTensor {
  return layout === null ? stored : { ...stored, shape, moved: true, load: () => layout.toModel(stored.load(), shape) };
}

/** Tensors that laid one after another, in this order, are one of this shape. */
export function joined(parts: readonly StoredTensor[], name: string, shape: readonly number[]): StoredTensor {
  const load = (): Float32Array => {
    const whole = new Float32Array(elements(shape));
    let offset = 0;
    for (const values of parts.map((part) => part.load())) {
      whole.set(values, offset);
      offset += values.length;
    }
    return whole;
  };
  return { ...parts[0]!, name, shape, moved: true, load };
}

/** Divisors of the rotary frequencies that a GGUF carries in a tensor, or null. */
export function rotaryDivisors(file: GgufFile, name: string): readonly number[] | null {
  const tensor = file.tensors.get(name);
  return tensor && tensor.length <= 1 << 16 ? [...readGgufFloat32(file.path, tensor)] : null;
}

/** Changes when the layout or the content of expanded files does. */
const expansionVersion = 2;
const expansionAlignment = 64;

/** Weights read on demand from their files; `tensors` is complete and of the right shapes. */
export class StoredWeights implements ModelWeights {
  readonly names: readonly string[];
  readonly #tensors: ReadonlyMap<string, StoredTensor>;

  constructor(tensors: ReadonlyMap<string, StoredTensor>) {
    this.#tensors = tensors;
    this.names = [...tensors.keys()];
  }

  #tensor(name: string): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`the model has no tensor '${name}'`);
    return tensor;
  }

  shape(name: string): readonly number[] {
    return this.#tensor(name).shape;
  }

  read(name: string): Float32Array {
    return this.#tensor(name).load();
  }

  async float32Files(cacheDir: string): Promise<ReadonlyMap<string, Float32Location>> {
    const locations = new Map<string, Float32Location>();
    const expand: [name: string, tensor: StoredTensor, offset: number][] = [];
    let size = 0;
    for (const [name, tensor] of this.#tensors) {
      const { path, offset, length, shape } = tensor;
      if (tensor.type === 'F32' && !tensor.moved && offset % 4 === 0) locations.set(name, { path, offset, length, shape });
      else {
        expand.push([name, tensor, size]);
        size += Math.ceil((4 * elements(shape)) / expansionAlignment) * expansionAlignment;
      }
    }
    if (expand.length > 0) {
      const path = join(cacheDir, 'weights', `${this.#identity()}.f32`);
      // The layout follows from the tensors and the file appears only when whole, so the right size is enough to trust it.
      if (!existsSync(path) || statSync(path).size !== size) await writeExpansion(path, size, expand);
      for (const [name, { shape }, offset] of expand) locations.set(name, { path, offset, length: 4 * elements(shape), shape });
    }
    return locations;
  }

  /** Changes when the files do, without reading them: their paths, sizes, times, and where their tensors lie. */
  #identity(): string {
    const hash = createHash('sha256').update(`expansion ${expansionVersion}`);
    for (const path of new Set([...this.#tensors.values()].map((tensor) => tensor.path))) {
      const { size, mtimeMs } = statSync(path);
      hash.update(JSON.stringify([path, size, mtimeMs]));
    }
    for (const [name, { type, shape, offset, moved }] of this.#tensors)
      hash.update(JSON.stringify([name, type, shape, offset, moved]));
    return hash.digest('hex').slice(0, 32);
  }
}

/** Two processes may do this at once: each writes a file of its own, the later rename wins, and both are the same. */
async function writeExpansion(path: string, size: number, expand: readonly [string, StoredTensor, number][]): Promise<void> {
  const folder = dirname(path);
  makeFolder(folder);
  removeAbandoned(folder);
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize < size)
    throw new Problem(
      'disk-full',
      `The expanded weights need ${size} bytes in '${folder}', and ${bavail * bsize} are free.`,
      'Free some space or choose another data folder.',
    );
  const file = new AtomicFile(path);
  try {
    for (const [, tensor, offset] of expand) {
      file.pad(expansionAlignment);
      if (file.position !== offset) throw new Error(`tensor '${tensor.name}' is not where it was planned`);
      const values = tensor.load();
      file.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      await setImmediate();
    }
    file.pad(expansionAlignment);
    file.finish();
  } finally {
    file.abort();
  }
}

/** What a killed process left half-written; one that is alive writes far more often than this. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const stats = name.includes('.partial-') ? statSync(path, { throwIfNoEntry: false }) : undefined;
    if (stats && Date.now() - stats.mtimeMs > 600_000) rmSync(path, { force: true });
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
