import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { readGguf } from '../formats/gguf.ts';
import { Problem } from '../problem.ts';
import { reportOfRows } from '../testing/report-of-rows.ts';
import { rememberingTokenizer, viewRow } from './report.ts';
import type { RowOrProblem, TokenRow } from './row.ts';
import { readRows } from '../testing/read-rows.ts';
import { RowSource } from './rows.ts';
import { openTokenizer } from './tokenizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-rows-'));
afterAll(() => rmSync(folder, { recursive: true }));
const tokenizer = openTokenizer({
  kind: 'gguf',
  metadata: readGguf('resources/models/SmolLM2-135M-Instruct.Q4_1.gguf').metadata,
});
const spec = { contextLength: 2048, learnedPositions: null, ropes: [] };
let files = 0;
async function rowsOf(content: string | Buffer, using: typeof tokenizer | null = tokenizer): Promise<RowOrProblem[]> {
  const path = join(folder, `${files++}.jsonl`);
  writeFileSync(path, content);
  return (await readRows({ paths: [path] }, using, 49152)).rows;
}
const trained = (row: RowOrProblem) => {
  const { labels } = row as TokenRow;
  return tokenizer.decode([...labels].filter((label) => label >= 0));
};
const codes = (rows: readonly RowOrProblem[]) => rows.map((row) => ('problem' in row ? row.problem.code : 'ok'));

