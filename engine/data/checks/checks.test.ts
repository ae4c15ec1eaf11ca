/** Each check has rows that trip it and rows that do not, and finds the same in rows that were kept. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataCheck } from '../../contract.ts';
import { openModel } from '../../models/open.ts';
import { reportOf } from '../report.ts';
import { RowFacts } from '../row-facts.ts';
import { RowSource } from '../rows.ts';
import { openTokenizer, type Tokenizer } from '../tokenizer.ts';
import { checks } from './index.ts';
import { Sketcher, Sketches } from './sketch.ts';
import { markText } from './text-marks.ts';
import { readWords } from './words.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-checks-'));
afterAll(() => rmSync(work, { recursive: true }));
const { tokenizerSource, spec } = openModel(join(import.meta.dirname, '../../../resources/tiny/model'));
const tokenizer = openTokenizer(tokenizerSource!);
const [stop] = tokenizer.stopTokens as [number];
const changedTokenizer = (changes: Readonly<Record<string, unknown>>) =>
  new Proxy(tokenizer, {
    get(of, name) {
      const value: unknown = Object.hasOwn(changes, name) ? changes[name as string] : Reflect.get(of, name);
      return typeof value === 'function' ? (value.bind(of) as unknown) : value;
    },
  });

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const system = (content: string) => ({ role: 'system', content });
const chat = (question: string, answer = 'Yes.') => ({ messages: [user(question), assistant(answer)] });
const turns = (...messages: object[]) => ({ messages });
const many = (count: number, row: (i: number) => object) => Array.from({ length: count }, (_, i) => row(i));
const tokens = (input_ids: number[], labels?: number[]) => ({ input_ids, ...(labels === undefined ? {} : { labels }) });
const refusing = `{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}${tokenizer.chatTemplate}`;
const leavingOut = (tokenizer.chatTemplate ?? '').replace(
  '{% for message in messages %}',
  "{% for message in messages if message.role != 'system' %}",
);
/** Writes earlier answers in small letters, so that each turn is an example. */
const rewriting =
  '{% for m in messages %}<|{{ m.role }}|>\n{{ m.content if loop.last or m.role == "user" else m.content | lower }}<|end|>\n{% endfor %}' +
  '{% if add_generation_prompt %}<|assistant|>\n{% endif %}';
const long = (word: string, count = 30) => Array.from({ length: count }, (_, i) => `${word}${i}`).join(' ');

interface Given {
  readonly others?: readonly object[];
  readonly maxLength?: number;
  readonly using?: Tokenizer;
  readonly changed?: readonly string[];
  readonly newFiles?: readonly string[];
  readonly documentOverlap?: number | null;
}
let files = 0;
async function factsOf(rows: readonly object[], using: Tokenizer, folder: string | null) {
  const path = join(work, `rows-${files++}.jsonl`);
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const read = async () => {
    const cache = folder === null ? null : { folder, decidedBy: 'tokenizer' };
    const facts = new RowFacts(using);
    const source = new RowSource({ paths: [path] }, using, spec.vocabularySize, { day: '2026-07-15' }, cache);
    const { unused, repeated, formats } = await source.read((examples) => facts.add(examples));
    return { facts, unused, repeated, formats };
  };
  const first = await read();
  return folder === null ? first : read();
}
async function checked(rows: readonly object[], given: Given = {}, folder: string | null = null): Promise<DataCheck[]> {
  const { others, maxLength = 1024, using = tokenizer, changed = [], newFiles = [], documentOverlap = null } = given;
  const { facts, ...columns } = await factsOf(rows, using, folder);
  const other = others === undefined ? null : (await factsOf(others, using, folder)).facts;
  const surroundings = {
    ...columns,
    tokenizer: using,
    spec,
    others: other,
    changed,
    newFiles,
    files: [],
    documentOverlap,
    parts: [],
  };
  return [...reportOf(facts, maxLength, surroundings).checks];
}

