/** Lets clients of all kinds use a host for a while and watches what it holds. For Linux, which tells that in files. */
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import { connectHost, hostPlaces } from '../rpc.ts';

/** What a host held at one moment. */
export interface Held {
  /** Resident bytes. */
  readonly memory: number;
  /** Open files, sockets and the like. */
  readonly handles: number;
  /** Files in the data folder, but for logs and the code that is kept compiled. */
  readonly files: number;
}

const rows = fileURLToPath(new URL('../golden/llama-tied/rows.jsonl', import.meta.url));

/** One sample after each round: jobs that end well, badly and by their client's going, hundreds of requests, and clients of all kinds. */
export async function soak(dataDir: string, goesOn: (rounds: number) => boolean): Promise<Held[]> {
  const places = hostPlaces(dataDir);
  const client = await connectHost(dataDir);
  const { pid } = JSON.parse(readFileSync(places.lock, 'utf8')) as { pid: number };
  const held: Held[] = [];
  try {
    while (goesOn(held.length)) {
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
      held.push(heldBy(pid, places.dataDir));
    }
  } finally {
    client.close();
  }
  return held;
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
