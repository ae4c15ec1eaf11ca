/** Two versions of the studio at one data folder tell each other, whichever of them is older. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { HostMessage } from './contract.ts';
import { readFrames } from './frames.ts';
import { connectHost, hostPlaces } from './rpc.ts';
import { versions } from './versions.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-rpc-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));
const say = (socket: Socket, message: object): void => void socket.write(`${JSON.stringify(message)}\n`);

test.each([
  ['of another version', { studio: '0.0.1' }, /Lowrank Studio 0\.0\.1,/],
  ['that does not say its version', {}, /an earlier Lowrank Studio,/],
])('an engine %s is refused, and left alone', async (_, hello, named) => {
  const dataDir = join(folder, String(Math.random()));
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    say(socket, { type: 'hello', pid: 1, ...hello });
    socket.on('error', () => {});
    socket.resume();
    socket.on('close', () => resolve());
  });
  await new Promise<void>((done) => server.listen(hostPlaces(dataDir).socket, done));
  try {
    const refused = await connectHost(dataDir).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'not-allowed', message: expect.stringMatching(named) as string });
    expect(refused).toMatchObject({
      message: expect.stringContaining(versions.studio) as string,
      hint: expect.stringMatching(/start again/) as string,
    });
    await closed;
  } finally {
    server.close();
  }
});

test('a client of another version, or one that says none, is told instead of answered', { timeout: 60_000 }, async () => {
  const dataDir = join(folder, 'data');
  const client = await connectHost(dataDir);
  expect(await client.request('projects.list', undefined)).toEqual([]);
  for (const greeting of [[], [{ type: 'hello', pid: 1, studio: '9.9.9' }]]) {
    const socket = createConnection(hostPlaces(dataDir).socket);
    const { promise, resolve } = Promise.withResolvers<HostMessage>();
    readFrames(
      socket,
      (message) => {
        if (message.type === 'answer') resolve(message);
      },
      () => {},
    );
    for (const message of greeting) say(socket, message);
    say(socket, { type: 'request', id: 4, name: 'projects.create', params: { name: 'Of another time' } });
    expect(await promise).toMatchObject({
      id: 4,
      answer: { problem: { code: 'not-allowed', hint: expect.stringContaining('start again') as string } },
    });
    socket.destroy();
  }
  expect(await client.request('projects.list', undefined)).toEqual([]);
  client.close();
});
