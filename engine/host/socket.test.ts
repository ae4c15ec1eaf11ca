/** Whatever a client writes to the host's socket, or leaves unread, costs that client its connection and nobody else anything. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HostMessage } from '../contract.ts';
import { answerFrames, encodeFrame, longestBacklog, longestFrame, readFrames, writeFrame } from '../frames.ts';
import { connectHost, type HostClient, hostPlaces } from '../rpc.ts';
import { filledStore } from '../testing/filled-store.ts';
import { versions } from '../versions.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-socket-'));
const dataDir = join(folder, 'data');
const hello = JSON.stringify({ type: 'hello', pid: 1, studio: versions.studio });
const megabytes = 2 ** 20;
let client: HostClient;
let host: number;

beforeAll(async () => {
  const places = hostPlaces(dataDir);
  const store = filledStore(places.dataDir, { runs: 3, steps: 1 });
  for (const { id } of store.runs.list()) store.runs.update(id, { notes: 'n'.repeat(6 * megabytes) });
  store.close();
  client = await connectHost(dataDir);
  host = (JSON.parse(readFileSync(places.lock, 'utf8')) as { pid: number }).pid;
});
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
});

function connect(): Socket {
  const socket = createConnection(hostPlaces(dataDir).socket);
  socket.on('error', () => {});
  return socket;
}
const closed = (socket: Socket): Promise<void> => new Promise((done) => socket.on('close', () => done()));
const request = (id: number, name: string, params: unknown): string =>
  `${JSON.stringify({ type: 'request', id, name, params })}\n`;

test.each([
  ['null', 'null'],
  ['a list', '[]'],
  ['a text', '"hello"'],
  ['an object without a type', '{}'],
  ['a request without a name', '{"type":"request","id":1}'],
  ['a request whose number is none', '{"type":"request","id":"1","name":"projects.list"}'],
  ['an answer without content', '{"type":"answer","id":1}'],
  ['an answer whose problem is none', '{"type":"answer","id":1,"answer":{"problem":null}}'],
  ['a greeting of no shape', '{"type":"hello","pid":null,"studio":{}}'],
  ['no JSON', '{"type":'],
  ['an empty line', ''],
  ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00, 0x80])],
  ['a million brackets', '['.repeat(1_000_000)],
])('a client that sends %s is closed; the host and its other clients stay', async (_, line) => {
  const socket = connect();
  socket.resume();
  socket.write(Buffer.concat([Buffer.from(`${hello}\n`), Buffer.from(line), Buffer.from('\n')]));
  await closed(socket);
  expect(await client.request('projects.list', undefined)).toHaveLength(1);
});

test('a line without an end is cut off at the longest frame', async () => {
  const socket = connect();
  socket.resume();
  const part = Buffer.alloc(megabytes, 'x');
  const isClosed = closed(socket);
  const send = () => {
    while (!socket.destroyed && socket.write(part));
  };
  socket.on('drain', send);
  send();
  await isClosed;
  expect(socket.bytesWritten).toBeLessThan(longestFrame + 4 * megabytes);
  expect(await client.request('projects.list', undefined)).toHaveLength(1);
});

test('half lines of many clients take no more memory than those of a few', async () => {
  const sockets = Array.from({ length: 30 }, connect);
  for (const socket of sockets) {
    socket.resume();
    socket.write(`${hello}\n${'x'.repeat(15 * megabytes)}`);
  }
  // The last ones are cut off, and the first ones stay.
  await Promise.race(sockets.map(closed));
  expect(await client.request('projects.list', undefined)).toHaveLength(1);
  if (process.platform === 'linux') expect(memoryOf(host)).toBeLessThan(700 * megabytes);
  for (const socket of sockets) socket.destroy();
});

test('a request that is longer than a frame is refused, a longer answer comes in parts, and the connection lives', async () => {
  const name = 'n'.repeat(longestFrame);
  await expect(client.request('projects.create', { name })).rejects.toMatchObject({ code: 'request-invalid' });
  const runs = await client.request('runs.list', {});
  expect(runs.map(({ notes }) => notes.length)).toEqual([6 * megabytes, 6 * megabytes, 6 * megabytes]);
});

test('an answer that is too long for all its parts is a Problem of that request', () => {
  const asked = { id: 7, name: 'data.render' };
  const long = { ok: `"${'€😀'.repeat(4 * megabytes)}"` };
  const parts = [...answerFrames(asked, long)].map((frame) => JSON.parse(frame.toString()) as { text: string; last: boolean });
  expect(parts.map(({ last }) => last)).toEqual(parts.map((_, index) => index === parts.length - 1));
  expect(JSON.parse(parts.map(({ text }) => text).join(''))).toEqual(long);
  const refused = [...answerFrames(asked, long, megabytes)].map((frame) => JSON.parse(frame.toString()) as unknown);
  expect(refused).toMatchObject([
    {
      id: 7,
      answer: {
        problem: { code: 'request-invalid', message: "The answer to 'data.render' is larger than the 1 MB that can be sent." },
      },
    },
  ]);
});

const memoryOf = (pid: number): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
};

test('a client that asks and reads slowly gets all its answers; one that never reads is not heard on', async () => {
  const asked = 14;
  const slow = connect();
  const never = connect();
  const answers: HostMessage[] = [];
  const all = Promise.withResolvers<void>();
  readFrames(
    slow,
    (message) => {
      if (message.type === 'answer' && answers.push(message) === asked) all.resolve();
      return new Promise((done) => setTimeout(done, 5));
    },
    all.reject,
  );
  never.pause();
  const before = process.platform === 'linux' ? memoryOf(host) : 0;
  for (const socket of [slow, never]) {
    socket.write(`${hello}\n`);
    for (let id = 1; id <= asked; id++) socket.write(request(id, 'runs.get', { id: 'r1' }));
  }
  await all.promise;
  expect(answers.every((message) => message.type === 'answer' && 'ok' in message.answer)).toBe(true);
  if (process.platform === 'linux') expect(memoryOf(host) - before).toBeLessThan(3 * longestBacklog);
  expect(await client.request('projects.list', undefined)).toHaveLength(1);
  slow.destroy();
  never.destroy();
});

test('a peer that leaves too much unread is closed', async () => {
  const places = hostPlaces(join(folder, 'unread'));
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve);
  await new Promise<void>((done) => server.listen(places.socket, done));
  const never = createConnection(places.socket).on('error', () => {});
  never.pause();
  const socket = await promise;
  const frame = encodeFrame({ type: 'event', name: 'run.log', payload: 'n'.repeat(6 * megabytes) })!;
  for (let sent = 0; sent < longestBacklog - frame.length; sent += frame.length) writeFrame(socket, frame);
  expect(socket.destroyed).toBe(false);
  for (let again = 0; again < 2; again++) writeFrame(socket, frame);
  expect(socket.destroyed).toBe(true);
  never.destroy();
  server.close();
});

test.each([
  'null',
  '{"type":"answer","id":1,"answer":{}}',
  '{"type":"part","id":1,"text":"[","last":true}',
  'x'.repeat(longestFrame),
])('an engine that sends garbage is left, and who waits is told', async (garbage) => {
  const other = hostPlaces(join(folder, `garbage-${garbage.length}`));
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(`${hello}\n`);
    socket.once('data', () => socket.write(`${garbage}\n`));
  });
  await new Promise<void>((done) => server.listen(other.socket, done));
  try {
    const { promise, resolve } = Promise.withResolvers<void>();
    const lost = await connectHost(other.dataDir);
    lost.onClose(resolve);
    await expect(lost.request('projects.list', undefined)).rejects.toMatchObject({ code: 'host-unreachable' });
    await promise;
  } finally {
    server.close();
  }
});
