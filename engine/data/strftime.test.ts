import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { dayOf, localTime } from './day.ts';
import { strftime } from './strftime.ts';
import { openTemplate } from './template.ts';

const table = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/strftime.json'), 'utf8')) as {
  readonly moments: readonly string[];
  readonly texts: Readonly<Record<string, readonly string[]>>;
};

it('writes every code, flag and width as Python does', () => {
  const clocks = table.moments.map((moment) => Date.parse(`${moment}Z`));
  const written = Object.keys(table.texts).map((format) => [format, clocks.map((clock) => strftime(format, clock))]);
  expect(Object.fromEntries(written)).toEqual(table.texts);
});

describe('the day of a template', () => {
  const [zone, language] = [process.env['TZ'], process.env['LC_ALL']];
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => {
    vi.useRealTimers();
    for (const [name, value] of Object.entries({ TZ: zone, LC_ALL: language }))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  });
  const write = (chatTemplate: string, day?: string): string =>
    openTemplate({ chatTemplate, bosText: null, eosText: null }, { day }).render([{ role: 'user', content: 'Hi' }], {
      addGenerationPrompt: false,
    });
  const llama = `{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}{{ date_string }}`;

  it('is the one it was given, at midnight, in English and whatever the zone', () => {
    vi.setSystemTime(new Date('2027-01-01T12:00:00Z'));
    process.env['LC_ALL'] = 'de_DE.UTF-8';
    for (const TZ of ['Pacific/Auckland', 'America/Los_Angeles']) {
      process.env['TZ'] = TZ;
      expect(write(llama, '2026-05-06')).toBe('06 May 2026');
      expect(write(`{{ strftime_now(format="%A %-d %B %Y, %H:%M:%S.%f%z") }}`, '2026-12-09')).toBe(
        'Wednesday 9 December 2026, 00:00:00.000000',
      );
    }
  });

  it('is now and here without one', () => {
    process.env['TZ'] = 'Pacific/Auckland';
    vi.setSystemTime(new Date('2026-07-15T13:30:00Z'));
    expect(write('{{ strftime_now("%Y-%m-%d %H:%M") }}')).toBe('2026-07-16 01:30');
    expect(dayOf(Date.now())).toBe('2026-07-16');
    process.env['TZ'] = 'America/Los_Angeles';
    expect(dayOf(Date.now())).toBe('2026-07-15');
  });

  it('is refused where it is none', () => {
    for (const day of ['2026-06-31', '15.07.2026', '2026-7-1', '']) expect(() => localTime(day)).toThrow('is no day');
  });
});
