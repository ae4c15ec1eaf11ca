import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import type { Run } from '../contract.ts';
import { connectHost } from '../rpc.ts';

const golden = fileURLToPath(new URL('../golden/llama-tied', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lowrank-names-'));
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 }));

const windows = process.platform === 'win32';
/** Lists one name of each kind that programs stumble over; Windows has no files of some of them. */
const names = [
  'two  words, a % and 100%25',
  `it's`,
  'ordres passés',
  'ordres passe\u0301s',
  'הזמנות مرتب',
  '😀 👩‍👩‍👧',
  '-rf --help',
  '#?&=+;',
  ...(windows ? [] : ['"quoted"', 'CON', 'NUL.txt', 'a trailing dot.', 'back\\slash', '$HOME `id` $(id)', '*', 'line\nbreak']),
];

test('whatever folders and things are called, a run trains from them and its adapter is exported', async () => {
  // Deeper than what one path of most systems was once made for.
  const deep = Array.from({ length: windows ? 1 : 6 }, (_, level) => `${level} ${'long '.repeat(35)}`.trim());
  const place = join(folder, ...names.map((name, index) => `${index}${name}`), ...deep);
  mkdirSync(place, { recursive: true });
  if (!windows) expect(place.length).toBeGreaterThan(1000);
  const [model, rows] = [join(place, 'model %20'), join(place, '行 rows.jsonl')];
  cpSync(join(golden, 'model'), model, { recursive: true });
  cpSync(join(golden, 'rows.jsonl'), rows);
  await expect(connectHost(join(place, 'data')).then((deep) => deep.request('projects.list', undefined))).rejects.toThrow(
    /at most 412/,
  );
  const client = await connectHost(join(folder, names.slice(4, 6).join(' '), 'data'));
  try {
    const project = await client.request('projects.create', { name: names.join(' ') });
    const projectId = project.id;
    const modelId = (await client.request('models.add', { projectId, path: model })).id;
    const dataset = await client.request('datasets.add', { projectId, data: { paths: [rows] } });
    const ended = new Promise<Run>((done) =>
      client.on('run.changed', (run) => {
        if (run.finishedAt !== null) done(run);
      }),
    );
    const name = names.at(-2)!;
    await client.request('runs.start', {
      ...{
        projectId,
        name,
        model: { id: modelId },
        data: { versionId: dataset.version.id },
        recipe: { rank: 2, maxSteps: 1 },
      },
    });
    expect(await ended).toMatchObject({ state: 'done', problem: null, name });
    const [adapter] = await client.request('adapters.list', { projectId });
    mkdirSync(join(place, 'exports'));
    for (const exported of [names[0]!, names.at(-1)!]) {
      const out = join(place, 'exports', `${exported}.gguf`);
      const record = await client.request('exports.start', {
        ...{ projectId, model: { id: modelId }, adapters: [{ id: adapter!.id }] },
        ...({ format: 'gguf', quantization: 'f16', out, proof: false } as const),
      });
      expect(record.path).toBe(out);
      expect(readFileSync(out).subarray(0, 4).toString()).toBe('GGUF');
    }
    expect((await client.request('projects.list', undefined)).map((one) => one.name)).toContain(project.name);
  } finally {
    client.close();
  }
});
