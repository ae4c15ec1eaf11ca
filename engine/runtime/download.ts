/** Downloads one large file completely or not at all, and continues an interrupted download where it stopped. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder, syncFolder } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem } from '../problem.ts';

/** Describes a file to download, with the size and hash it must have. */
export interface Download {
  readonly url: string;
  readonly bytes: number;
  /** Gives the SHA-512 of the whole file, in base64. */
  readonly sha512: string;
}

/**
 * A server that sends nothing for this long is given up, and so is one slower than the rate below: a byte now and then is not
 * progress.
 */
const silenceMilliseconds = 30_000;
const slowestBytesPerSecond = 20_000;
const graceMilliseconds = 120_000;
/** Gives the bytes that no wanted file reaches: several times the size of the largest. */
const largestFile = 4e9;
const longestAnswer = 1 << 20;
const mostRedirects = 5;

/**
 * Downloads `file` to `path`, by way of `path.partial`, and checks its size and hash. `onBytes` receives the number of bytes so
 * far. Throws a `Problem` where the disk is full, the connection breaks or the file is not the expected one.
 */
export async function download(file: Download, path: string, onBytes: (done: number) => void = () => {}): Promise<void> {
  const partial = `${path}.partial`;
  makeFolder(dirname(path));
  const before = existsSync(partial) ? statSync(partial).size : 0;
  const { bavail, bsize } = statfsSync(dirname(path));
  if (bavail * bsize < file.bytes - before)
    throw new Problem(
      'disk-full',
      `The download needs ${file.bytes - before} bytes in '${dirname(path)}', and ${bavail * bsize} are free.`,
      'Free some space and try again.',
    );
  if (file.bytes > largestFile)
    throw new Problem(
      'file-damaged',
      `The file at ${file.url} has ${file.bytes} bytes, more than ${largestFile}.`,
      'That is not the expected file: try again later.',
    );
  if (before < file.bytes) await fetchRest(file, partial, before, onBytes);
  if (statSync(partial).size !== file.bytes || (await hashOf(partial)) !== file.sha512) {
    rmSync(partial);
    throw new Problem(
      'file-damaged',
      `What ${file.url} gave is not the file it should be, and was removed.`,
      'Try again; if it happens again, something between here and there changes it.',
    );
  }
  renameSync(partial, path);
  syncFolder(dirname(path));
}

async function fetchRest(file: Download, partial: string, before: number, onBytes: (done: number) => void): Promise<void> {
  const silence = new AbortController();
  const timer = setTimeout(
    () => silence.abort(new Error(`it was silent for ${silenceMilliseconds / 1000} seconds`)),
    silenceMilliseconds,
  );
  const slow = setTimeout(
    () => silence.abort(new Error(`it sent less than ${slowestBytesPerSecond} bytes a second`)),
    graceMilliseconds + ((file.bytes - before) / slowestBytesPerSecond) * 1000,
  );
  let descriptor: number | null = null;
  let done = before;
  try {
    const answer = await asking(file.url, {
      ...(before > 0 ? { headers: { range: `bytes=${before}-` } } : {}),
      signal: silence.signal,
    });
    // A server without support for ranges begins again.
    if (answer.status !== 206) done = 0;
    descriptor = openSync(partial, done > 0 ? 'a' : 'w');
    for await (const chunk of answer.body!) {
      timer.refresh();
      done += chunk.length;
      if (done > file.bytes) break;
      write(descriptor, chunk, partial);
      onBytes(done);
    }
    fsyncSync(descriptor);
  } catch (error) {
    throw error instanceof Problem ? error : broken(file.url, error);
  } finally {
    clearTimeout(timer);
    clearTimeout(slow);
    if (descriptor !== null) closeSync(descriptor);
  }
  if (done < file.bytes) throw broken(file.url, new Error(`${done} of ${file.bytes} bytes came`));
}

function write(descriptor: number, bytes: Uint8Array, path: string): void {
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
  } catch (error) {
    throw toWriteProblem(path, error);
  }
}

/** Fetches a small JSON object. Throws `download-failed` where the answer is something else, too long or too late. */
export async function askForObject(url: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await asking(url, { signal: AbortSignal.timeout(silenceMilliseconds) });
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of answer.body!) {
      length += chunk.length;
      if (length > longestAnswer) throw new Error(`it answered with more than ${longestAnswer} bytes`);
      parts.push(chunk);
    }
    const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
    if (typeof value !== 'object' || value === null) throw new Error('it answered with no object');
    return value as Record<string, unknown>;
  } catch (error) {
    throw broken(url, error);
  }
}

/** Returns a successful answer, or throws a Problem. A few redirects are followed, and only to addresses that are trusted. */
async function asking(url: string, options: RequestInit): Promise<Response> {
  let at = url;
  for (let redirects = 0; ; redirects++) {
    let answer: Response;
    try {
      answer = await fetch(at, { ...options, redirect: 'manual' });
    } catch (error) {
      throw broken(url, error);
    }
    const next = answer.headers.get('location');
    if (answer.status < 300 || answer.status >= 400 || next === null) {
      if (!answer.ok) throw broken(url, new Error(`the answer was ${answer.status} ${answer.statusText}`));
      return answer;
    }
    await answer.body?.cancel();
    if (redirects >= mostRedirects) throw broken(url, new Error(`it redirected more than ${mostRedirects} times`));
    if (!URL.canParse(next, at)) throw broken(url, new Error('it redirected to no address'));
    at = new URL(next, at).href;
    requireTrusted(at, url);
  }
}

/** Refuses an address that a server named, unless it has the same host or the same owner and a connection that is as safe. */
export function requireTrusted(address: string, from: string): void {
  const [to, own] = [URL.canParse(address) ? new URL(address) : null, new URL(from)];
  const ofOwner = (host: string): boolean => host === 'nuget.org' || host.endsWith('.nuget.org');
  const isSafe = to?.protocol === 'https:' || (to?.protocol === own.protocol && own.protocol === 'http:');
  if (to !== null && isSafe && (to.host === own.host || (ofOwner(to.host) && ofOwner(own.host)))) return;
  throw new Problem(
    'download-failed',
    `${own.host} sent the download on to '${to?.origin ?? address}', which is not trusted.`,
    'Try again in another network: something between here and there may have answered instead.',
  );
}

function broken(url: string, error: unknown): Problem {
  const { cause, message } = error as Error;
  const why = cause instanceof Error ? cause.message : message;
  return new Problem(
    'download-failed',
    `${new URL(url).host} could not be read to the end: ${why}.`,
    'Check the network and try again: it goes on where it stopped.',
    { cause: error },
  );
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha512');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('base64');
}
