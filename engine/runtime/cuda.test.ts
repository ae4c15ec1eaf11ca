/** The installation of CUDA's libraries from a feed on this machine, with a package made up for it. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Problem } from '../problem.ts';
import { zip } from '../testing/zip.ts';
import { versions } from '../versions.ts';
import { cudaRuntime, installCuda, jobEnvironment, removeCuda } from './cuda.ts';

const id = 'microsoft.ml.onnxruntime.gpu.linux';
const native = (name: string) => `runtimes/linux-x64/native/libonnxruntime_providers_${name}.so`;

const cuda = createHash('shake256', { outputLength: 300_000 }).update('cuda').digest();
const whole = zip({ [native('cuda')]: cuda, [native('shared')]: Buffer.from('shared'), 'other.txt': Buffer.from('x') });

let dataDir: string;
let server: Server;
let feed: string;
let size: number;
let hash: string;
let ranges: (string | undefined)[];
/** How the package itself is answered. */
let give: (request: IncomingMessage, response: ServerResponse) => void;

/** As a server with ranges does. */
const honest = (content: Buffer) => (request: IncomingMessage, response: ServerResponse) => {
  const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, { 'content-length': content.length - from });
  response.end(content.subarray(from));
};

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'lowrank-cuda-'));
  ranges = [];
  size = whole.length;
  hash = createHash('sha512').update(whole).digest('base64');
  give = honest(whole);
  server = createServer((request, response) => {
    const json = (value: unknown) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    if (request.url === `/v3/registration5-gz-semver2/${id}/${versions.onnxruntime}.json`)
      return json({ catalogEntry: `${feed}/catalog.json` });
    if (request.url === '/v3/catalog.json')
      return json({ packageHash: hash, packageHashAlgorithm: 'SHA512', packageSize: size });
    if (request.url === `/v3-flatcontainer/${id}/${versions.onnxruntime}/${id}.${versions.onnxruntime}.nupkg`) {
      ranges.push(request.headers.range);
      return give(request, response);
    }
    return response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  feed = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3`;
  vi.spyOn(process, 'platform', 'get').mockReturnValue('linux');
  vi.spyOn(process, 'arch', 'get').mockReturnValue('x64');
});
afterEach(() => {
  vi.restoreAllMocks();
  server.close();
  server.closeAllConnections();
  rmSync(dataDir, { recursive: true });
});

const install = () => installCuda(dataDir, { from: feed });
async function problem(): Promise<Problem> {
  const error: unknown = await install().then(
    () => null,
    (error: unknown) => error,
  );
  if (error instanceof Problem) return error;
  throw new Error(`no problem but ${String(error)}`);
}
const partial = () => join(dataDir, 'runtimes', `${id}.${versions.onnxruntime}.nupkg.partial`);
/** Only what was published under its name, and what a download goes on from. */
const left = () => readdirSync(join(dataDir, 'runtimes'));

// The copy is of this platform's package.
const here = existsSync(join(import.meta.dirname, '../../node_modules/onnxruntime-node/bin/napi-v6/linux/x64'));

describe.skipIf(!here)('an installation', () => {
  test("is the runtime with the package's libraries beside its own, for jobs that use CUDA", async () => {
    await install();
    const folder = cudaRuntime(dataDir);
    expect(left()).toEqual([`cuda-${versions.onnxruntime}`]);
    const binaries = join(folder, 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64');
    expect(readFileSync(join(binaries, 'libonnxruntime_providers_cuda.so'))).toEqual(cuda);
    expect(readFileSync(join(binaries, 'libonnxruntime_providers_shared.so'), 'utf8')).toBe('shared');
    expect(existsSync(join(binaries, 'onnxruntime_binding.node'))).toBe(true);
    expect(existsSync(join(folder, 'node_modules/onnxruntime-common/package.json'))).toBe(true);

    const trial = (provider: 'cuda' | 'webgpu') =>
      jobEnvironment({ kind: 'trial', provider, subject: null, cacheDir: dataDir }, dataDir);
    expect(trial('cuda')).toMatchObject({ LOWRANK_RUNTIME: folder });
    expect(trial('webgpu')).toEqual({});
    await install();
    expect(ranges).toHaveLength(1);
    expect([removeCuda(dataDir), removeCuda(dataDir)]).toEqual([true, false]);
    expect(trial('cuda')).toEqual({});
  });

  test('goes on where a connection broke', async () => {
    give = (_, response) => {
      response.writeHead(200, { 'content-length': whole.length });
      response.write(whole.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 50));
    };
    expect((await problem()).code).toBe('download-failed');
    const before = statSync(partial()).size;
    expect(before).toBeGreaterThan(0);
    give = honest(whole);
    await install();
    expect(ranges).toEqual([undefined, `bytes=${before}-`]);
    expect(left()).toEqual([`cuda-${versions.onnxruntime}`]);
  });

  test('begins anew at a server that knows no ranges', async () => {
    give = (_, response) => response.end(whole.subarray(0, 100_000));
    expect((await problem()).message).toContain(`100000 of ${whole.length} bytes came`);
    give = (_, response) => response.end(whole);
    await install();
    expect(ranges[1]).toBe('bytes=100000-');
    expect(left()).toEqual([`cuda-${versions.onnxruntime}`]);
  });
});

test('a file of another hash is refused and not kept', async () => {
  const other = Buffer.from(whole);
  other[5000]! ^= 1;
  give = honest(other);
  expect((await problem()).code).toBe('file-damaged');
  expect(left()).toEqual([]);
});

test('a package without the libraries is refused and not kept', async () => {
  const empty = zip({ 'other.txt': Buffer.from('x') });
  [give, size, hash] = [honest(empty), empty.length, createHash('sha512').update(empty).digest('base64')];
  const { code, message } = await problem();
  expect(code).toBe('file-damaged');
  expect(message).toContain('libonnxruntime_providers_shared.so');
  expect(left()).toEqual([]);
});

test('nothing is fetched where there is no room for it', async () => {
  size = 2 ** 52;
  expect((await problem()).code).toBe('disk-full');
  expect(ranges).toEqual([]);
});

test('a feed without this version is a failed download', async () => {
  feed = feed.replace('/v3', '/v4');
  expect((await problem()).message).toContain('the answer was 404');
});

describe('a feed that is not what it should be', () => {
  test.each([
    ['https://elsewhere.example/x.nupkg', "sent the download on to 'https://elsewhere.example'"],
    ['file:///etc/passwd', 'sent the download on to'],
    ['http://[', 'redirected to no address'],
  ])('sends on to %s', async (location, says) => {
    give = (_, response) => response.writeHead(302, { location }).end();
    const { code, message } = await problem();
    expect(code).toBe('download-failed');
    expect(message).toContain(says);
  });

  test('sends round in circles', async () => {
    give = (request, response) => response.writeHead(302, { location: request.url! }).end();
    expect((await problem()).message).toContain('redirected more than 5 times');
    expect(ranges).toHaveLength(6);
  });

  test('sends no end of an answer, or no numbers', async () => {
    hash = 'x'.repeat(2 << 20);
    expect((await problem()).message).toContain('more than 1048576 bytes');
    hash = 'x';
    for (size of [-1, 0.5, NaN]) expect((await problem()).message).toContain('does not say what');
  });

  test('packs far more into a library than one has', async () => {
    const bomb = zip({ [native('cuda')]: Buffer.alloc(10_000_000), [native('shared')]: Buffer.alloc(10_000_000) });
    [give, size, hash] = [honest(bomb), bomb.length, createHash('sha512').update(bomb).digest('base64')];
    const { code, message } = await problem();
    expect([code, message]).toEqual(['file-damaged', expect.stringContaining('no sound archive')]);
    expect(left()).toEqual([]);
  });
});

test('where it comes from and what its hash is worth is said before it is fetched', async () => {
  const said: string[] = [];
  await installCuda(dataDir, { from: feed, onSource: (text) => void said.push(`${ranges.length} ${text}`) }).catch(() => {});
  expect(said).toEqual([expect.stringMatching(/^0 Fetching .* from 127\.0\.0\.1.* rests on the feed and on HTTPS\.$/)]);
});
