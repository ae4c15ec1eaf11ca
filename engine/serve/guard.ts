/**
 * Decides who is listened to. Every request passes here before anything else of it is looked at: only programs of this computer
 * that hold the token are, and no page of a browser, whatever it calls itself.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';

/** Hashes a token. Only the hash is kept, and hashes are of one length, so comparing them tells nothing of the token's. */
export function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Lists what a client may call this computer. Any other name may be one that somebody else has pointed at it. */
export function hostsAt(port: number): readonly string[] {
  return ['127.0.0.1', 'localhost', '[::1]'].map((name) => `${name}:${port}`);
}

/** Throws an `ApiError` unless the request is from a program of this computer that holds the token. */
export function requireTrusted(request: IncomingMessage, { port, tokenHash }: { port: number; tokenHash: Buffer }): void {
  const { headers, headersDistinct, method } = request;
  const hosts = headersDistinct['host'] ?? [];
  if (hosts.length !== 1 || !hostsAt(port).includes(hosts[0]!.toLowerCase()))
    throw new ApiError(403, 'host_refused', `Only ${hostsAt(port).join(', ')} are answered.`);
  if (headers.origin !== undefined)
    throw new ApiError(403, 'origin_refused', 'Requests of pages are refused: they have an Origin header.');
  if (method === 'OPTIONS') throw new ApiError(403, 'preflight_refused', 'Preflight requests are refused.');
  if (headers.upgrade !== undefined) throw new ApiError(400, 'upgrade_refused', 'There is no other protocol than HTTP here.');
  const [scheme, token, ...more] = (headers.authorization ?? '').split(' ');
  const isGiven = scheme?.toLowerCase() === 'bearer' && token !== undefined && more.length === 0;
  if (!timingSafeEqual(hashOf(isGiven ? token : ''), tokenHash))
    throw new ApiError(401, 'invalid_api_key', 'Send the token of this endpoint as an API key (Authorization: Bearer TOKEN).', {
      headers: { 'WWW-Authenticate': 'Bearer' },
    });
}
