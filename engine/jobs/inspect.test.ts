import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { silentPort } from '../testing/port.ts';
import { runInspect } from './inspect.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const root = mkdtempSync(join(tmpdir(), 'inspect-'));
afterAll(() => rmSync(root, { recursive: true }));

async function inspect(path: string) {
  const { kind, sound, summary } = await runInspect({ kind: 'inspect', path }, silentPort);
  return { kind, sound, ...Object.fromEntries(summary.map(({ label, value }) => [label, value])) };
}

it('tells models, adapters and data sets apart', async () => {
  const model = { kind: 'model', sound: true, Parameters: '20160', Layers: '2', Tokenizer: 'no' };
  expect(await inspect(join(golden, 'model'))).toMatchObject({ ...model, Format: 'Hub folder, safetensors' });
  expect(await inspect(join(golden, 'model.gguf'))).toMatchObject({ ...model, Format: 'GGUF' });
  expect(await inspect(join(golden, 'adapter'))).toMatchObject({ kind: 'adapter', Rank: '4', Alpha: '8', Tensors: '28' });
  for (const file of ['adapter_model.safetensors', 'adapter_config.json'])
    expect(await inspect(join(golden, 'adapter', file))).toMatchObject({ kind: 'adapter', Rank: '4' });
  expect(await inspect(join(golden, 'rows.jsonl'))).toMatchObject({
    kind: 'dataset',
    sound: true,
    Format: 'tokens',
    Rows: '16',
  });
});

it('knows a model by its index, and what lies in the cache of a hub', async () => {
  const folder = join(root, 'by-index');
  cpSync(join(golden, 'model'), folder, { recursive: true });
  const index = join(folder, 'model.safetensors.index.json');
  writeFileSync(index, JSON.stringify({ weight_map: { a: 'model.safetensors' } }));
  expect(await inspect(index)).toMatchObject({ kind: 'model', Layers: '2' });
  for (const kind of ['model', 'adapter']) {
    const cache = join(root, `models--someone--${kind}`);
    cpSync(join(golden, kind), join(cache, 'snapshots', 'a'.repeat(40)), { recursive: true });
    expect(await inspect(cache)).toMatchObject({ kind, sound: true });
  }
});

it('says what can be adapted, what is missing and what is read differently', async () => {
  const notesOf = async (folder: string, acceptFields: readonly string[] = []) =>
    (await runInspect({ kind: 'inspect', path: folder, acceptFields }, silentPort)).model!.notes.join(' ');
  expect(await inspect(join(golden, 'model'))).toMatchObject({
    'Adapt attention': 'q_proj, k_proj, v_proj, o_proj: 8 matrices, 448 parameters per rank',
    'Adapt MLP': 'gate_proj, up_proj, down_proj: 6 matrices, 528 parameters per rank',
    'Adapt all linear': expect.stringContaining('14 matrices, 976 parameters per rank') as string,
    'Adapt all and vocabulary': expect.stringMatching(/embed_tokens, lm_head: 16 matrices.*share their weights/) as string,
    Missing: expect.stringContaining('tokenizer') as string,
  });
  const phi = await inspect(join(golden, '../phi-qk-layernorm/model'));
  expect(phi['Missing' as keyof typeof phi]).toMatch(/llama\.cpp cannot run/);
  expect(await notesOf(join(golden, '../mistral-window/model'))).toMatch(/back 7 tokens.*GGUF/);
  expect(await notesOf(join(golden, '../llama-dynamic/model'))).toMatch(/scaled dynamically \(factor 4\)/);
  const folder = join(root, 'strange');
  cpSync(join(golden, 'model'), folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, strange_gate: 1 }));
  await expect(notesOf(folder)).rejects.toMatchObject({ code: 'field-unknown', field: 'strange_gate' });
  expect(await notesOf(folder, ['strange_gate'])).toContain("'strange_gate'");
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

it('says of a folder that only holds an adapter where it is', async () => {
  const folder = join(root, 'run');
  cpSync(join(golden, 'adapter'), join(folder, 'checkpoint-20'), { recursive: true });
  await expect(inspect(folder)).rejects.toMatchObject({
    message: expect.stringContaining("there is one in 'checkpoint-20'") as string,
    hint: `Give '${join(folder, 'checkpoint-20')}'.`,
  });
});
