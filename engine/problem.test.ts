import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Problem, shown, shownText, toProblemValue } from './problem.ts';

/** Title of a terminal, cleared screen, hyperlink, C1, forged lines, reversed and hidden text. */
const hostile = [
  ...['\u001b]0;title\u0007', '\u001b[2J', '\u001b]8;;http://x\u001b\\link', '\u009b31m', 'a\r\nlowrank: sound: yes'],
  ...['a\bb', '\u202etxt.exe', '\u2066x\u2069', 'a\u200bb', 'a\u2028b', '\ufeffa', '\u{e0041}', '\u007f', '\0', 'a\u00adb'],
];
const raw = /[\0-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/u;

describe('text from a file', () => {
  it.each(hostile)('is shown as text: %j', (text) => {
    for (const value of [
      shown(text),
      new Problem('internal', text, text).toValue().message,
      toProblemValue(new Error(text)).message,
    ])
      expect(value).not.toMatch(raw);
    expect(shownText(text).replace(/[\n\t\u00ad]/g, '')).not.toMatch(raw);
  });

  it('stays as it is where it is only of another language', () => {
    for (const text of ['é漢字', '👩‍👩‍👧', 'می‌خواهم', 'שלום', 'two\n\tlines']) expect(shownText(text)).toBe(text);
    expect(shown('é漢字 שלום')).toBe('é漢字 שלום');
    expect(shown('a\nb\u001b')).toBe(String.raw`a\nb\u001b`);
  });

  it('is no longer than a person reads, begin and end kept', () => {
    const { message, hint, field } = new Problem('internal', `'${'😀'.repeat(4e7)}' is it`, 'x'.repeat(1e6), {
      field: 'x'.repeat(1e6),
    }).toValue();
    expect([message.length, hint.length].every((length) => length < 4100)).toBe(true);
    expect(message).toMatch(/^'😀+ … \(\d+ characters left out\) … 😀+' is it$/u);
    expect(field).toBeUndefined();
  });
});

it('a disk that does not answer is no bug', () => {
  for (const code of ['EIO', 'ENXIO', 'ESTALE', 'EBUSY'])
    expect(toProblemValue(Object.assign(new Error(`${code}: i/o error, write`), { code }))).toMatchObject({
      code: 'file-unreadable',
      hint: expect.stringMatching(/disk/) as string,
    });
});

describe('the terminal', () => {
  const run = (code: string) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: join(import.meta.dirname, 'cli'),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  it('gets nothing of a name but its letters', () => {
    const output = run(`
      import { Output } from './output.ts';
      const output = new Output(false);
      const text = ${JSON.stringify(hostile.join(''))};
      process.stderr.write = (text) => process.stdout.write(text);
      output.line(text); output.piece(text); output.message(text); output.table([[text, text]]);
      output.problem({ code: 'internal', message: text, hint: text });
      output.progress({ phase: text, done: 0, total: 0, unit: '', secondsLeft: null });
    `);
    // Lines are ours but for those of \`piece\`, which is text.
    expect(output.replace(/\n/g, '')).not.toMatch(/[\0-\x1f\x7f-\x9f\u202e]/);
    expect(output.split('\n').filter((line) => line.startsWith('lowrank: sound'))).toHaveLength(1);
  });
});
