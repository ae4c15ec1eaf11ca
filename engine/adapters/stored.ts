/** Defines an adapter in its files: what their headers and its config tell, and how its numbers are read. */
import type { FileHash } from '../formats/files.ts';
import { tensorView, type Adapter, type AdapterShape, type AdapterTensor } from './adapter.ts';

/** Holds all of an adapter but its numbers. */
export type AdapterOutline = Pick<Adapter, 'config' | 'shape'>;

/** Holds an adapter whose config, and the names and shapes of whose tensors, have been checked against its base. */
export interface StoredAdapter extends AdapterOutline {
  /** Reads the parameters in the order of the file, which `hash` takes. */
  readParameters(hash: FileHash | null): Float32Array;
}

/** Says where the numbers of a tensor of the adapter are stored in its file, and reads them. */
export interface StoredTensor {
  readonly tensor: AdapterTensor;
  /** Gives the byte of the file at which they begin. */
  readonly offset: number;
  read(hash: FileHash | null): Float32Array;
}

/** Reads tensors into one array of parameters, in the order of the file. */
export function readInOrder({ length }: AdapterShape, stored: readonly StoredTensor[], hash: FileHash | null): Float32Array {
  const parameters = new Float32Array(length);
  for (const { tensor, read } of stored.toSorted((one, other) => one.offset - other.offset))
    tensorView(parameters, tensor).set(read(hash));
  return parameters;
}
