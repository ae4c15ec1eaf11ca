/** Finds things on this machine: the data folder, the shipped files, and the Node that runs the engine. */
import { app } from 'electron';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { defaultDataDir, type HostOptions } from '../engine/rpc.ts';

/**
 * Says whether the application was started to prove that a package works: it then opens the window, trains one step and exits.
 */
export const isSmokeTest = process.argv.includes('--smoke-test');

/** Returns the folder of `--data-dir`, or a new one for a smoke test, or the one that the command line uses too. */
export function chooseDataDir(): string {
  const chosen = argumentAfter('--data-dir');
  if (chosen !== null) return resolve(chosen);
  return isSmokeTest ? mkdtempSync(join(tmpdir(), 'lowrank-smoke-')) : defaultDataDir();
}

function argumentAfter(name: string): string | null {
  const index = process.argv.findIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (index < 0) return null;
  const argument = process.argv[index]!;
  return argument.includes('=') ? argument.slice(argument.indexOf('=') + 1) : (process.argv[index + 1] ?? null);
}

export function resourcesDir(): string {
  return app.isPackaged ? process.resourcesPath : join(app.getAppPath(), 'resources');
}

/**
 * Returns how the engine host is started. The engine never runs inside Electron, because it needs the Node it is tested with.
 */
export function hostOptions(): HostOptions {
  const windows = process.platform === 'win32';
  const binary = windows ? 'node.exe' : 'node';
  const env = { LOWRANK_RESOURCES: resourcesDir() };
  if (app.isPackaged) {
    // A plain Node cannot read inside the archive, so the engine is beside it.
    const unpacked = join(process.resourcesPath, 'app.asar.unpacked');
    return { node: join(process.resourcesPath, 'node', binary), hostEntry: join(unpacked, 'engine', 'host.ts'), env };
  }
  const platform = `node-${windows ? 'win' : process.platform}-${process.arch}`;
  const packaged = join(app.getAppPath(), 'node_modules', platform, 'bin', binary);
  const node = process.env['LOWRANK_NODE'] ?? (existsSync(packaged) ? packaged : binary);
  return { node, hostEntry: join(app.getAppPath(), 'engine', 'host.ts'), env };
}
