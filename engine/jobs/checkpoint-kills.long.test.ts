/** A run killed at every call by which its folder changes, from its record to its adapter, ends with the same bits. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import type { JobSpec } from '../contract.ts';

const program = fileURLToPath(new URL('../testing/killed-checkpoints.ts', import.meta.url));
const golden = join(import.meta.dirname, '../golden/llama-tied');
const work = mkdtempSync(join(tmpdir(), 'checkpoint-kills-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Returns the number of calls, or null when the job was killed. */
async function run(out: string, resume: boolean, at = 0): Promise<number | null> {
  const spec: Extract<JobSpec, { kind: 'train' }> = {
    ...{ kind: 'train', model: { path: join(golden, 'model') }, data: { paths: [join(golden, 'rows.jsonl')] } },
    ...{ adapterPath: null, device: 'auto', skipBadRows: false, resume, cacheDir: join(work, 'cache'), out },
    recipe: { rank: 2, maxSteps: 4, batchSize: 1, saveEvery: 2, keepCheckpoints: 1, learningRate: 0.01, dropout: 0.1 },
  };
  try {
    return Number((await promisify(execFile)(process.execPath, [program, JSON.stringify(spec), String(at)])).stdout);
  } catch (error) {
    if ((error as { signal?: unknown }).signal === 'SIGKILL') return null;
    throw error;
  }
}
const bits = (out: string): Buffer[] =>
  ['adapter/adapter_model.safetensors', 'checkpoints/step-000004/optimizer.safetensors'].map((name) =>
    readFileSync(join(out, name)),
  );

it('whatever the call', { timeout: 5_400_000 }, async () => {
  const whole = join(work, 'whole');
  // The first also fills the cache, which is not what is killed here.
  await run(join(work, 'first'), false);
  const calls = (await run(whole, false))!;
  expect(calls).toBeGreaterThan(40);
  const expected = bits(whole);
  for (let at = 1; at <= calls; at++) {
    const out = join(work, 'out');
    rmSync(out, { recursive: true, force: true });
    expect(await run(out, false, at), `call ${at}`).toBeNull();
    // Killed before its first moment it has left no record, and starts again as the host would start it.
    await run(out, existsSync(join(out, 'run.json')));
    expect(bits(out), `call ${at} of ${calls}`).toEqual(expected);
  }
});