describe('rows', () => {
  it('equal the reference, and pre-tokenized ones are used as they are', async () => {
    const golden = 'engine/golden/smollm2-json';
    const tokens = await readRows({ paths: [`${golden}/train.rows.jsonl`] }, null, 49152);
    const messages = await readRows({ paths: [`${golden}/train.messages.jsonl`] }, tokenizer, 49152);
    expect([tokens.format, messages.format, tokens.rows.length]).toEqual(['tokens', 'messages', 32]);
    const ids = (rows: RowOrProblem[]) => rows.map((row) => [(row as TokenRow).inputIds, (row as TokenRow).labels]);
    expect(ids(messages.rows)).toEqual(ids(tokens.rows));
  });

  it('are the same tokens when their text is not kept', async () => {
    for (const file of ['train.messages.jsonl', 'train.rows.jsonl']) {
      const path = `engine/golden/smollm2-json/${file}`;
      const kept = await readRows({ paths: [path] }, tokenizer, 49152);
      const bare: RowOrProblem[] = [];
      const source = new RowSource({ paths: [path] }, tokenizer, 49152);
      const { hash } = await source.read((examples) => bare.push(...examples));
      expect(hash).toBe(kept.hash);
      expect(bare).toEqual(kept.rows.map((row) => ({ ...row, messages: null, text: '' })));
      expect((kept.rows[0] as TokenRow).text.length).toBeGreaterThan(100);
    }
  });

  it('mean the same conversation in every format', async () => {
    const answer = '{"a": 1}';
    const rows = await rowsOf(
      [
        {
          messages: [
            { role: 'user', content: 'Hi\n\nyou' },
            { role: 'assistant', content: [{ type: 'text', text: answer }] },
          ],
        },
        {
          conversations: [
            { from: 'human', value: 'Hi\n\nyou' },
            { from: 'gpt', value: answer },
          ],
        },
        { instruction: 'Hi', input: 'you', output: answer },
        { prompt: [{ role: 'user', content: 'Hi\n\nyou' }], completion: [{ role: 'assistant', content: answer }] },
      ]
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    expect(codes(rows)).toEqual(['ok', 'ok', 'ok', 'ok']);
    for (const row of rows) {
      expect((row as TokenRow).text).toBe((rows[0] as TokenRow).text);
      expect(await trained(row)).toBe('{"a": 1}<|im_end|>');
    }
  });

  it('refuse what would change the conversation and is not known here, by its name', async () => {
    const messages = [
      { role: 'user', content: 'two?' },
      { role: 'assistant', content: '2' },
    ];
    const conversations = [
      { from: 'human', value: 'a' },
      { from: 'gpt', value: 'b' },
    ];
    const call = { role: 'assistant', content: '', tool_calls: [{ type: 'function', function: { name: 'f' } }] };
    const given = [
      { messages, tools: [{ name: 'f' }] },
      { messages: [messages[0], call] },
      { messages: [messages[0], { ...messages[1], reasoning_content: 'one and one' }] },
      { conversations, tools: '[{"name": "f"}]' },
      { instruction: 'a', output: 'b', history: [['c', 'd']] },
      { messages: [messages[0], { role: 'assistant', content: [{ type: 'image_url' }] }] },
      { messages, tools: [], id: 7 },
      { messages: [messages[0], { ...messages[1], weight: 1, tool_calls: null, name: 'x' }] },
    ];
    const rows = await rowsOf(given.map((row) => JSON.stringify(row)).join('\n'));
    const refused = 'format-unsupported';
    expect(codes(rows)).toEqual([...Array.from({ length: 5 }, () => refused), 'data-invalid', 'ok', 'ok']);
    expect(rows.slice(0, 2).map((row) => 'problem' in row && row.problem.message)).toEqual([
      expect.stringContaining("the row has 'tools'"),
      expect.stringContaining("message 2 has 'tool_calls'"),
    ]);
  });

  it('take the system text that ShareGPT has beside the turns', async () => {
    const turns = [
      { from: 'human', value: 'two?' },
      { from: 'gpt', value: '2' },
    ];
    const [beside, within] = await rowsOf(
      [{ system: 'Count.', conversations: turns }, { conversations: [{ from: 'system', value: 'Count.' }, ...turns] }]
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    expect((beside as TokenRow).text).toBe((within as TokenRow).text);
  });

  it('train no answer that the row says not to learn, wherever it stands', async () => {
    const turns = (first: object) => [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'EARLIER', ...first },
      { role: 'user', content: 'b' },
    ];
    const last = { role: 'assistant', content: 'LAST' };
    const rows = await rowsOf(
      [
        { messages: [...turns({ weight: 0 }), last] },
        { messages: [...turns({ training: false }), last] },
        { prompt: turns({}), completion: [last] },
        { messages: [...turns({}), last] },
      ]
        .map((row) => JSON.stringify(row))
        .join('\n'),
    );
    expect(await Promise.all(rows.map(trained))).toEqual([
      ...Array.from({ length: 3 }, () => 'LAST<|im_end|>'),
      'EARLIER<|im_end|>LAST<|im_end|>',
    ]);
  });

  it('train a completion and a text with their ends', async () => {
    const rows = await rowsOf('{"prompt": "2+2=", "completion": "4"}\n{"text": "just text"}');
    expect(await trained(rows[0]!)).toBe('4<|im_end|>');
    expect(await trained(rows[1]!)).toBe('just text<|im_end|>');
  });

  it('keep line numbers through a byte order mark, CRLF, blank lines and bad lines', async () => {
    const bom = Buffer.from([0xef, 0xbb, 0xbf]);
    const rows = await rowsOf(
      Buffer.concat([
        bom,
        Buffer.from('{"text": "a b"}\r\n\r\n{"text": \r\n{"text": "\\ud800"}\r\n{"text": "'),
        Buffer.from([0xff]),
        Buffer.from('"}\n[1]\n{"text": ""}\n{"other": 1}\n{"chosen": "a", "rejected": "b"}\n{"text": "c d"}'),
      ]),
    );
    expect(rows.map((row) => row.line)).toEqual([1, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(codes(rows)).toEqual([
      'ok',
      'data-invalid',
      'data-invalid',
      'data-invalid',
      'data-invalid',
      'data-empty',
      'format-unknown',
      'format-unsupported',
      'ok',
    ]);
    const second = rows[1]!;
    expect('problem' in second && second.problem).toMatchObject({
      line: 3,
      message: expect.stringMatching(/\.jsonl, line 3: /),
    });
  });

  it('name what is wrong with token ids', async () => {
    const rows = await rowsOf(
      [
        { input_ids: [1, 49152] },
        { input_ids: [1, -1] },
        { input_ids: [1, 2], labels: [1] },
        { input_ids: [1, 2], labels: [1, -100] },
        { input_ids: [] },
        { input_ids: [1, 2.5] },
        { input_ids: [1, 2] },
      ]
        .map((row) => JSON.stringify(row))
        .join('\n'),
      null,
    );
    expect(codes(rows)).toEqual([
      'token-out-of-range',
      'token-out-of-range',
      'data-invalid',
      'nothing-to-train',
      'data-empty',
      'data-invalid',
      'ok',
    ]);
  });

  it('say of a chat template that cannot be read where it is wrong, once, and blame no row', async () => {
    const path = join(folder, `${files++}.jsonl`);
    writeFileSync(path, `${JSON.stringify({ prompt: 'a', completion: 'b' })}\n`.repeat(3));
    const odd = new Proxy(tokenizer, {
      get(of, name) {
        const value: unknown = name === 'chatTemplate' ? 'a\n{{ b c }}' : Reflect.get(of, name);
        return typeof value === 'function' ? (value.bind(of) as unknown) : value;
      },
    });
    await expect(readRows({ paths: [path] }, odd, 49152)).rejects.toMatchObject({
      code: 'template-unsupported',
      message: "The model's chat template cannot be read in line 2, at {{ b c }}.",
    });
  });

  it('name a token that the tokenizer writes and the model lacks', async () => {
    const path = join(folder, `${files++}.jsonl`);
    const rows = [{ text: 'ab' }, { messages: [{ role: 'assistant', content: 'Ünlü' }] }, { input_ids: [1, 300] }];
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
    const said = (await readRows({ paths: [path] }, tokenizer, 200)).rows.map((row) => 'problem' in row && row.problem.message);
    expect(said[0]).toMatch(
      /the model's tokenizer writes "ab" as the token \d+, which the model lacks: it has 200 tokens, 0 to 199/,
    );
    expect(said[1]).toMatch(/the model's tokenizer writes ".+" as the token \d+, which the model lacks/);
    expect(said[2]).toMatch(/'input_ids' has 300 at position 1; the model has the ids 0 to 199/);
  });

  it('read a JSON list, with the line each row begins on', async () => {
    const rows = await rowsOf('[\n  {"text": "a, ]b"},\n\n  {\n "text": "c\\"d"\n},\n {"text": 1}\n]\n');
    expect(rows.map((row) => row.line)).toEqual([2, 4, 7]);
    expect(codes(rows)).toEqual(['ok', 'ok', 'data-invalid']);
    expect(codes(await rowsOf('[{"text": "a b"}, {"text"'))).toEqual(['ok', 'data-invalid']);
  });

  it('pass over a line of any length in bounded memory', async () => {
    const rows = await rowsOf(Buffer.concat([Buffer.alloc(40 * 1024 * 1024, 0x78), Buffer.from('\n{"text": "a b"}\n')]));
    expect(codes(rows)).toEqual(['data-invalid', 'ok']);
    expect(rows[1]!.line).toBe(2);
  });

  it('are told of and numbered while only blank lines are read', async () => {
    const path = join(folder, 'blank-lines.jsonl');
    writeFileSync(path, `{"text": "a"}\n${'\n \r\n'.repeat(2 << 20)}  {"text": "b"}\n\n{"text": "c"}`);
    const source = new RowSource({ paths: [path] }, tokenizer, 49152);
    const [told, lines]: [number[], number[]] = [[], []];
    await source.read(
      (examples) => lines.push(...examples.map(({ line }) => line)),
      ({ firstLine }) => void told.push(firstLine),
    );
    expect(lines).toEqual([1, (4 << 20) + 2, (4 << 20) + 4]);
    expect(told.filter((line) => line > 2 && line < 4 << 20).length).toBeGreaterThan(10);
    const page = await source.page(1, 1);
    expect(page).toMatchObject([{ index: 1, line: (4 << 20) + 2, text: 'b' }]);
  });

  // A file of Linux of which no first byte can be read.
  it.skipIf(process.platform !== 'linux')('say of which file a piece cannot be read', async () => {
    await expect(readRows({ paths: ['/proc/self/mem'] }, null, 10)).rejects.toMatchObject({
      code: 'file-unreadable',
      message: expect.stringMatching(/^'\/proc\/self\/mem' could not be read: EIO/) as string,
    });
  });

  it.each([
    [gzipSync(zstdCompressSync('{"text": "a"}')), /holds a file that is compressed with Zstandard/],
    [Buffer.from('BZh91AY'), /bzip2/],
    [Buffer.from('ARROW1\0\0'), /Arrow/],
    [Buffer.from([0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0]), /UTF-32/],
  ])('are not looked for in a file of another kind, which is named: %#', async (content, kind) => {
    await expect(rowsOf(content)).rejects.toMatchObject({
      code: 'data-invalid',
      message: expect.stringMatching(kind) as string,
    });
  });

  it('name what is nested without end by its kind', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const rows = await rowsOf(`{"input_ids": ${deep}}\n{"messages": [{"role": ${deep}}]}\n{"text": "a b c"}`);
    expect(codes(rows)).toEqual(['data-invalid', 'data-invalid', 'ok']);
  });

  it('say that a file is missing or empty, or that text needs a tokenizer', async () => {
    await expect(readRows({ paths: [join(folder, 'none.jsonl')] }, null, 10)).rejects.toMatchObject({ code: 'file-missing' });
    await expect(rowsOf('\n \n')).rejects.toMatchObject({ code: 'data-empty' });
    expect(codes(await rowsOf('{"text": "a"}', null))).toEqual(['tokenizer-missing']);
  });
});

describe('conversations whose template writes earlier turns differently', () => {
  const hub = tokenizer.toHubFiles();
  const cutting = openTokenizer({
    kind: 'hub',
    tokenizerJson: hub['tokenizer.json'],
    tokenizerConfig: { eos_token: '<|im_end|>' },
    generationConfig: null,
    chatTemplate: `{% for m in messages %}{% if m.role != 'tool' %}{{ '<|im_start|>' + m.role + '\n' + (m.content if loop.last else m.content.split('</think>')[-1]) + '<|im_end|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
  });
  const row = (...contents: string[]) =>
    JSON.stringify({
      messages: contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
    });

  it('become an example for each turn, under the number of their row', async () => {
    const rows = await rowsOf([row('a', 'b'), row('a', '<think>1</think>b', 'c', 'd'), '{', row('e', 'f')].join('\n'), cutting);
    expect(rows.map(({ index, line }) => [index, line])).toEqual([
      [0, 1],
      [1, 2],
      [1, 2],
      [2, 3],
      [3, 4],
    ]);
    const [, first, second] = rows as TokenRow[];
    expect([first!.turn, second!.turn, (rows[0] as TokenRow).turn]).toEqual([1, 2, null]);
    expect([await trained(first!), await trained(second!)]).toEqual(['<think>1</think>b<|im_end|>', 'd<|im_end|>']);
    expect([first!.messages!.length, second!.messages!.length]).toEqual([2, 4]);
    expect((await viewRow(first!, cutting, 99)).turn).toBe(1);
  });

  it('count as rows and as examples, and are compared as rows', async () => {
    const two = row('a', '<think>1</think>b', 'c', 'd');
    const rows = await rowsOf([two, row('a', '<think>1</think>b', 'c', 'other'), two].join('\n'), cutting);
    const report = reportOfRows({ rows, unused: [] }, [], 1024, { spec, tokenizer: cutting });
    expect(report).toMatchObject({ rows: 3, examples: 6, duplicateRows: 1 });
    const repeated = report.checks.find(({ title }) => title.endsWith('repeated'));
    expect(repeated?.rows).toEqual([2]);
    expect(reportOfRows({ rows, unused: [] }, [], 18, { spec, tokenizer: cutting }).truncatedRows).toBe(3);
  });

  it('cannot be used at all where one turn cannot', async () => {
    const rows = await rowsOf([row('a', '<think>1</think>b', 'c', ''), row('a', 'b')].join('\n'), cutting);
    expect(codes(rows)).toEqual(['data-empty', 'ok']);
    expect(reportOfRows({ rows, unused: [] }, [], 1024, { spec, tokenizer: cutting }).checks[0]).toMatchObject({
      severity: 'blocking',
      rows: [0],
    });
  });

  it('are named where a message spells a special token, and not for a thought', async () => {
    const rows = await rowsOf(
      [row('a', 'b'), row('a<|im_end|>\n<|im_start|>assistant\nhaha', 'b'), row('a', '<think>1</think>b')].join('\n'),
      cutting,
    );
    const { checks } = reportOfRows({ rows, unused: [] }, [], 1024, { spec, tokenizer: cutting });
    expect(checks.filter(({ title }) => title.includes('special tokens'))).toMatchObject([
      {
        severity: 'warning',
        title: '1 row with special tokens in what messages say',
        detail: expect.stringMatching(/<\|im_end\|>.*the first in line 2\./) as string,
        rows: [1],
      },
    ]);
  });

  it('are named with what the template leaves out, and with turns that do not end', async () => {
    const tool = JSON.stringify({
      messages: [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
        { role: 'tool', content: 'TOOLTEXT' },
        { role: 'assistant', content: 'c' },
      ],
    });
    const dropped = reportOfRows({ rows: await rowsOf([row('a', 'b'), tool].join('\n'), cutting), unused: [] }, [], 1024, {
      spec,
      tokenizer: cutting,
    });
    expect(dropped.checks.find(({ name }) => name === 'left-out')).toMatchObject({
      severity: 'warning',
      title: '1 row with messages that the chat template leaves out, whole or in part',
      detail: expect.stringContaining('role tool; the first is message 3 of line 2') as string,
      rows: [1],
    });
    const endless = openTokenizer({
      kind: 'hub',
      tokenizerJson: hub['tokenizer.json'],
      tokenizerConfig: { eos_token: '<|im_end|>' },
      generationConfig: null,
      chatTemplate: `{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}`,
    });
    const report = reportOfRows(
      { rows: await rowsOf([row('a', 'b', 'c', 'd'), row('e', 'f')].join('\n'), endless), unused: [] },
      [],
      1024,
      { spec, tokenizer: endless },
    );
    expect(report.checks.find(({ name }) => name === 'missing-end')).toMatchObject({
      severity: 'warning',
      title: '3 turns do not end in a token that ends an answer',
      detail: expect.stringContaining('Known are <|endoftext|>, <|im_end|>') as string,
      rows: [0, 1],
    });
  });
});

it('a text of which the tokenizer takes all memory ends the reading and is named: it cannot be left out', async () => {
  const path = join(folder, 'growing.jsonl');
  writeFileSync(path, `${JSON.stringify({ text: 'short' })}\n${JSON.stringify({ text: 'long words '.repeat(300_000) })}\n`);
  const memory = vi.spyOn(process.memoryUsage, 'rss').mockReturnValueOnce(2 ** 30);
  memory.mockReturnValue(6 * 2 ** 30);
  try {
    await expect(readRows({ paths: [path] }, tokenizer, 49152)).rejects.toMatchObject({
      code: 'out-of-memory',
      message: `${path}, line 2: The tokenizer took more than 4 GB of memory for a text.`,
    });
  } finally {
    memory.mockRestore();
  }
});

it('ends with the row that a tokenizer is never through with, not with every row after it', async () => {
  const path = join(folder, 'endless.jsonl');
  writeFileSync(path, '{"text": "a"}\n'.repeat(1000));
  let asked = 0;
  const never = (): Promise<never> => {
    asked++;
    return Promise.reject(new Problem('tokenizer-unsupported', 'The tokenizer needed more than 20 seconds for one text.', 'x'));
  };
  const endless = new Proxy(tokenizer, {
    get: (target, name) => {
      if (name === 'encode' || name === 'encodeWithOffsets') return never;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  await expect(readRows({ paths: [path] }, endless, 49152)).rejects.toMatchObject({
    code: 'tokenizer-unsupported',
    message: `${path}, line 1: The tokenizer needed more than 20 seconds for one text.`,
  });
  expect(asked).toBeLessThanOrEqual(32);
});

it('tells of a long row again and again, and ends with whoever followed', async () => {
  const path = join(folder, 'long-row.jsonl');
  writeFileSync(path, '{"text": "a"}\n');
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    const long = new Proxy(tokenizer, {
      get: (target, name) => {
        if (name === 'encode') return () => new Promise(() => queueMicrotask(() => vi.advanceTimersByTime(60_000)));
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    let told = 0;
    const watch = () => {
      if (++told > 3) throw new Error('enough');
    };
    await expect(new RowSource({ paths: [path] }, long, 49152).read(() => {}, watch)).rejects.toThrow('enough');
  } finally {
    vi.useRealTimers();
  }
});

describe('a template that never ends for some rows', () => {
  it('fails those rows only', async () => {
    const loop =
      '{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}x{% endfor %}{% endfor %}{% endfor %}';
    const hub = tokenizer.toHubFiles();
    const strange = openTokenizer({
      kind: 'hub',
      tokenizerJson: hub['tokenizer.json'],
      tokenizerConfig: { eos_token: '<|im_end|>' },
      generationConfig: null,
      chatTemplate: `{% if messages[0].content == 'loop' %}${loop}{% endif %}${tokenizer.chatTemplate}`,
    });
    const row = (content: string) =>
      JSON.stringify({
        messages: [
          { role: 'user', content },
          { role: 'assistant', content: 'ok' },
        ],
      });
    const rows = await rowsOf([row('a'), row('loop'), row('b')].join('\n'), strange);
    expect(codes(rows)).toEqual(['ok', 'template-failed', 'ok']);
    expect(await trained(rows[2]!)).toBe('ok<|im_end|>');
  });
});

describe('the report', () => {
  it('counts, and finds repeated, long, leaked and broken rows', async () => {
    const golden = 'engine/golden/smollm2-json';
    const { rows } = await readRows({ paths: [`${golden}/train.messages.jsonl`] }, tokenizer, 49152);
    const lines = readFileSync(`${golden}/train.messages.jsonl`, 'utf8').trim().split('\n');
    const mixed = await rowsOf([...lines.slice(0, 3), lines[0], '{"text": '].join('\n'));
    const clean = reportOfRows({ rows, unused: [] }, [], 1024, { spec, tokenizer });
    const tokens = rows.reduce((sum, row) => sum + (row as TokenRow).inputIds.length, 0);
    // The first eight steps of the reference run see each of the 32 rows once; these are its supervised tokens.
    expect(clean).toMatchObject({ rows: 32, tokens, trainedTokens: 173 + 170 + 179 + 173 + 180 + 175 + 181 + 176 });
    expect(clean.lengths.reduce((sum, bucket) => sum + bucket.rows, 0)).toBe(32);
    expect(clean.checks.filter(({ severity }) => severity === 'warning' || severity === 'blocking')).toEqual([]);
    const report = reportOfRows({ rows: mixed, unused: [] }, rows, 80, { spec, tokenizer });
    expect(report).toMatchObject({ rows: 5, duplicateRows: 1 });
    expect(report.truncatedRows).toBeGreaterThan(0);
    const found = Object.fromEntries(report.checks.map((check) => [check.title.replace(/^\d+ /, ''), check.rows]));
    expect(found['row cannot be used']).toEqual([4]);
    expect(found['row repeated']).toEqual([3]);
    expect(found['rows in both training and evaluation']).toEqual([0, 1, 2, 3]);
  });

  it('cuts at the positions a model has, and names rows that are longer than it was made for', async () => {
    const rows = await rowsOf(
      [9, 12, 30].map((length) => JSON.stringify({ input_ids: Array.from({ length }, (_, i) => i) })).join('\n'),
    );
    const learned = reportOfRows({ rows, unused: [] }, [], 1024, {
      spec: { contextLength: 10, learnedPositions: 10, ropes: [] },
      tokenizer,
    });
    expect(learned).toMatchObject({ truncatedRows: 2, maxLength: 10 });
    const long = learned.checks.find(({ title }) => title === '2 rows longer than 10 tokens')!;
    expect(long.rows).toEqual([1, 2]);
    expect(long.detail).toContain('The model has no more positions');
    const titles = (maxLength: number, factor: number) => {
      const scaling = { kind: 'linear', factor } as const;
      const rope = { theta: 10_000, dimension: 4, interleaved: false, scaling };
      return reportOfRows({ rows, unused: [] }, [], maxLength, {
        spec: { contextLength: 10, learnedPositions: null, ropes: [rope] },
        tokenizer,
      }).checks.map(({ severity, title }) => `${severity}: ${title}`);
    };
    expect(titles(1024, 1)).toContain("warning: 2 rows longer than the model's context of 10 tokens");
    expect(titles(1024, 2)).toContain("warning: 1 row longer than the model's context of 20 tokens");
    expect(titles(10, 1).join()).not.toContain('context');
  });

  it('shows every token with its text and role', async () => {
    const [row] = await rowsOf(
      JSON.stringify({
        messages: [
          { role: 'user', content: 'é😀' },
          { role: 'assistant', content: 'ok' },
        ],
      }),
    );
    const whole = await viewRow(row!, tokenizer, 1024);
    expect(await viewRow(row!, rememberingTokenizer(tokenizer), 1024)).toEqual(whole);
    expect(whole.tokens.map((token) => token.text).join('')).toBe((row as TokenRow).text);
    expect(whole.trainedTokens).toBe(2);
    expect(whole.tokens.slice(-3).map((token) => token.role)).toEqual(['trained', 'trained', 'ignored']);
    expect(whole.tokens[0]!.role).toBe('special');
    const cut = await viewRow(row!, tokenizer, whole.tokens.length - 2);
    expect(cut.tokens.slice(-3).map((token) => token.role)).toEqual(['trained', 'truncated', 'truncated']);
  });
});
