/**
 * Reads and writes files as the formats need it: exact reads at a position, and files that exist under their final name only
 * when complete.
 */
import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  existsSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { Problem } from '../problem.ts';

/** Gives the bytes of one read or write call. Node's limit is 2^31 - 1. */
const chunkBytes = 1 << 28;
/** Gives the bytes that are read at once for a hash. */
const hashedBytes = 1 << 20;

/**
 * Creates the folder `path` and the missing folders above it. Node's own recursive mkdir never returns where the parent exists
 * but takes no folders and says so with ENOENT, as under /proc.
 */
export function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent, mode);
  try {
    mkdirSync(path, mode === undefined ? {} : { mode });
  } catch (error) {
    // Another process may have made it in the meantime.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Opens `path`, passes its descriptor and its size in bytes to `use`, and closes it whatever happens. Refuses what is not a
 * regular file.
 */
export function withFile<T>(path: string, use: (descriptor: number, size: number) => T): T {
  const descriptor = openRegular(path);
  try {
    return use(descriptor, fstatSync(descriptor).size);
  } finally {
    closeSync(descriptor);
  }
}

/** Returns the SHA-256 of a file's bytes, in hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { fd: openRegular(path), highWaterMark: hashedBytes }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * Computes the SHA-256 of a file while others read it. Bytes that are read in the order of the file are hashed as they come, so
 * that they are not read twice; the bytes between are read for the hash alone.
 */
export class FileHash {
  readonly #path: string;
  readonly #hash = createHash('sha256');
  /** Holds the number of bytes from the start of the file that are hashed. */
  #done = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Takes bytes that were read at `offset`. */
  take(offset: number, bytes: Uint8Array): void {
    if (offset < this.#done) return;
    this.#readUpTo(offset);
    this.#hash.update(bytes);
    this.#done += bytes.length;
  }

  /** Returns the hash of the whole file, in hexadecimal. It can be called only once. */
  finish(): string {
    this.#readUpTo(null);
    return this.#hash.digest('hex');
  }

  /** Hashes what lies before `end`, or before the end of the file. */
  #readUpTo(end: number | null): void {
    if (end === this.#done) return;
    withFile(this.#path, (descriptor, size) => {
      const last = end ?? size;
      while (this.#done < last) {
        const bytes = readExactly(descriptor, this.#path, this.#done, Math.min(hashedBytes, last - this.#done));
        this.#hash.update(bytes);
        this.#done += bytes.length;
      }
    });
  }
}

function openRegular(path: string): number {
  const descriptor = openForReading(path);
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw new Problem('file-unreadable', `'${path}' is not a file.`, 'Give the path of a file.');
}

function openForReading(path: string): number {
  try {
    // The file is opened non-blocking, so that a named pipe is refused below instead of waited for.
    return openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new Problem('file-missing', `There is no file '${path}'.`, 'Check the path.', { cause });
    throw new Problem('file-unreadable', `'${path}' cannot be read (${code}).`, 'Check the permissions of the file.', {
      cause,
    });
  }
}

/**
 * Returns the path of the regular file `name` in `folder`, or null where nothing has that name. Refuses what is not a file, and
 * links as `requireInside` does. Everything that is read from the folder of a model, an adapter or a run goes through this
 * function, because the folder may come from a stranger.
 */
export function fileIn(folder: string, name: string): string | null {
  const path = join(folder, name);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return null;
  requireInside(folder, path);
  const stats = statSync(path);
  if (stats.isFile()) return path;
  const what = stats.isDirectory() ? 'a folder' : stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new Problem(
    'file-unreadable',
    `'${path}' is ${what} where a file should be.`,
    'Remove it, or put the file in its place.',
  );
}

/**
 * Refuses a link that leads out of `folder`, and a link to nothing. Links are followed within the folder, and from a snapshot
 * in a hub's cache to the `blobs` beside it. A folder from somewhere else must not bring a private file into a model, and from
 * there into an export.
 */
export function requireInside(folder: string, path: string): void {
  const root = realpathSync(folder);
  let target: string;
  try {
    target = realpathSync(path);
  } catch (cause) {
    throw new Problem('file-missing', `'${path}' is a link to a file that is not there.`, 'Download the file again.', {
      cause,
    });
  }
  const isWithin = (place: string): boolean => {
    const from = relative(place, target);
    return from === '' || (from !== '..' && !from.startsWith(`..${sep}`) && resolve(from) !== from);
  };
  // The folder itself may be in a snapshot.
  const cache = /^(.*[\\/]models--[^\\/]+)[\\/]snapshots[\\/][^\\/]+/.exec(root)?.[1];
  if (isWithin(root) || (cache !== undefined && isWithin(join(cache, 'blobs')))) return;
  throw new Problem(
    'file-unreadable',
    `'${path}' is a link to '${target}', which lies outside of its folder and is not followed.`,
    'If you trust it, put the file itself in the place of the link; otherwise remove the link.',
  );
}

/** Returns whether `path` is a folder, or a link that leads to one. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Returns the path of `name` in `folder`, checked as `fileIn` does. A missing file is left for its reader to report. */
export function pathIn(folder: string, name: string): string {
  return fileIn(folder, name) ?? join(folder, name);
}

/** Reads exactly `length` bytes from `offset` into memory of their own. Throws `file-damaged` where the file ends earlier. */
export function readExactly(descriptor: number, path: string, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = readSync(descriptor, bytes, done, Math.min(chunkBytes, length - done), offset + done);
    if (count === 0)
      throw new Problem(
        'file-damaged',
        `'${path}' ends at byte ${offset + done}, in the middle of its data.`,
        'The file is cut off: download or copy it again.',
      );
    done += count;
  }
  return bytes;
}

/**
 * Returns the size and the times of a file as a text that changes whenever the content may have changed, or null where there is
 * no file. A program can set the modification time back, as copying does, but only the system sets the time of the last status
 * change (ctime).
 */
export function fileStamp(path: string): string | null {
  const found = asked(path);
  return found === null ? null : `${found.size} ${found.mtimeMs} ${found.ctimeMs}`;
}

/**
 * Returns the size of a file in bytes; 0 where it is missing or cannot be asked. Whoever opens the file reports what is wrong.
 */
export function sizeOf(path: string): number {
  return asked(path)?.size ?? 0;
}

/** Returns the size of several files together, in bytes. */
export function sizeOfAll(paths: readonly string[]): number {
  return paths.reduce((sum, path) => sum + sizeOf(path), 0);
}

function asked(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

/**
 * Returns the stamps of files, and of all files directly in folders, as one text. It changes when a file changes, comes or
 * goes.
 */
export function stampOf(paths: readonly string[]): string {
  const files = paths.flatMap((path) => (isFolder(path) ? readdirSync(path).map((name) => join(path, name)) : [path]));
  return JSON.stringify(files.map((file) => [file, fileStamp(file)]));
}

/**
 * Reads a small UTF-8 file as text. Refuses a file of more than `limit` bytes, so that no memory is taken for it, and what
 * `refuseStandIn` refuses.
 */
export function readText(path: string, limit: number): string {
  return withFile(path, (descriptor, size) => {
    if (size > limit)
      throw new Problem(
        'file-damaged',
        `'${path}' has ${size} bytes, more than ${limit}.`,
        'This does not look like the right file.',
      );
    // The reader of an empty file decides what it means.
    if (size > 0) refuseStandIn(path, descriptor, size);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(readExactly(descriptor, path, 0, size));
    } catch (cause) {
      if (cause instanceof Problem) throw cause;
      throw new Problem('file-damaged', `'${path}' is not UTF-8 text.`, 'Save it as UTF-8 or download it again.', { cause });
    }
  });
}

/** Gives the bytes up to which a file of JSON that a person wrote is read. */
const longestOwnJson = 1 << 24;

/** Reads the JSON that a person wrote into a file. Throws a `Problem` with this hint where it is none. */
export function readOwnJson(path: string, hint: string): unknown {
  const text = readText(path, longestOwnJson);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Problem('data-invalid', `${path} is not JSON.`, hint);
  }
}

