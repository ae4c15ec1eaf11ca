/** Starts `lowrank` for tests, on a data folder of their own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { connectHost, type HostClient } from '../rpc.ts';

const cli = fileURLToPath(new URL('../cli.ts', import.meta.url));
const limit = 300_000;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a command, and collects what it writes until it ends. */
export function startCommand(
  dataDir: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { readonly child: ChildProcessByStdio<null, Readable, Readable>; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [cli, '--data-dir', dataDir, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((done) => child.on('close', (status) => done({ status, stdout, stderr })));
  return { child, ended };
}

/** Makes a folder with a data folder in it, which goes when the tests of the file have ended. */
export function commandFolder(name: string): { readonly folder: string; readonly dataDir: string } {
  const folder = mkdtempSync(join(tmpdir(), `lowrank-${name}-`));
  afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 40, retryDelay: 300 }), limit);
  return { folder, dataDir: join(folder, 'data') };
}

/** Keeps the engine of a data folder alive between the commands of a file. */
export function keepEngine(dataDir: string): () => HostClient {
  let client: HostClient;
  beforeAll(async () => {
    client = await connectHost(dataDir);
  }, limit);
  afterAll(() => client.close());
  return () => client;
}
