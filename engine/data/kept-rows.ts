/**
 * Keeps encoded rows in a file and reads them back, group by group. The file is found by a key of everything that decides its
 * content, so it never has to be updated.
 *
 * A group holds: the number of its token numbers and of the bytes of its text (two uint32), the SHA-256 of everything else in
 * the group, the numbers (int32), and the text (JSON). The last group holds what is known once all rows have been read. Each
 * hash also covers the key and the position of its group, so that a file that was cut, damaged or renamed is noticed at the
 * first group that differs. What is kept of a row may be any JSON with token ids and their labels anywhere in it: a row may be
 * several examples, or examples of several sequences.
 */
import { createHash } from 'node:crypto';
import { rmSync, statfsSync } from 'node:fs';
import { type FileHandle, open, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AtomicFile, makeFolder } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import type { LabelledTokens } from '../labels.ts';
import { boundsOfTrained, labelsWithin } from './trained-spans.ts';

/** Increases whenever the layout of the file, or what it says about rows, changes. */
export const keptRowsVersion = 6;

/** Limits the size of the cache: all its files together, and so each of them, take at most this many bytes. */
export const mostKeptBytes = 4 * 2 ** 30;
/** This much of the disk stays free, because a run needs room for its checkpoints. */
const leastFreeBytes = 2 ** 30;
const bytesBetweenLooks = 2 ** 26;

const mostRowsOfGroup = 512;
const mostNumbersOfGroup = 1 << 16;
const headerBytes = 8;
const hashBytes = 32;
/** Counts the bytes that say where the last group begins (float64), and which one it is (uint32). */
const trailerBytes = 12;

/** Returns the folder of a cache in which rows are kept. */
export function keptRowsFolder(cacheDir: string): string {
  return join(cacheDir, 'tokens');
}

/** Holds a row, its place in the data, and what was made of it. */
export interface KeptRow {
  readonly line: number;
  readonly at: number;
  readonly made: readonly object[];
}
export interface KeptGroup {
  /** Numbers the file that all rows of the group are in. */
  readonly file: number;
  readonly rows: readonly KeptRow[];
}

/** Says where a row begins in the data. */
export interface KeptPlace {
  readonly row: number;
  readonly file: number;
  readonly line: number;
  readonly at: number;
}
type PlaceText = readonly [row: number, file: number, line: number, at: number];

/** The text of a group describes rows, or the end. */
type GroupText =
  { readonly file: number; readonly rows: readonly (readonly [line: number, at: number, made: unknown])[] } | End;
interface End {
  readonly end: object;
  /** Holds the first row of each group. */
  readonly places: readonly PlaceText[];
}

/**
 * This key stands in the text for ids and labels. Its value gives the number of ids and the number of bounds of trained spans
 * that follow them, or -1 where the labels themselves follow.
 */
const tokensKey = '#';
type TokensPlace = readonly [ids: number, bounds: number];

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Writes kept rows. If they cannot be kept, it records why, once, and does nothing more, because the cache is optional. */
export class KeptRowsWriter {
  readonly #path: string;
  readonly #key: string;
  #file: AtomicFile | null = null;
  #failure: string | null = null;
  #looked = -Infinity;
  #group = 0;
  #row = 0;
  readonly #places: PlaceText[] = [];
  #fileNumber = 0;
  #rows: (readonly [number, number, unknown])[] = [];
  /** Holds the numbers of the group in one block that is reused for every group. */
  #numbers = new Int32Array(mostNumbersOfGroup);
  #count = 0;

