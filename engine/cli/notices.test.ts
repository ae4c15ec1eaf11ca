import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectHost } from '../rpc.ts';
import { filledStore } from '../testing/filled-store.ts';

const cli = fileURLToPath(new URL('../cli.ts', import.meta.url));
let folder: string;
let dataDir: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-notices-'));
  dataDir = join(folder, 'data');
  mkdirSync(dataDir, { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 30, retryDelay: 300 }));

const lowrank = (...args: string[]) =>
  new Promise<{ stdout: string; stderr: string }>((done) => {
    execFile(process.execPath, [cli, '--data-dir', dataDir, ...args], (_, stdout, stderr) => done({ stdout, stderr }));
  });

test('a damaged database is healed for a command, which is told once what was saved', async () => {
  filledStore(dataDir, { runs: 3, steps: 20 }).close();
  const path = join(dataDir, 'studio.sqlite');
  const db = new Database(path, { readonly: true });
  const { pageno } = db.prepare("SELECT pageno FROM dbstat WHERE name = 'adapters'").get() as { pageno: number };
  db.close();
  const bytes = readFileSync(path);
  bytes.fill(0, (pageno - 1) * 4096, pageno * 4096);
  writeFileSync(path, bytes);

  const first = await lowrank('runs', 'list', '--json');
  expect((JSON.parse(first.stdout) as unknown[]).length).toBe(3);
  expect(first.stderr).toContain('has been rebuilt');
  expect(first.stderr).toContain('runs 3, step_metrics 60');
  expect(first.stderr).toContain('Rows lost: adapters');
  expect(readFileSync(join(dataDir, 'host', 'log.txt'), 'utf8')).toContain('has been rebuilt');
  expect(readdirSync(join(dataDir, 'damaged'))).toHaveLength(1);
  const second = await lowrank('runs', 'list', '--json');
  expect(second.stderr).toBe('');
  if (process.platform !== 'win32') expect(statSync(dataDir).mode & 0o077).toBe(0);
});

test('a row that cannot be read leaves the list to the others, and the command says which it was', async () => {
  filledStore(dataDir, { runs: 3, steps: 1 }).close();
  const db = new Database(join(dataDir, 'studio.sqlite'));
  db.exec("UPDATE runs SET recipe = 'no JSON' WHERE id = 'r2'");
  db.close();
  const { stdout, stderr } = await lowrank('runs', 'list');
  expect(stdout).toContain('Run r1');
  expect(stdout).not.toContain('Run r2');
  expect(stdout).toContain('Run r3');
  expect(stderr).toContain("Run r2 r2 (column 'recipe' does not hold JSON)");
});

test('clients are told that there is something to tell', async () => {
  filledStore(dataDir, { runs: 1, steps: 1 }).close();
  const db = new Database(join(dataDir, 'studio.sqlite'));
  db.exec("UPDATE runs SET tags = '5'");
  db.close();
  const client = await connectHost(dataDir);
  const changed = new Promise((done) => client.on('notices.changed', done));
  expect(await client.request('runs.list', {})).toEqual([]);
  await changed;
  expect(await client.request('notices.take', undefined)).toHaveLength(1);
  expect(await client.request('notices.take', undefined)).toEqual([]);
  // The first look after the day's backup comes by itself.
  const backups = join(dataDir, 'backups');
  for (
    let waited = 0;
    waited < 300 && !(existsSync(backups) && readdirSync(backups).some((name) => name.endsWith('.sqlite')));
    waited++
  )
    await new Promise((done) => setTimeout(done, 100));
  expect(readdirSync(backups)).toHaveLength(1);
  client.close();
});
