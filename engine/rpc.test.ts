/** Two versions of the studio at one data folder tell each other, whichever of them is older; an engine that does not answer is told of. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import type { HostMessage } from './contract.ts';
import { readFrames } from './frames.ts';
import { connectHost, hostPlaces } from './rpc.ts';
import { versions } from './versions.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-rpc-'));
const halted = /process \d+ is suspended/;
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

test('a client of another version, or one that says none, is told instead of answered', async () => {
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

test.skipIf(process.platform === 'win32')(
  'an engine that is halted is said to be so within seconds, before and after somebody is connected to it',
  async () => {
    const dataDir = join(folder, 'halted');
    const said: string[] = [];
    const client = await connectHost(dataDir, { onSilence: (text) => said.push(text) });
    const { pid } = JSON.parse(readFileSync(hostPlaces(dataDir).lock, 'utf8')) as { pid: number };
    process.kill(pid, 'SIGSTOP');
    try {
      const began = performance.now();
      const answer = client.request('projects.list', undefined);
      await expect(connectHost(dataDir)).rejects.toMatchObject({
        code: 'host-unreachable',
        message: expect.stringMatching(halted) as string,
        hint: expect.stringContaining(`kill -CONT ${pid}`) as string,
      });
      expect(performance.now() - began).toBeLessThan(9000);
      await expect.poll(() => said.filter((text) => halted.test(text)).length, { timeout: 15_000 }).toBe(1);
      process.kill(pid, 'SIGCONT');
      expect(await answer).toEqual([]);
    } finally {
      process.kill(pid, 'SIGCONT');
      client.close();
    }
  },
);

test('whoever waits for an engine that says nothing is told so', async () => {
  const dataDir = join(folder, 'silent');
  const server = createServer((socket) =>
    setTimeout(() => say(socket, { type: 'hello', pid: 1, studio: versions.studio }), 4000),
  );
  await new Promise<void>((done) => server.listen(hostPlaces(dataDir).socket, done));
  const said: string[] = [];
  const client = await connectHost(dataDir, { onSilence: (text) => said.push(text) });
  expect(said).toEqual([expect.stringContaining('Waiting for the engine')]);
  client.close();
  server.close();
});

test('compiled code is kept in the data folder, or where the environment keeps it already', async () => {
  const elsewhere = join(folder, 'code');
  for (const given of [undefined, elsewhere]) {
    const dataDir = join(folder, given === undefined ? 'own-code' : 'code-elsewhere');
    vi.stubEnv('NODE_COMPILE_CACHE', given);
    (await connectHost(dataDir)).close();
    vi.unstubAllEnvs();
    expect(existsSync(join(dataDir, 'cache', 'code'))).toBe(given === undefined);
    expect(existsSync(elsewhere)).toBe(given !== undefined);
  }
});
