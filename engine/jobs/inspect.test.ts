import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runInspect } from './inspect.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const root = mkdtempSync(join(tmpdir(), 'inspect-'));
afterAll(() => rmSync(root, { recursive: true }));

async function inspect(path: string) {
  const { kind, sound, summary } = await runInspect({ kind: 'inspect', path });
  return { kind, sound, ...Object.fromEntries(summary.map(({ label, value }) => [label, value])) };
}

it('tells models, adapters and data sets apart', async () => {
  const model = { kind: 'model', sound: true, Parameters: '20160', Layers: '2', Tokenizer: 'no' };
  expect(await inspect(join(golden, 'model'))).toMatchObject({ ...model, Format: 'Hub folder, safetensors' });
  expect(await inspect(join(golden, 'model.gguf'))).toMatchObject({ ...model, Format: 'GGUF' });
  expect(await inspect(join(golden, 'adapter'))).toMatchObject({ kind: 'adapter', Rank: '4', Alpha: '8', Tensors: '28' });
  expect(await inspect(join(golden, 'rows.jsonl'))).toMatchObject({
    kind: 'dataset',
    sound: true,
    Format: 'tokens',
    Rows: '16',
  });
});

it('names the lines of a data set that cannot be read', async () => {
  const path = join(root, 'bad.jsonl');
  writeFileSync(path, '{"text": "a"}\n{"text": \n{"text": "b"}\n');
  const found = await inspect(path);
  expect(found).toMatchObject({ kind: 'dataset', sound: false, Rows: '3', 'Rows that cannot be read': '1' });
  expect(JSON.stringify(found)).toContain('line 2');
});

it('refuses what is not there', async () => {
  await expect(inspect(join(root, 'nowhere'))).rejects.toMatchObject({ code: 'file-missing' });
});
