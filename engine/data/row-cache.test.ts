/** Rows are made into tokens once: whoever reads the same rows again gets the same from what was kept, and from nothing that is damaged. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { openModel } from '../models/open.ts';
import type { ColumnMapping } from '../contract.ts';
import type { RowOrProblem, RowReading, TokensSummary } from './row.ts';
import { RowSource } from './rows.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-row-cache-'));
afterAll(() => rmSync(work, { recursive: true }));
const { tokenizerSource, spec } = openModel(join(import.meta.dirname, '../../resources/tiny/model'));
const tokenizer = openTokenizer(tokenizerSource!);
const own = tokenizer.chatTemplate!;

/** Writes earlier answers in small letters, so that each turn is an example, and leaves out system turns. */
const rewriting =
  "{% for m in messages %}{% if m.role != 'system' %}<|{{ m.role }}|>\n{{ m.content if loop.last or m.role == 'user' else m.content | lower }}<|end|>\n{% endif %}{% endfor %}" +
  '{% if add_generation_prompt %}<|assistant|>\n{% endif %}';
const dated = own.replace('{{ bos_token }}', '{{ bos_token }}{{ strftime_now("%d %B %Y") }}');
const withTemplate = (chatTemplate: string) =>
  new Proxy(tokenizer, { get: (of, name) => (name === 'chatTemplate' ? chatTemplate : bound(of, name)) });

