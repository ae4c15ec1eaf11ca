/** Reads the JSON of a request within limits of size and time. */
import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';
import type { Limits } from './limits.ts';

export async function readJson(
  request: IncomingMessage,
  { bodyBytes, receiveMs }: Pick<Limits, 'bodyBytes' | 'receiveMs'>,
): Promise<Readonly<Record<string, unknown>>> {
  // A form that a page may send without asking has one of three other types.
  if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(request.headers['content-type'] ?? ''))
    throw new ApiError(415, 'json_required', 'Send the request as Content-Type: application/json.');
  if (request.headers['content-encoding'] !== undefined)
    throw new ApiError(415, 'encoding_refused', 'Send the request without a Content-Encoding.');
  const value = parsed(await readBody(request, bodyBytes, receiveMs));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ApiError(400, 'invalid_json', 'The body of the request is not the JSON of an object.');
  return value as Record<string, unknown>;
}

async function readBody(request: IncomingMessage, most: number, milliseconds: number): Promise<string> {
  const tooLarge = (): ApiError => new ApiError(413, 'body_too_large', `The body of a request has at most ${most} bytes.`);
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const pieces: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(
    () =>
      reject(new ApiError(408, 'body_too_slow', `The body of a request must arrive within ${milliseconds / 1000} seconds.`)),
    milliseconds,
  );
  request.on('data', (piece: Buffer) => {
    size += piece.length;
    if (size > most) reject(tooLarge());
    else pieces.push(piece);
  });
  request.on('end', () => resolve(Buffer.concat(pieces).toString('utf8')));
  request.on('error', reject);
  request.on('close', () => reject(new ApiError(400, 'body_incomplete', 'The request ended before its body did.')));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    request.pause();
    request.removeAllListeners('data');
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, 'invalid_json', 'The body of the request is not JSON.');
  }
}