/** Of each check: rows that trip it, which of them it lists, and rows that it has nothing to say of. */
const cases: readonly (readonly [
  name: string,
  trips: readonly object[],
  rows: readonly number[],
  fine: readonly object[],
  given?: Given & { readonly fineGiven?: Given },
])[] = [
  ['changed-files', [chat('a')], [], [chat('a')], { changed: ['/rows.jsonl'], fineGiven: {} }],
  ['new-files', [chat('a')], [], [chat('a')], { newFiles: ['/texts/new.md'], fineGiven: {} }],
  ['unusable', [chat('a'), { nothing: 1 }], [1], [chat('a')]],
  [
    'template-refuses',
    [turns(system('s'), user('a'), assistant('b')), chat('a')],
    [0],
    [chat('a')],
    { using: changedTokenizer({ chatTemplate: refusing }) },
  ],
  ['other-vocabulary', [tokens([1, 2, 999_999])], [0], [tokens([1, 2, 3])]],
  ['no-trained-token', [tokens([1, 2, 3], [-100, -100, -100]), chat('a')], [0], [chat('a')]],
  ['no-trained-token', [chat(long('word', 60)), chat('a')], [0], [chat('a')], { maxLength: 24 }],
  [
    'missing-end',
    [chat('a'), turns(user('b'), assistant('c'))],
    [0, 1],
    [chat('a')],
    { using: changedTokenizer({ stopTokens: [] }), fineGiven: {} },
  ],
  [
    'untrained-end',
    [tokens([5, 6, stop], [-100, 6, -100]), tokens([5, 6, stop], [-100, 6, stop])],
    [0],
    [tokens([5, 6, 7], [-100, 6, -100])],
  ],
  [
    'everything-trained',
    [tokens([5, 6, 7]), tokens([5, 6, 7], [-100, 6, -100])],
    [0],
    [{ text: 'all of it' }, chat('a'), { prompt: 'q', completion: 'a' }],
  ],
  [
    'left-out',
    [turns(system('Seldom said'), user('a'), assistant('b')), chat('a')],
    [0],
    [chat('a')],
    { using: changedTokenizer({ chatTemplate: leavingOut }) },
  ],
  ['special-tokens', [chat('a'), chat(`a ${tokenizer.addedTokens.get(stop)} b`)], [1], [chat('a')]],
  ['empty-turn', [chat(' '), chat('a')], [0], [chat('a'), turns(system(''), user('a'), assistant('b'))]],
  ['empty-turn', [chat('a', ' '), chat('a')], [0], [chat('a')]],
  [
    'role-order',
    [
      turns(assistant('a'), user('b'), assistant('c')),
      turns(user('a'), user('b'), assistant('c')),
      turns(user('a'), assistant('b'), assistant('c')),
      turns(user('a'), assistant('b'), user('c')),
      turns(user('a'), system('s'), assistant('b')),
    ],
    [0, 1, 2, 3, 4],
    [chat('a'), turns(system('s'), user('a'), assistant('b'), user('c'), assistant('d')), { prompt: 'a', completion: 'b' }],
  ],
  ['mojibake', [chat('cafÃ©'), chat('donâ€™t'), chat('a')], [0, 1], [chat('café don’t')]],
  ['invalid-unicode', [chat('a\ufffdb'), chat('a')], [0], [chat('a😀')]],
  ['control-characters', [chat('a\u0007b'), chat('a\u0085b'), chat('a')], [0, 1], [chat('a\tb\r\nc')]],
  [
    'control-characters',
    [chat('evil \u202egnp.exe'), chat('zw\u200b'), chat('a', '\ufeffbom'), chat('a'), chat('a\u2066b\u2069')],
    [0, 1, 2, 4],
    [chat('\u{1f468}\u200d\u{1f469}'), chat('می\u200cخواهم'), chat('שלום!\u200f')],
  ],
  ['truncated', [chat('a'), chat('a', long('word', 60))], [1], [chat('a')], { maxLength: 30 }],
  ['beyond-context', [chat(long('word', 3000)), chat('a')], [0], [chat('a')], { maxLength: 1e6 }],
  [
    'length-outliers',
    [...many(40, (i) => chat(`q ${i}`)), chat(long('word', 200))],
    [40],
    many(40, (i) => chat(long('word', i + 1))),
  ],
  ['duplicates', [chat('a'), chat('b'), chat('a')], [2], [chat('a'), chat('b')]],
  [
    'near-duplicates',
    [chat(long('lamp', 60)), chat(`${long('lamp', 59)} end`), chat(long('chair', 60))],
    [1],
    [chat(long('lamp')), chat(long('chair')), chat('one'), chat('One')],
  ],
  ['leakage', [chat('a'), chat('b')], [1], [chat('a')], { others: [chat('b')] }],
  [
    'near-leakage',
    [chat('a'), chat(long('lamp', 60))],
    [1],
    [chat('a'), chat(long('chair', 60))],
    { others: [chat(`${long('lamp', 59)} end`)] },
  ],
  [
    'answers-alike',
    many(20, (i) => chat(`q ${i}`, i < 18 ? 'yes' : 'no')),
    Array.from({ length: 18 }, (_, i) => i),
    many(20, (i) => chat(`q ${i}`, i < 10 ? 'yes' : 'no')),
  ],
  [
    'one-value',
    many(20, (i) => ({ instruction: 'Answer.', input: `q ${i}`, output: `a ${i}` })),
    [],
    many(20, (i) => ({ instruction: `q ${i}`, output: 'yes' })),
  ],
  [
    'languages',
    [
      ...many(19, (i) => chat(`What is the name of the river ${i}?`)),
      chat('Wie ist das Wetter und was ist zu tun?'),
      ...many(80, (i) => chat(`${i} + 2`, `${i + 2}`)),
    ],
    [19],
    // Of fewer rows that can be told nothing is said.
    [
      ...many(18, (i) => chat(`What is the name of the river ${i}?`)),
      chat('Wie ist das Wetter und was ist zu tun?'),
      ...many(80, (i) => chat(`${i} + 2`, `${i + 2}`)),
    ],
  ],
  [
    'personal-data',
    [
      'ann@example.org',
      '+49 170 1234567',
      '4111 1111 1111 1111',
      'DE89 3704 0044 0532 0130 00',
      'sk-abcdefghijklmnopqrstuvwx',
    ].map((text) => chat(`It is ${text}`)),
    [0, 1, 2, 3, 4],
    [
      'me @home',
      '2026-01-01 12345',
      '4111 1111 1111 1112',
      'DE88 3704 0044 0532 0130 00',
      'task-abcdefghijklmnopqrstuvwx',
      '3.14159265358979',
    ].map((text) => chat(`It is ${text}`)),
  ],
  [
    'padding-ends-turns',
    [chat('a')],
    [],
    [chat('a')],
    { using: changedTokenizer({ padding: stop }), fineGiven: { using: changedTokenizer({ padding: null }) } },
  ],
  ['asks', [chat('a')], [], [{ text: 'a' }]],
  [
    'unrolled',
    [chat('a'), turns(user('a'), assistant('B'), user('c'), assistant('d'))],
    [1],
    [chat('a')],
    { using: changedTokenizer({ chatTemplate: rewriting }) },
  ],
  ['trained-in-parts', [{ text: long('word', 60) }, chat('a')], [0], [{ text: 'a' }], { maxLength: 24, documentOverlap: 4 }],
  ['unused-columns', [{ ...chat('a'), source: 'x' }], [], [chat('a')]],
];