  constructor(path: string, key: string) {
    this.#path = path;
    this.#key = key;
    this.#attempt(() => {
      makeFolder(dirname(path), 0o700);
      this.#file = new AtomicFile(path, { isFlushed: false });
    });
  }

  /** Says why the rows are not kept, or is null. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Adds the next row. `file` is the number of the file that it is in. */
  add(file: number, { line, at, made }: KeptRow): void {
    if (this.#failure !== null) return;
    if (file !== this.#fileNumber) this.#endGroup();
    this.#fileNumber = file;
    if (this.#rows.length === 0) this.#places.push([this.#row, file, line, at]);
    this.#row++;
    this.#rows.push([line, at, made.map((one) => this.#packed(one))]);
    if (this.#rows.length >= mostRowsOfGroup || this.#count >= mostNumbersOfGroup) this.#endGroup();
  }

  /** Ends the file with what is known of all rows, and gives it its final name. */
  finish(end: object): void {
    this.#endGroup();
    const trailer = new DataView(new ArrayBuffer(trailerBytes));
    trailer.setFloat64(0, this.#file?.position ?? 0, true);
    trailer.setUint32(8, this.#group, true);
    this.#write({ end, places: this.#places });
    this.#attempt(() => {
      this.#file?.write(new Uint8Array(trailer.buffer));
      this.#file?.finish();
    });
  }

  /** Removes what was written, unless it is finished. */
  abort(): void {
    this.#file?.abort();
  }

  #endGroup(): void {
    if (this.#rows.length > 0) this.#write({ file: this.#fileNumber, rows: this.#rows });
  }

  #write(group: GroupText): void {
    if (this.#file === null) return;
    const numbers = this.#numbers.subarray(0, this.#count);
    [this.#rows, this.#count] = [[], 0];
    const text = new TextEncoder().encode(JSON.stringify(group));
    const header = Uint32Array.of(numbers.length, text.length);
    const parts = [new Uint8Array(header.buffer), new Uint8Array(numbers.buffer, 0, numbers.byteLength), text];
    const [first, ...body] = parts;
    this.#attempt(() => {
      this.#look(numbers.byteLength + text.length);
      for (const part of [first!, hashOf(this.#key, this.#group++, parts), ...body]) this.#file?.write(part);
    });
  }

  /** Gives up before the disk or the cache is full. */
  #look(bytes: number): void {
    const written = this.#file!.position;
    if (written + bytes > mostKeptBytes) this.#giveUp(`they take more than ${inGigabytes(mostKeptBytes)}`);
    if (written - this.#looked < bytesBetweenLooks) return;
    this.#looked = written;
    const { bavail, bsize } = statfsSync(dirname(this.#path));
    if (bavail * bsize < leastFreeBytes)
      this.#giveUp(`less than ${inGigabytes(leastFreeBytes)} would be left on the disk of '${dirname(this.#path)}'`);
  }

  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      const problem = toWriteProblem(this.#path, error);
      this.#giveUp(problem instanceof Error ? problem.message : String(problem));
    }
  }

  #giveUp(why: string): void {
    this.#failure = why.replace(/\.$/, '');
    this.#file?.abort();
    this.#file = null;
  }

  /** Returns a value as JSON can hold it. Its tokens are set aside, in the order in which they occur. */
  #packed(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map((one) => this.#packed(one));
    if (ArrayBuffer.isView(value)) throw new Error('only ids and labels are kept as numbers');
    const packed: Record<string, unknown> = {};
    for (const [name, one] of Object.entries(value)) if (!tokenNames.has(name)) packed[name] = this.#packed(one);
    if (isLabelled(value)) packed[tokensKey] = this.#putAside(value);
    return packed;
  }

  #putAside({ inputIds, labels }: LabelledTokens): TokensPlace {
    const bounds = boundsOfTrained(inputIds, labels);
    for (const numbers of [inputIds, bounds ?? labels]) {
      if (this.#count + numbers.length > this.#numbers.length) {
        const wider = new Int32Array(2 * (this.#count + numbers.length));
        wider.set(this.#numbers.subarray(0, this.#count));
        this.#numbers = wider;
      }
      this.#numbers.set(numbers, this.#count);
      this.#count += numbers.length;
    }
    return [inputIds.length, bounds === null ? -1 : bounds.length];
  }
}

const tokenNames: ReadonlySet<string> = new Set<keyof LabelledTokens>(['inputIds', 'labels']);

function isLabelled(value: object): value is LabelledTokens {
  return 'inputIds' in value;
}

function inGigabytes(bytes: number): string {
  return `${bytes / 2 ** 30} GB`;
}

function hashOf(key: string, group: number, parts: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256').update(`${key} ${group} `);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Passes kept rows on, group by group, and returns what is known of all of them. Returns null where the file does not exist, or
 * where some group is not what was written. Every group that is passed on has been verified; a damaged file is removed.
 */
export async function readKeptRows(
  path: string,
  key: string,
  onGroup: (group: KeptGroup) => Promise<void>,
): Promise<object | null> {
  const handle = await open(path).catch(() => null);
  if (handle === null) return null;
  let isSound = true;
  try {
    // The cache removes the files that have been unused longest first.
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    const { size } = await handle.stat();
    let at = 0;
    for (let number = 0; ; number++) {
      const group = await readGroup(handle, { at, size, key, number });
      isSound = group !== null && ('rows' in group.is || (await isLast(handle, { at, size, number, end: group.end })));
      if (group === null || !isSound) return null;
      if (!('rows' in group.is)) return group.is.end;
      await onGroup(group.is);
      at = group.end;
    }
  } finally {
    await handle.close();
    if (!isSound) rmSync(path, { force: true });
  }
}

/**
 * Returns where the first row of each group begins in the data, without reading the rows; null where the file is not there or not what was
 * written.
 */
export async function readKeptPlaces(path: string, key: string): Promise<readonly KeptPlace[] | null> {
  const handle = await open(path).catch(() => null);
  if (handle === null) return null;
  try {
    const { size } = await handle.stat();
    const { at, number } = await readTrailer(handle, size);
    const group = await readGroup(handle, { at, size, key, number });
    if (group === null || 'rows' in group.is || group.end + trailerBytes !== size) return null;
    return group.is.places.map(([row, file, line, at]) => ({ row, file, line, at }));
  } catch {
    return null;
  } finally {
    await handle.close();
  }
}

async function readTrailer(handle: FileHandle, size: number): Promise<{ readonly at: number; readonly number: number }> {
  const { buffer, byteLength } = await readWhole(handle, Math.max(0, size - trailerBytes), trailerBytes);
  if (byteLength < trailerBytes) return { at: size, number: 0 };
  const trailer = new DataView(buffer);
  return { at: trailer.getFloat64(0, true), number: trailer.getUint32(8, true) };
}

/** Returns whether nothing but the trailer is behind the last group, and the trailer names this one. */
async function isLast(
  handle: FileHandle,
  { at, size, number, end }: { readonly at: number; readonly size: number; readonly number: number; readonly end: number },
): Promise<boolean> {
  if (end + trailerBytes !== size) return false;
  const trailer = await readTrailer(handle, size);
  return trailer.at === at && trailer.number === number;
}

interface ReadGroup {
  readonly is: KeptGroup | End;
  /** Gives the position in the file at which the group ends. */
  readonly end: number;
}

async function readGroup(
  handle: FileHandle,
  { at, size, key, number }: { readonly at: number; readonly size: number; readonly key: string; readonly number: number },
): Promise<ReadGroup | null> {
  try {
    const head = await readWhole(handle, at, Math.min(headerBytes + hashBytes, size - at));
    if (head.length < headerBytes + hashBytes) return null;
    const lengths = new Uint32Array(head.buffer, 0, 2);
    const count = lengths[0]!;
    const [from, bytes] = [at + head.length, 4 * count + lengths[1]!];
    if (from + bytes > size) return null;
    const body = await readWhole(handle, from, bytes);
    const hash = hashOf(key, number, [head.subarray(0, headerBytes), body]);
    if (!hash.equals(head.subarray(headerBytes))) return null;
    const text = JSON.parse(new TextDecoder().decode(body.subarray(4 * count))) as GroupText;
    return { is: unpacked(text, new Int32Array(body.buffer, 0, count)), end: from + bytes };
  } catch {
    // A file that the disk cannot read counts as not kept.
    return null;
  }
}

async function readWhole(handle: FileHandle, at: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, length - done, at + done);
    if (bytesRead === 0) return bytes.subarray(0, done);
    done += bytesRead;
  }
  return bytes;
}

function unpacked(group: GroupText, numbers: Int32Array): ReadGroup['is'] {
  if (!('rows' in group)) return group;
  let used = 0;
  const take = (count: number): Int32Array => numbers.subarray(used, (used += count));
  const restore = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(restore);
    const restored: Record<string, unknown> = {};
    for (const [name, one] of Object.entries(value)) if (name !== tokensKey) restored[name] = restore(one);
    if (tokensKey in value) {
      const [ids, bounds] = value[tokensKey] as TokensPlace;
      const inputIds = take(ids);
      restored['inputIds'] = inputIds;
      restored['labels'] = bounds < 0 ? take(ids) : labelsWithin(inputIds, take(bounds));
    }
    return restored;
  };
  const rows = group.rows.map(([line, at, made]) => ({ line, at, made: restore(made) as readonly object[] }));
  return { file: group.file, rows };
}