/** Reads a JSON object. Where the file holds something else, the Problem says what it is. */
export function readJsonObject(path: string, limit: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(readText(path, limit).replace(/^\uFEFF/, ''));
  } catch (cause) {
    withFile(path, (descriptor, size) => refuseStandIn(path, descriptor, size));
    if (cause instanceof Problem && cause.code !== 'file-damaged') throw cause;
    const message =
      cause instanceof Problem
        ? cause.message
        : `'${path}' is not JSON: ${cause instanceof Error ? cause.message : String(cause)}.`;
    throw new Problem('config-invalid', message, 'Correct the file or download it again.', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Problem('config-invalid', `'${path}' is not a JSON object.`, 'Correct the file or download it again.');
  return value as Record<string, unknown>;
}

/** Refuses the remains of a failed download: an empty file, a Git LFS pointer, or a web page. */
export function refuseStandIn(path: string, descriptor: number, size: number): void {
  if (size === 0)
    throw new Problem('file-damaged', `'${path}' is empty.`, 'Its download did not finish: download the file again.');
  const start = new TextDecoder().decode(readExactly(descriptor, path, 0, Math.min(size, 64))).trimStart();
  if (start.startsWith('version https://git-lfs.'))
    throw new Problem(
      'file-missing',
      `'${path}' is a pointer of Git LFS, not the file itself.`,
      'Run `git lfs pull` in its folder, or download the file from the hub.',
    );
  if (/^<(!doctype|html|\?xml)/i.test(start))
    throw new Problem(
      'file-damaged',
      `'${path}' is a page of a web site, not the file itself.`,
      'Download the file again; a model that asks for agreement needs you to be signed in.',
    );
}

/** Returns `name`, or a short hash of it where something added to it might exceed the 255 bytes that file systems allow. */
export function extensible(name: string): string {
  return Buffer.byteLength(name) <= 200 ? name : createHash('sha256').update(name).digest('hex').slice(0, 32);
}

/**
 * Returns whether a process with this id runs, whoever owns it. Unfinished files carry the id of their process, so that
 * abandoned ones are recognized.
 */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Writes a file that appears under its name only with `finish`: it is written beside its place, flushed to the disk, then
 * renamed. With `isFlushed` false the system writes it to the disk in its own time: after a power cut it may be there in part.
 */
export class AtomicFile {
  readonly path: string;
  readonly #partial: string;
  readonly #hash: Hash | null;
  readonly #isFlushed: boolean;
  #descriptor: number | null;
  #written = 0;

  /** Begins the file. `hash` is updated with all that is written; a file that can be made again need not be flushed. */
  constructor(
    path: string,
    { hash = null, isFlushed = true }: { readonly hash?: Hash | null; readonly isFlushed?: boolean } = {},
  ) {
    this.path = path;
    this.#hash = hash;
    this.#isFlushed = isFlushed;
    this.#partial = join(dirname(path), `${extensible(basename(path))}.partial-${process.pid}-${Date.now().toString(36)}`);
    this.#descriptor = openSync(this.#partial, 'wx');
  }

  /** Returns the number of bytes written so far. */
  get position(): number {
    return this.#written;
  }

  write(bytes: Uint8Array): void {
    if (this.#descriptor === null) throw new Error('write after the end');
    for (let done = 0; done < bytes.length;)
      done += writeSync(this.#descriptor, bytes, done, Math.min(chunkBytes, bytes.length - done));
    this.#hash?.update(bytes);
    this.#written += bytes.length;
  }

  /** Writes zero bytes up to the next multiple of `alignment`. */
  pad(alignment: number): void {
    const rest = this.#written % alignment;
    if (rest !== 0) this.write(new Uint8Array(alignment - rest));
  }

  finish(): void {
    if (this.#descriptor === null) throw new Error('finish after the end');
    if (this.#isFlushed) fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
    this.#descriptor = null;
    renameSync(this.#partial, this.path);
    if (this.#isFlushed) syncFolder(dirname(this.path));
  }

  /** Removes what was written, unless the file is finished. */
  abort(): void {
    if (this.#descriptor === null) return;
    closeSync(this.#descriptor);
    this.#descriptor = null;
    rmSync(this.#partial, { force: true });
  }
}

/**
 * Writes a header and then tensors in the order of a plan. The file gets its name only when all tensors are there, each as long
 * as planned.
 */
export abstract class PlannedFile<Tensor extends { readonly name: string }> {
  readonly #file: AtomicFile;
  readonly #plan: readonly Tensor[];
  readonly #bytesOf: (tensor: Tensor) => number;
  readonly #alignment: number;
  #next = 0;

  constructor(
    path: string,
    header: Uint8Array,
    plan: readonly Tensor[],
    bytesOf: (tensor: Tensor) => number,
    alignment: number,
    hash: Hash | null = null,
  ) {
    this.#plan = plan;
    this.#bytesOf = bytesOf;
    this.#alignment = alignment;
    this.#file = new AtomicFile(path, { hash });
    this.#file.write(header);
  }

  /** Writes the next tensor of the plan, part by part. */
  protected append(partsOf: (tensor: Tensor) => Iterable<Uint8Array>): void {
    const tensor = this.#plan[this.#next++];
    if (!tensor) throw new Error('more tensors than planned');
    const start = this.#file.position;
    for (const part of partsOf(tensor)) this.#file.write(part);
    if (this.#file.position - start !== this.#bytesOf(tensor))
      throw new Error(`tensor '${tensor.name}' has ${this.#file.position - start} bytes, not as planned`);
    this.#file.pad(this.#alignment);
  }

  finish(): void {
    if (this.#next !== this.#plan.length) throw new Error(`${this.#plan.length - this.#next} tensors are missing`);
    this.#file.finish();
  }

  /** Removes what was written, unless the file is finished. */
  abort(): void {
    this.#file.abort();
  }
}

/** Flushes a file that another writer has closed, so that its content survives a power cut. */
export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r+');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Flushes a folder's entries, so that a rename survives a power cut. Windows has no such call. */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Writes a small file atomically. */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  const file = new AtomicFile(path);
  try {
    file.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    file.finish();
  } finally {
    file.abort();
  }
}
