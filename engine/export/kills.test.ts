/** An export killed at any of its writes leaves nothing under its final name, or all of it. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ExportFormat, JobSpec, Quantization } from '../contract.ts';
import { runExport } from '../jobs/export.ts';
import { killedAt } from '../testing/killed-at.ts';
import { readFingerprint } from './lineage.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const root = mkdtempSync(join(tmpdir(), 'export-kills-'));
afterAll(() => rmSync(root, { recursive: true }));
const silent = {
  send: () => {},
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => new Promise<void>(() => {}),
};

function specOf(format: ExportFormat, quantization: Quantization | null, out: string): Extract<JobSpec, { kind: 'export' }> {
  return {
    ...{
      kind: 'export',
      model: { path: join(golden, 'model') },
      format,
      quantization,
      out,
      proof: false,
      cacheDir: join(root, 'cache'),
    },
    adapters: [{ path: join(golden, 'adapter'), weight: 1 }],
    origin: { exportId: 'killed', adapters: [{ name: 'adapter', run: null }] },
  };
}

const full = process.env['LOWRANK_TEST_FULL'] === '1';

/** Every change in the full tests; else the first ones, the last ones, among which names are given, and some of the many alike between. */
function momentsOf(changes: number): readonly number[] {
  const all = Array.from({ length: changes }, (_, index) => index + 1);
  return all.filter((at) => full || at <= 2 || at > changes - 5 || at % 9 === 0);
}

describe.each([
  ['peft', null],
  ['lora-gguf', null],
  ['mlx', null],
  ['safetensors', 'bf16'],
  ['gguf', 'q8_0'],
  ['ollama', 'q4_0'],
  ['onnx', 'q4'],
  ['onnx-adapter', 'q8'],
] as const)('%s %s', (format, quantization) => {
  const folder = join(root, format);
  const out = join(folder, /gguf/.test(format) ? 'model.gguf' : 'model');

  it(full ? 'at every write' : 'at its writes', async () => {
    mkdirSync(folder);
    const whole = await killedAt(Infinity, () => runExport(specOf(format, quantization, out), silent));
    const expected = await readFingerprint(out);
    expect(whole.changes).toBeGreaterThan(10);
    let named = 0;
    for (const at of momentsOf(whole.changes)) {
      rmSync(out, { recursive: true, force: true });
      const { finished } = await killedAt(at, () => runExport(specOf(format, quantization, out), silent));
      expect(finished, `change ${at}`).toBe(false);
      // What has its name is what it is without a kill; the rest is marked as unfinished.
      if (existsSync(out)) {
        named++;
        expect((await readFingerprint(out)).files.map(({ name }) => name)).toEqual(expected.files.map(({ name }) => name));
      }
      for (const name of readdirSync(folder))
        expect(name === 'model' || name === 'model.gguf' || name.startsWith('.partial-')).toBe(true);
    }
    // Only what comes after the last rename: flushing the folder, and clearing up.
    expect(named).toBeLessThan(4);
    expect(named).toBeGreaterThan(0);
    rmSync(out, { recursive: true, force: true });
    await runExport(specOf(format, quantization, out), silent);
    expect(readdirSync(folder)).toEqual([out.slice(folder.length + 1)]);
    expect((await readFingerprint(out)).files).toHaveLength(expected.files.length);
  });
});
