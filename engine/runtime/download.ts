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

/** A server that is silent for so long is given up. */
const silenceMilliseconds = 30_000;

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
  const timer = setTimeout(() => silence.abort(), silenceMilliseconds);
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

/** An answer that is one; a Problem otherwise. */
export async function asking(url: string, options: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    throw broken(url, error);
  }
  if (!answer.ok) throw broken(url, new Error(`the answer was ${answer.status} ${answer.statusText}`));
  return answer;
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
