/** What is known of an adapter before its numbers are read, and that reading hashes the file on the way. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportChoices } from '../export/index.ts';
import { hashFile } from '../formats/files.ts';
import { runExport } from '../jobs/export.ts';
import { openModel } from '../models/open.ts';
import { defaultRecipe } from '../recipe.ts';
import { problemOf } from '../testing/problem-of.ts';
import { silentPort } from '../testing/port.ts';
import { openHashedAdapter, openOutline } from './adapted.ts';
import { adapterFile } from './find.ts';
import { adapterConfigBytes, readAdapter, writeAdapter } from './folder.ts';
import { newAdapter } from './initial.ts';

const model = openModel(join(import.meta.dirname, '../golden/llama-tied/model'));
const work = mkdtempSync(join(tmpdir(), 'stored-'));
afterAll(() => rmSync(work, { recursive: true }));
/** Megabytes of factors, so that what else is read does not count. */
const adapter = newAdapter({ ...defaultRecipe(), rank: 1024, alpha: 1024 }, model, 'base');
const source = join(work, 'source');
let written: ReturnType<typeof writeAdapter>;
beforeAll(() => {
  adapter.parameters.forEach((_, i) => (adapter.parameters[i] = Math.sin(i) / 100));
  written = writeAdapter(source, adapter);
});

const configHashOf = (path: string): string | null => {
  const config = adapterConfigBytes(path);
  return config && createHash('sha256').update(config).digest('hex');
};

it('is hashed while it is written', async () => {
  const { weights } = adapterFile(source);
  expect(written).toEqual({ bytes: statSync(weights).size, hash: await hashFile(weights), configHash: configHashOf(source) });
});

describe.each([
  ['peft', ''],
  ['mlx', ''],
  ['lora-gguf', '.gguf'],
] as const)('an adapter as %s', (format, ending) => {
  const path = join(work, `${format}${ending}`);
  beforeAll(async () => {
    const adapters = [{ path: source, weight: 1 }];
    const spec = { kind: 'export', model: { path: model.path }, adapters, format, quantization: null, out: path } as const;
    await runExport({ ...spec, proof: false, cacheDir: work }, silentPort);
  });

  it('is hashed while it is read, whatever its form', async () => {
    const { weights } = adapterFile(path);
    const { opened, file } = openHashedAdapter(model, path);
    expect(file).toEqual({ bytes: statSync(weights).size, hash: await hashFile(weights), configHash: configHashOf(path) });
    expect(opened.adapter).toEqual(readAdapter(path, model));
  });

  it.skipIf(process.platform !== 'linux')('is read once', () => {
    const bytesRead = () => Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
    const before = bytesRead();
    const { file } = openHashedAdapter(model, path);
    // What is read of a file more than once are its first bytes, where its header lies.
    expect((bytesRead() - before) / file.bytes).toBeLessThan(1.5);
  });

  it('says its config and shape without its numbers', () => {
    const { config, shape } = readAdapter(path, model);
    const choices = exportChoices(model, shape);
    const { weights } = adapterFile(path);
    const bytes = readFileSync(weights);
    writeFileSync(weights, Buffer.from(bytes).fill(0xff, bytes.length - 4096));
    expect(problemOf(() => readAdapter(path, model)).code).toBe('loss-not-finite');
    const outline = openOutline(model, path).adapter;
    expect({ config: outline.config, shape: outline.shape }).toEqual({ config, shape });
    expect(exportChoices(model, outline.shape)).toEqual(choices);
    writeFileSync(weights, bytes);
  });
});
