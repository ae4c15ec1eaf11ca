/** Fetches one large file whole or not at all; what a break leaves is gone on with. */
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

export interface Download {
  readonly url: string;
  readonly bytes: number;
  /** Of the whole file, in base64. */
  readonly sha512: string;
}

/** A server that is silent for so long is given up, and one that sends slower than this: a byte now and then is no download. */
const silenceMilliseconds = 30_000;
const slowestBytesPerSecond = 20_000;
const graceMilliseconds = 120_000;
/** Several times the largest that is fetched. */
const largestFile = 4e9;
const longestAnswer = 1 << 20;
const mostRedirects = 5;

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
      `What ${file.url} should give has ${file.bytes} bytes, more than ${largestFile}.`,
      'That is not the file that is wanted: try again later.',
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
    // A server that knows no ranges begins anew.
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

/** A small JSON object; a Problem where there is none, or not soon. */
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

/** An answer that is one; a Problem otherwise. Redirects are followed a few times, and only to addresses that are trusted. */
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

/** Refuses an address that a server named, unless it is of the same host or its owner's, and as safe on the way. */
export function requireTrusted(address: string, from: string): void {
  const [to, own] = [URL.canParse(address) ? new URL(address) : null, new URL(from)];
  const ofOwner = (host: string): boolean => host === 'nuget.org' || host.endsWith('.nuget.org');
  const isSafe = to?.protocol === 'https:' || (to?.protocol === own.protocol && own.protocol === 'http:');
  if (to !== null && isSafe && (to.host === own.host || (ofOwner(to.host) && ofOwner(own.host)))) return;
  throw new Problem(
    'download-failed',
    `${own.host} sent the download on to '${to?.origin ?? address}', which is not taken from there.`,
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