let folder: string;
let count = 0;
beforeEach(() => {
  folder = join(work, `cache-${count++}`);
});
function bound(of: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(of, name);
  return typeof value === 'function' ? (value.bind(of) as unknown) : value;
}
/** Counts the texts that are made into tokens. */
function counting(of: Tokenizer): Tokenizer & { texts: number } {
  let texts = 0;
  return new Proxy(of, {
    get: (target, name) => {
      if (name === 'texts') return texts;
      if (name === 'encode' || name === 'encodeWithOffsets') texts++;
      return bound(target, name);
    },
  }) as Tokenizer & { texts: number };
}

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const kinds: readonly unknown[] = [
  { messages: [user('Hello'), assistant('Good morning'), user('And?'), assistant('Good night')], id: 7 },
  { messages: [{ role: 'system', content: 'Be kind' }, user('Hi'), assistant('Ho')] },
  { messages: [user(`Say ${[...tokenizer.addedTokens.values()].at(-1)}`), assistant('No')] },
  { messages: [user('Nothing'), assistant('')] },
  { text: 'A lamp is a lamp.', source: 'shop' },
  { prompt: 'One and one is ', completion: 'two' },
  { input_ids: [5, 6, 7], labels: [-100, 9, 7] },
  { input_ids: [5, -6, 7] },
  'no row',
  { instruction: 'Count', output: 'One, two', other: null },
];
function newFile(rows: readonly unknown[], name = `rows-${count++}.jsonl`): string {
  const path = join(work, name);
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`);
  writeFileSync(path, name.endsWith('.json') ? `[\n${lines.join(',')}]` : lines.join(''));
  return path;
}
interface Asked extends RowReading {
  readonly using?: Tokenizer;
  readonly mapping?: ColumnMapping;
  readonly isKept?: boolean;
  readonly decidedBy?: string;
}
async function read(
  paths: readonly string[],
  { using = tokenizer, mapping, isKept = true, decidedBy = 'tokenizer', day = '2026-07-15', ...settings }: Asked = {},
): Promise<{ rows: RowOrProblem[]; summary: TokensSummary; source: RowSource }> {
  const files = { paths, ...(mapping && { mapping }) };
  const source = new RowSource(files, using, spec.vocabularySize, { day, ...settings }, isKept ? { folder, decidedBy } : null);
  const rows: RowOrProblem[] = [];
  const summary = await source.read((examples) => rows.push(...examples));
  return { rows, summary, source };
}
const plain = ({ rows, summary }: Awaited<ReturnType<typeof read>>) => ({ rows, summary });

test.each([
  ['the template of the model', own],
  ['one that rewrites history', rewriting],
  ['one that is dated', dated],
  ['one that refuses', '{{ raise_exception("no") }}'],
])('rows of all kinds are the same from what was kept, in their order: %s', async (_, template) => {
  const paths = [
    newFile(kinds),
    newFile(kinds.toReversed(), 'list.json'),
    newFile(Array.from({ length: 700 }, (__, i) => ({ text: `${i} lamps` }))),
  ];
  const fresh = await read(paths, { using: withTemplate(template), isKept: false });
  const [first, again] = [counting(withTemplate(template)), counting(withTemplate(template))];
  expect(plain(await read(paths, { using: first }))).toEqual(plain(fresh));
  expect(first.texts).toBeGreaterThan(700);
  const kept = await read(paths, { using: again });
  expect(again.texts).toBe(0);
  expect(plain(kept)).toEqual(plain(fresh));
  expect(fresh.rows.some((row) => 'problem' in row)).toBe(true);
  // A page is found in the files by what was kept.
  const page = await kept.source.page(714, 2);
  expect(page.map(({ index, line }) => [index, line])).toEqual([
    [714, 695],
    [715, 696],
  ]);
  expect((page[0] as { text: string }).text).toBe('694 lamps');
});

test('the templates of these tests make several examples of a row, marks and a date', async () => {
  const path = newFile(kinds);
  const examples = (await read([path], { using: withTemplate(rewriting) })).rows.filter(({ index }) => index === 0);
  expect(examples.map((row) => ('turn' in row ? row.turn : null))).toEqual([1, 2]);
  const { rows } = await read([path], { using: withTemplate(rewriting) });
  expect(rows.some((row) => 'leftOut' in row && row.leftOut.length > 0)).toBe(true);
  expect(rows.some((row) => 'specialTokensInText' in row && row.specialTokensInText.length > 0)).toBe(true);
});

test('what decides the tokens decides what is taken, and nothing else does', async () => {
  const path = newFile(kinds);
  const files = () => readdirSync(folder).length;
  await read([path]);
  expect(files()).toBe(1);
  // Neither another day nor another process, where the template prints none.
  await read([path], { day: '2026-12-24' });
  expect(files()).toBe(1);
  const day = async (day: string) => (await read([path], { using: withTemplate(dated), decidedBy: 'dated', day })).rows;
  expect(await day('2026-07-15')).not.toEqual(await day('2026-12-24'));
  expect(files()).toBe(3);
  expect(await day('2026-07-15')).toEqual((await read([path], { using: withTemplate(dated), isKept: false })).rows);
  expect(files()).toBe(3);
  const without = await read([path], { addEosToken: false });
  expect(plain(without)).toEqual(plain(await read([path], { addEosToken: false, isKept: false })));
  expect(files()).toBe(4);
  await read([path], { decidedBy: 'another tokenizer' });
  await read([path], { mapping: { question: null, answer: 'text', system: null } });
  expect(files()).toBe(6);
  // A template that prints the time has no day to be kept by.
  const hourly = { using: withTemplate(dated), decidedBy: 'dated', day: undefined };
  await new RowSource({ paths: [path] }, hourly.using, spec.vocabularySize, {}, { folder, decidedBy: 'dated' }).read(() => {});
  expect(files()).toBe(6);
  writeFileSync(path, `${readFileSync(path, 'utf8')}{"text": "one more"}\n`);
  expect((await read([path])).rows).toEqual((await read([path], { isKept: false })).rows);
  expect(files()).toBe(7);
});

test('rows before the damage of a kept file are taken, the others made again, and the file too', async () => {
  const path = newFile([...kinds, ...Array.from({ length: 1500 }, (_, i) => ({ text: `${i} lamps` }))]);
  const fresh = await read([path], { isKept: false });
  await read([path]);
  const kept = join(folder, readdirSync(folder)[0]!);
  const whole = readFileSync(kept);
  for (const place of [0, Math.floor(whole.length / 2), whole.length - 2]) {
    const damaged = Buffer.from(whole);
    damaged[place]! ^= 16;
    writeFileSync(kept, damaged);
    expect(plain(await read([path]))).toEqual(plain(fresh));
    expect(readFileSync(kept).equals(whole)).toBe(true);
  }
});

test('a reading that is stopped leaves nothing, and one from what was kept is stopped too', async () => {
  const path = newFile(Array.from({ length: 3000 }, (_, i) => ({ text: `${i} lamps` })));
  const stopAt = async (wanted: number) => {
    const source = new RowSource({ paths: [path] }, tokenizer, spec.vocabularySize, {}, { folder, decidedBy: 'tokenizer' });
    const told: number[] = [];
    const reading = source.read(
      () => {},
      ({ rows, bytes, totalBytes }) => {
        told.push(rows);
        expect(bytes).toBeLessThanOrEqual(totalBytes);
        if (rows >= wanted) throw new Error('stopped');
      },
    );
    await expect(reading).rejects.toThrow('stopped');
    return told;
  };
  await stopAt(1000);
  expect(readdirSync(folder)).toEqual([]);
  await read([path]);
  const told = await stopAt(1000);
  expect(told.length).toBeGreaterThan(1);
  expect(told.at(-1)).toBeLessThan(1600);
});

test('a row that was given up for the time it took is not kept as one that cannot be used', { timeout: 120_000 }, async () => {
  const loop = `{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}`;
  const using = withTemplate(`{% if messages[0].content == 'loop' %}${loop}{% endif %}${own}`);
  const path = newFile([{ messages: [user('loop'), assistant('a')] }, { messages: [user('b'), assistant('c')] }]);
  const { rows, summary } = await read([path], { using });
  expect(rows.map((row) => 'problem' in row && row.problem.code)).toEqual(['template-failed', false]);
  expect(summary.notKept).toBeNull();
  expect(readdirSync(folder)).toEqual([]);
});

test('where nothing can be kept the rows are read all the same, and why is said', async () => {
  const path = newFile(kinds);
  writeFileSync(folder, '');
  const { rows, summary } = await read([path]);
  expect(rows).toEqual((await read([path], { isKept: false })).rows);
  expect(summary.notKept).toContain('cannot be written');
});

test('a page far down is read without the rows before it where an earlier reading has kept where rows begin', async () => {
  const rows = Array.from({ length: 6000 }, (_, i) => ({ prompt: `Lamp ${i}: `, completion: `${i}` }));
  const [first, second] = [newFile(rows.slice(0, 5500)), newFile(rows.slice(5500))];
  await read([first, second]);
  const source = new RowSource(
    { paths: [first, second] },
    tokenizer,
    spec.vocabularySize,
    { day: '2026-07-15' },
    { folder, decidedBy: 'tokenizer' },
  );
  for (const [offset, file] of [
    [5990, second],
    [5501, second],
    [5490, first],
    [4800, first],
  ] as const) {
    const told: number[] = [];
    const page = await source.page(offset, 5, ({ rows, bytes }) => void (bytes > 0 && told.push(rows)));
    expect(page.map((row) => 'text' in row && row.text)).toEqual(
      rows.slice(offset, offset + 5).map(({ prompt }) => expect.stringContaining(prompt) as string),
    );
    expect(page[0]).toMatchObject({ index: offset, file, line: offset < 5500 ? offset + 1 : offset - 5499 });
    expect(Math.min(...told)).toBeGreaterThan(offset - 600);
  }
});

test('a page is the same whichever rows were read before it, in every format, with blank, broken and rewritten lines', async () => {
  const row = (i: number) => JSON.stringify({ prompt: `Lamp ${i}`, completion: `${i}` });
  const lines = Array.from({ length: 90 }, (_, i) => `${'\n \n'.repeat(i % 3)}${i % 7 === 0 ? '{"broken' : row(i)}\r\n`);
  const [jsonl, csv, list] = ['lines.jsonl', 'table.csv', 'list.json'].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(jsonl, `\ufeff${lines.join('')}   `);
  writeFileSync(csv, `prompt,completion\n${Array.from({ length: 30 }, (_, i) => `"Lamp\n${i}",${i}\n`).join('')}`);
  writeFileSync(list, `[${Array.from({ length: 40 }, (_, i) => row(i)).join(',\n')}]`);
  const changes = [
    { kind: 'edit', path: jsonl, row: { row: 80, hash: 'none' }, value: {} },
    { kind: 'replace', find: 'Lamp', with: 'Torch' },
  ] as const;
  const files = { paths: [jsonl, csv, list], changes, split: 'train' } as const;
  const newSource = () => new RowSource(files, tokenizer, spec.vocabularySize);
  const whole: RowOrProblem[] = [];
  await newSource().readWhole((examples) => whole.push(...examples));
  expect(whole).toHaveLength(160);
  expect(JSON.stringify(whole)).toContain('Torch 3');
  const [source, tried] = [newSource(), [150, 3, 119, 88, 121, 0, 90, 158]];
  for (const offset of tried) {
    expect(await newSource().page(offset, 5)).toEqual(whole.slice(offset, offset + 5));
    expect(await source.page(offset, 5)).toEqual(whole.slice(offset, offset + 5));
  }
  expect(await newSource().page(160, 5)).toEqual([]);
});