/** They tell what is, which is neither good nor bad. */
const telling: ReadonlySet<string> = new Set(['asks', 'read-as', 'unrolled', 'trained-in-parts', 'unused-columns']);
const isFound = ({ name, severity }: DataCheck, wanted: string): boolean =>
  name === wanted && (severity !== 'passed' || telling.has(name));

for (const [name, trips, rows, fine, given = {}] of cases)
  test(`${name} is found where it is and nowhere else`, async () => {
    const folder = join(work, `cache-${files}`);
    const found = await checked(trips, given, folder);
    const check = found.find((one) => isFound(one, name))!;
    expect(check).toMatchObject({ rows, count: rows.length });
    // Where rows are to be looked at, something can be done about them.
    if (rows.length > 0 && check.severity !== 'passed') expect(check.fix).not.toBeNull();
    const isTripped = (await checked(fine, given.fineGiven ?? given)).some((check) => isFound(check, name));
    expect(isTripped).toBe(false);
    // What was kept says the same as what was read, but for the name of the file.
    const unnamed = (all: readonly DataCheck[]) => JSON.stringify(all).replaceAll(/rows-\d+/g, 'rows');
    expect(unnamed(found)).toBe(unnamed(await checked(trips, given)));
  });

test('every check has rows that trip it, a name of its own, and says why it matters', () => {
  // Pictures are dropped by a setting, and every data set is read as something.
  const tried = new Set(['without-media', 'read-as', ...cases.map(([name]) => name)]);
  expect(checks.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual([]);
  const own = checks.filter(({ name }) => name !== 'no-trained-token' && name !== 'empty-turn').map(({ name }) => name);
  expect(new Set(own).size).toBe(own.length);
  expect(checks.filter(({ why }) => why === '')).toEqual([]);
});

test('at most ten thousand rows are listed, with the number of all', async () => {
  const found = await checked(many(10_250, (i) => chat(`${i} a\ufffdb`)));
  const check = found.find(({ name }) => name === 'invalid-unicode')!;
  expect([check.rows.length, check.count, check.title]).toEqual([10_000, 10_250, '10250 rows with characters that were lost']);
});

test('what was found is told in words: turns by their role, shares that stay on one line, the length that the model has', async () => {
  const named = async (name: string, ...given: Parameters<typeof checked>) =>
    (await checked(...given)).find((check) => check.name === name)!;
  const empty = await named('empty-turn', [turns(user(''), assistant('b')), chat('a')]);
  expect(empty.detail).toMatch(/^Found: turns of the user \(1 row\), the first in line 1\./);
  const speech = [
    ...many(49, (i) => chat(`What is the name of the river ${i}?`)),
    chat('Wie ist das Wetter und was ist zu tun?'),
  ];
  expect((await named('languages', speech)).title).toBe('Languages: English\u00a098\u00a0%, German\u00a02\u00a0%');
  const rows = [chat(long('word', 5000)), chat('a')];
  const beyond = await checked(rows, { maxLength: 2 * spec.contextLength });
  expect(beyond.find(({ title }) => title === '1 row with nothing left to train on')?.detail).toContain(
    `The model was made for ${spec.contextLength.toLocaleString('en-US')} tokens at the most: shorten them.`,
  );
});

test('what can be done is told: a longer maximum by its number, and a system turn that a template refuses is folded', async () => {
  const rows = [chat('a'), chat('a', long('word', 60))];
  const cut = (await checked(rows, { maxLength: 30 })).find(({ name }) => name === 'truncated')!;
  expect(cut.fix).toEqual({ kind: 'raise-length', to: (await factsOf(rows, tokenizer, null)).facts.longest });
  expect(cut.detail).toMatch(/50 % of the rows.*tokens at their ends are lost.*trained ones among them in 1 of the rows/);
  // No longer than the model was made for.
  const longer = (await checked([chat('a', long('word', 5000)), chat('a')], { maxLength: 30 })).find(
    ({ name }) => name === 'truncated',
  )!;
  expect(longer.fix).toEqual({ kind: 'raise-length', to: spec.contextLength });
  const unknown = await checked([{ nothing: 1 }, chat('a')]);
  expect(unknown[0]).toMatchObject({ severity: 'blocking', fix: { kind: 'map' } });
  // What failed is not called passed.
  const [readAs] = (await checked([{ nothing: 1 }])).filter(({ name }) => name === 'read-as');
  expect(readAs).toMatchObject({ severity: 'note', title: 'No row is of a known format' });
  const using = changedTokenizer({ chatTemplate: refusing });
  const refused = await checked([turns(system('s'), user('a'), assistant('b'))], { using });
  expect(refused[0]).toMatchObject({ name: 'template-refuses', severity: 'blocking', fix: { kind: 'fold-system' } });
});

const foundIn = (name: string, text: string) => markText({ kind: 'text', text }).found?.[name] ?? [];
const asLatin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1');
const asWindows1252 = (text: string) => new TextDecoder('windows-1252').decode(Buffer.from(text, 'utf8'));

test.each([
  ...[
    'café',
    'don’t',
    'für',
    '“quote”',
    'naïve',
    'à la',
    '100 €',
    '5 °C',
    '😀',
    '日本語',
    'Привет',
    'ελληνικά',
    'żółć',
    'não',
    'São',
  ],
  ...[
    'señor',
    'İstanbul',
    'שלום',
    'مرحبا',
    '—',
    '…',
    '©',
    'हिन्दी',
    'ไทยไทย',
    'čaj',
    'É',
    'ß',
    '한국어',
    '→',
    'œuvre',
    'x\u00a0y',
  ],
])('%s in a wrong encoding is seen, and as it is it is not', (text) => {
  expect([foundIn('mojibake', asLatin1(text)).length, foundIn('mojibake', asWindows1252(text)).length]).toEqual([1, 1]);
  expect(foundIn('mojibake', text)).toEqual([]);
});

test.each([
  ...[
    'CAFÉ”',
    '„GROß“',
    'MAÇÃ”',
    'hé…”',
    '«À»',
    'É»',
    '5 Å',
    'Ø 5 mm',
    '1×½',
    'Æ’',
    'irmã… “',
    'Ä…',
    'ÂÊÎ',
    'À l’heure, voilà…» fin',
  ],
  ...['ESPAÑOL™', 'MÅL', 'COMPREENSÃO', 'Đà Nẵng', 'fiancée’s', 'Æsir', 'ÎÏ'],
])('%s is no wrong encoding', (text) => {
  expect(foundIn('mojibake', text)).toEqual([]);
});

test.each([
  ['en', 'The cat is on the mat and it is happy.'],
  ['de', 'Der Hund ist nicht im Haus und schläft.'],
  ['fr', 'Le chat est sur la table et il dort.'],
  ['es', 'El gato está en la casa y no come'],
  ['pt', 'O gato não está na casa com você'],
  ['it', 'Il gatto è nella casa e non mangia con noi'],
  ['ru', 'Привет, как дела? Это не для меня, что'],
  ['uk', 'Привіт, як справи? Це не для мене, що'],
  ['ja', '日本語のテキストです'],
  ['zh', '你好,今天天气很好'],
  ['ko', '한국어 텍스트입니다'],
  ['ar', 'مرحبا كيف حالك'],
  [null, '{"intent": "order", "quantity": 4}'],
  [null, 'def f(x): return x + 1'],
  [null, '😀😀😀😀😀😀😀😀😀😀'],
])('the language %s is known by script or words', (language, text) => {
  expect(readWords([text]).language).toBe(language);
});

test('near duplicates are told from texts that share half of their words, whatever else there is', () => {
  const sketchOf = (from: number, to: number) => {
    const sketcher = new Sketcher();
    for (let word = from; word < to; word++) sketcher.add(Math.imul(word + 1, 0x9e3779b1));
    return sketcher.sketch;
  };
  const sketches = new Sketches();
  // Texts of 200 words: the odd ones share 198 of them with the one before, and all share 100 with the next pair.
  for (let i = 0; i < 2000; i++) {
    const from = Math.floor(i / 2) * 100 + (i % 2) * 2;
    sketches.add(sketchOf(from, from + 200)!, i, i);
  }
  const near = sketches.nearTo(null);
  expect(near.filter((row) => row % 2 === 0)).toEqual([]);
  expect(near.length).toBeGreaterThan(970);
  expect(sketchOf(0, 9)).toBeNull();
});

test.each([
  ...[
    'a'.repeat(1e5),
    '1'.repeat(1e5),
    '1 '.repeat(5e4),
    '+1 '.repeat(3e4),
    'eyJ'.repeat(3e4),
    'AB12'.repeat(3e4),
    'Ã'.repeat(1e5),
  ],
  ...[
    'a.'.repeat(5e4),
    'a@b.'.repeat(3e4),
    'AA11 '.repeat(2e4),
    '4111-'.repeat(2e4),
    '+1().-'.repeat(2e4),
    '-----BEGIN A '.repeat(8e3),
  ],
])('a long text that patterns could get lost in takes no longer than its length: %.12s', (text) => {
  const begun = process.cpuUsage();
  markText({ kind: 'text', text: `${text}@` });
  expect(process.cpuUsage(begun).user).toBeLessThan(2_000_000);
});
