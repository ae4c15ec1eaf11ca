/**
 * Runs `--smoke-test`, which does once what a package must be able to do: the page loads and reaches the engine, and one
 * training step runs.
 */
import { app, type BrowserWindow } from 'electron';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Run } from '../engine/contract.ts';
import type { Relay } from './relay.ts';
import { resourcesDir } from './places.ts';

const limitSeconds = 240;

/** Runs the test and ends the process with 0 when everything worked, otherwise with 1 and a sentence. */
export async function runSmokeTest(window: BrowserWindow, relay: Relay, dataDir: string): Promise<void> {
  const limit = setTimeout(() => end(relay, dataDir, `nothing happened within ${limitSeconds} s`), limitSeconds * 1000);
  try {
    const host = await relay.connect();
    await loaded(window);
    console.log('smoke test: the page is open');
    const script =
      "window.studio.request('machine.get').then((answer) => 'ok' in answer && document.querySelector('h1, h2') !== null)";
    if ((await window.webContents.executeJavaScript(script)) !== true) throw new Error('the page cannot reach the engine');
    console.log('smoke test: the page reaches the engine');

    const ended = new Promise<Run>((resolve) => {
      host.on('run.changed', (run) => {
        if (run.state !== 'queued' && run.state !== 'running') resolve(run);
      });
    });
    const resources = resourcesDir();
    await host.request('runs.start', {
      name: 'Smoke test',
      model: { path: join(resources, 'models', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      data: { paths: [join(resources, 'samples', 'json-orders', 'train.jsonl')], evalPaths: [] },
      recipe: { rank: 4, maxSteps: 1, batchSize: 1, gradientAccumulation: 1 },
    });
    const run = await ended;
    if (run.state !== 'done' || run.step !== 1)
      throw new Error(run.problem?.message ?? `the run is ${run.state} at step ${run.step}`);
    console.log(`smoke test: one step trained, loss ${run.lastLoss?.toFixed(3)}`);
    clearTimeout(limit);
    end(relay, dataDir, null);
  } catch (error) {
    clearTimeout(limit);
    end(relay, dataDir, error instanceof Error ? error.message : String(error));
  }
}

function loaded(window: BrowserWindow): Promise<void> {
  if (!window.webContents.isLoading()) return Promise.resolve();
  return new Promise((resolve) => window.webContents.once('did-finish-load', () => resolve()));
}

function end(relay: Relay, dataDir: string, failure: string | null): void {
  relay.close();
  if (failure !== null) console.error(`smoke test failed: ${failure}. The data folder ${dataDir} was kept.`);
  else {
    try {
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
    } catch {
      // The engine may still be exiting, and a leftover temporary folder is no reason to fail.
    }
  }
  app.exit(failure === null ? 0 : 1);
}
