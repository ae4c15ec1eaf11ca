/** Lets clients of all kinds use a host for a while and watches what it holds. For Linux, which tells that in files. */
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import { connectHost, type HostClient, hostPlaces } from '../rpc.ts';

/** Holds what a host used at one moment. */
export interface Held {
  /** Gives its resident memory in bytes. */
  readonly memory: number;
  /** Counts its open files, sockets and the like. */
  readonly handles: number;
  /** Counts the files of the data folder, without logs and compiled code. */
  readonly files: number;
}

const golden = (name: string): string => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const rows = golden('rows.jsonl');
/** Counts the rounds that a run takes. */
const roundsPerRun = 10;

/**
 * Uses a host in rounds, and returns a sample after each: jobs that end well, badly and because their client goes, hundreds of
 * requests, clients of all kinds, and now and then a run.
 */
export async function soak(dataDir: string, mayContinue: (rounds: number) => boolean): Promise<Held[]> {
  const places = hostPlaces(dataDir);
  const client = await connectHost(dataDir);
  const { pid } = JSON.parse(readFileSync(places.lock, 'utf8')) as { pid: number };
  const held: Held[] = [];
  try {
    while (mayContinue(held.length)) {
      await client.request('datasets.columns', { path: rows });
      await client.request('inspect.path', { path: `${rows}.missing` }).catch(() => {});
      for (let request = 0; request < 100; request++) {
        await client.request('projects.list', undefined);
        await client.request('runs.list', {});
        await client.request('runs.get', { id: 'nobody' }).catch(() => {});
      }
      const visitor = await connectHost(dataDir);
      const left = visitor.request('datasets.columns', { path: rows }).catch(() => {});
      visitor.close();
      await left;
      await new Promise<void>((done) => {
        const stranger = createConnection(places.socket, () => stranger.write('null\n'));
        stranger.on('error', () => {}).on('close', () => done());
        stranger.resume();
      });
      if (held.length % roundsPerRun === roundsPerRun - 1) await trainAndForget(client);
      held.push(heldBy(pid, places.dataDir));
    }
  } finally {
    client.close();
  }
  return held;
}

/** Runs a training with steps, checkpoints and a stop, of which nothing may be left. */
async function trainAndForget(client: HostClient): Promise<void> {
  const run = await client.request('runs.start', {
    model: { path: golden('model') },
    data: { paths: [rows], evalPaths: [] },
    recipe: { rank: 2, maxSteps: 1_000_000, evalEvery: 0, saveEvery: 20, learningRate: 1e-5 },
  });
  const ended = new Promise<void>((done) => {
    const end = client.on('run.changed', ({ id, step, state }) => {
      if (id !== run.id) return;
      if (state === 'running' && step > 100) void client.request('runs.stop', { id });
      if (state === 'queued' || state === 'running') return;
      end();
      done();
    });
  });
  await ended;
  await client.request('runs.remove', { id: run.id });
}

function heldBy(pid: number, dataDir: string): Held {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const files = readdirSync(dataDir, { recursive: true, encoding: 'utf8' });
  return {
    memory: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024,
    handles: readdirSync(`/proc/${pid}/fd`).length,
    files: files.filter((name) => !/^cache\/code|log\.txt$|^backups/.test(name)).length,
  };
}
