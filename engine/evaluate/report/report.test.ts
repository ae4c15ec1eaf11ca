import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { EvaluationReport, ReportedRow } from '../../contract.ts';
import type { MeasureName } from '../../measures.ts';
import { reportCsv, reportMarkdown } from './report-text.ts';
import { type ContestantResult, evaluationReport, generalReport } from './report.ts';

/** Returns pseudo-random numbers from 0 to 1 (a linear congruential generator of its own, so that no draw is shared). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (1_103_515_245 * state + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

type Scores = ReportedRow['scores'];
const contestant = (
  name: string,
  count: number,
  scores: (row: number) => Scores,
  more: Partial<ContestantResult> & {
    readonly promptTokens?: number;
    readonly seconds?: number;
    readonly perSource?: number;
  } = {},
): ContestantResult => ({
  ...{ name, trained: name.startsWith('adapter') },
  ...(more.training === undefined ? {} : { training: more.training }),
  rows: Array.from({ length: count }, (_, row) => ({
    ...{ row, answer: `answer ${row}`, scores: scores(row), source: `${Math.floor(row / (more.perSource ?? 1))}` },
    ...{ supervisedTokens: 1 + (row % 7), promptTokens: more.promptTokens ?? 50, answerTokens: 20, seconds: more.seconds ?? 1 },
  })),
});
/** Makes scores that are 1 in the rows that a share of the numbers says. */
const rights = (share: number, seed: number, measure: MeasureName = 'json') => {
  const next = numbers(seed);
  const all = Array.from({ length: 2000 }, () => Number(next() < share));
  return (row: number): Scores => ({ [measure]: all[row]! });
};
const few = { resamples: 2000 };
const reportOf = (...results: ContestantResult[]) => evaluationReport(results, { measures: ['json'], ...few });

describe('a report', () => {
  const draw = numbers(5);
  const graded = Array.from({ length: 3 }, () => Array.from({ length: 90 }, () => [draw(), draw() * 3, draw()] as const));
  const scoresOf = (who: number, share: number) => (row: number) => ({
    json: Number(graded[who]![row]![0] < share),
    chrf: Math.min(1, graded[who]![row]![2] * share + 0.1),
    loss: graded[who]![row]![1],
    ...(row % 9 === 0 ? {} : { regex: Number(graded[who]![row]![2] < share) }),
  });
  const results = [
    contestant('base', 90, scoresOf(0, 0.4), { perSource: 2, promptTokens: 60, seconds: 2 }),
    contestant('few-shot', 90, scoresOf(1, 0.6), { perSource: 2, promptTokens: 400, seconds: 4 }),
    contestant('adapter', 90, scoresOf(2, 0.9), {
      perSource: 2,
      seconds: 1,
      training: { seconds: 600, parameters: 9, bytes: 36, seed: 0 },
    }),
  ];
  const report = evaluationReport(results, {
    measures: ['json', 'chrf', 'loss', 'regex', 'perplexity'],
    hashes: { rows: 'ab' },
  });

  it('has only numbers that another implementation finds in its rows', () => {
    // The JSON is all that this one sees.
    const { contestants, pairs, rows, hashes } = JSON.parse(JSON.stringify(report)) as EvaluationReport;
    expect(contestants.map(({ name }) => name)).toEqual(['base', 'few-shot', 'adapter']);
    for (const { name, measures, ...costs } of contestants) {
      const own = rows.filter((row) => row.contestant === name);
      for (const cost of ['promptTokens', 'answerTokens'] as const)
        expect(costs[cost]).toBeCloseTo(own.reduce((sum, row) => sum + row[cost]!, 0) / own.length, 9);
      expect(costs.secondsPerAnswer).toBeCloseTo(own.reduce((sum, row) => sum + row.seconds!, 0) / own.length, 9);
      expect(Object.keys(measures)).toEqual(['json', 'chrf', 'loss', 'regex']);
      for (const [measure, mean] of Object.entries(measures)) {
        const scored = own.filter(({ scores }) => measure in scores);
        const items = scored.map((row) => ({
          ...{ value: row.scores[measure as MeasureName]!, source: row.source },
          weight: measure === 'loss' ? row.supervisedTokens : 1,
        }));
        expect(mean.n).toBe(scored.length);
        expectMean(mean, items);
      }
    }
    expect(pairs).toHaveLength(3 * 4);
    for (const pair of pairs) {
      const score = (name: string, row: number) =>
        rows.find((one) => one.contestant === name && one.row === row)?.scores[pair.measure];
      const items: { value: number; source: string; weight: number }[] = [];
      const table = { both: 0, onlyA: 0, onlyB: 0, neither: 0 };
      for (const { row, source, supervisedTokens } of rows.filter((one) => one.contestant === pair.a)) {
        const [a, b] = [score(pair.a, row), score(pair.b, row)];
        if (a === undefined || b === undefined) continue;
        items.push({ value: a - b, source, weight: pair.measure === 'loss' ? supervisedTokens : 1 });
        table[a === 1 ? (b === 1 ? 'both' : 'onlyA') : b === 1 ? 'onlyB' : 'neither']++;
      }
      expect(pair.n).toBe(items.length);
      expectMean({ value: pair.difference, low: pair.low, high: pair.high }, items);
      const isShare = ['json', 'regex'].includes(pair.measure);
      if (isShare) expect(pair).toMatchObject(table);
      else expect([pair.both, pair.onlyA, pair.onlyB, pair.neither, pair.mcnemar]).toEqual([null, null, null, null, null]);
      if (isShare) expect(pair.mcnemar).toBeCloseTo(plainMcnemar(table.onlyA, table.onlyB), 9);
      expect(Math.abs(pair.p - plainSignFlips(items))).toBeLessThan(0.025);
    }
    for (const group of Map.groupBy(pairs, ({ a, b }) => `${a} ${b}`).values())
      for (const { p, corrected } of group) {
        // Holm's correction is the largest of the corrections of all smaller values.
        const sorted = group.map((one) => one.p).toSorted((x, y) => x - y);
        const each = sorted.slice(0, sorted.lastIndexOf(p) + 1).map((one) => one * (group.length - sorted.indexOf(one)));
        expect(corrected).toBeCloseTo(Math.min(1, Math.max(...each)), 9);
      }
    expect(hashes).toEqual({ rows: 'ab', answers: createHash('sha256').update(JSON.stringify(rows)).digest('hex') });
    // Base takes 2 seconds and the adapter 1; the training took 600.
    expect(contestants.map(({ breakEvenAnswers }) => breakEvenAnswers)).toEqual([null, null, 600]);
  });

  it('claims no time that a training pays back from seconds alone, or with worse answers', () => {
    const training = { seconds: 600, parameters: 9, bytes: 36, seed: 0 };
    const paidBack = (base: { readonly promptTokens: number; readonly share: number }): number | null =>
      reportOf(
        contestant('base', 120, rights(base.share, 9), { promptTokens: base.promptTokens, seconds: 2 }),
        contestant('adapter', 120, rights(0.5, 9), { training }),
      ).contestants[1]!.breakEvenAnswers;
    expect(paidBack({ promptTokens: 60, share: 0.5 })).toBe(600);
    expect(paidBack({ promptTokens: 50, share: 0.5 })).toBeNull();
    expect(paidBack({ promptTokens: 60, share: 0.9 })).toBeNull();
    const same = rights(0.9, 17);
    const noisy = reportOf(contestant('base', 400, same, { seconds: 2 }), contestant('adapter', 400, same));
    expect(noisy.verdict.code).toBe('not-worth-it');
  });

  it('is the same for the same rows', () => {
    expect(evaluationReport(results, { measures: ['json'], ...few })).toEqual(
      evaluationReport(results, { measures: ['json'], ...few }),
    );
  });

  it('gives shares of independent rows the interval of Wilson, and never an interval of no width', () => {
    const { contestants, pairs } = reportOf(
      contestant('base', 20, () => ({ json: 0 })),
      contestant('adapter', 20, () => ({ json: 0 })),
    );
    expect(contestants[0]!.measures.json!.high.toFixed(4)).toBe('0.1611');
    expect(pairs[0]).toMatchObject({ neither: 20, difference: 0, mcnemar: 1 });
    expect(pairs[0]!.high).toBeCloseTo(0.1611, 4);
    expect(pairs[0]!.low).toBeCloseTo(-0.1611, 4);
  });

  it('refuses two contestants of one name, and takes none or one', () => {
    const one = contestant('base', 3, rights(0.5, 1));
    expect(() => reportOf(one, one)).toThrow(/Two contestants are called 'base'/);
    expect(reportOf()).toMatchObject({ contestants: [], pairs: [], verdict: { code: 'cannot-tell' } });
    expect(reportOf(one).verdict.sentence).toBe('Cannot tell: nothing trained was measured on these rows.');
    expect(
      reportOf(
        contestant('base', 0, () => ({})),
        contestant('adapter', 0, () => ({})),
      ).verdict.code,
    ).toBe('cannot-tell');
  });
});

describe('what a training broke', () => {
  it('is named where the interval of the paired difference lies on the worse side of zero', () => {
    const results = [
      contestant('base', 60, (row) => ({ json: 1, loss: 1 + (row % 7) / 10 })),
      contestant('worse', 60, (row) => ({ json: row % 2, loss: 2 + (row % 5) / 10 })),
      contestant('better', 60, (row) => ({ json: 1, loss: 0.5 + (row % 3) / 10 })),
    ];
    const part = { name: 'json', title: 'JSON', measures: ['json', 'loss'] as const, results };
    const { parts, broke } = generalReport([part], few, 'base');
    expect(parts[0]!.pairs).toHaveLength(6);
    expect(broke.map(({ contestant: name, measure }) => [name, measure])).toEqual([
      ['worse', 'json'],
      ['worse', 'loss'],
    ]);
    expect(broke[0]!.sentence).toMatch(/^worse, JSON: share of answers that are JSON is 0.500 worse than that of base \(95 %/);
  });

  it('groups adapters that differ in their seed alone', () => {
    const seeded = [0.5, 0.6].map((share, i) => ({ ...contestant(`seed ${i}`, 20, rights(share, i)), sameButSeed: 'x' }));
    const { seeds } = reportOf(contestant('base', 20, rights(0.2, 9)), ...seeded);
    expect(seeds).toHaveLength(1);
    expect(seeds[0]).toMatchObject({ contestants: ['seed 0', 'seed 1'] });
    expect(seeds[0]!.measures.json!.most).toBeGreaterThanOrEqual(seeds[0]!.measures.json!.least);
  });
});

describe('the verdict', () => {
  const base = contestant('base', 120, rights(0.2, 3));
  const shots = contestant('few-shot', 120, rights(0.5, 11), { promptTokens: 600 });

  it('is that it was worth it where the interval leaves out zero', () => {
    const { verdict, pairs } = reportOf(base, shots, contestant('adapter', 120, rights(0.9, 17)));
    expect(verdict.code).toBe('worth-it');
    expect(verdict.sentence).toMatch(
      /^Worth it: adapter is \d\d points better than few-shot, the best alternative \(.*95 % interval .*, 120 rows\), and saves 550 tokens of each prompt\.$/,
    );
    expect(pairs.find(({ a, b }) => a === 'few-shot' && b === 'adapter')!.high).toBeLessThan(0);
  });

  it('is that it was not worth it where another one is better', () => {
    const { verdict } = reportOf(
      base,
      contestant('few-shot', 120, rights(0.95, 11)),
      contestant('adapter', 120, rights(0.4, 17)),
    );
    expect(verdict).toMatchObject({
      code: 'not-worth-it',
      sentence: expect.stringMatching(
        /^Not worth it: few-shot is \d\d points better than adapter \(.*95 % interval \d+ points to \d+ points, 120 rows\), and needs no training\.$/,
      ) as string,
    });
  });

  it('is that it was worth it for speed only where both are as good, within five points', () => {
    const same = rights(0.9, 17);
    const { verdict } = reportOf(contestant('few-shot', 400, same, { promptTokens: 600 }), contestant('adapter', 400, same));
    expect(verdict).toMatchObject({
      code: 'speed-only',
      sentence: expect.stringMatching(
        /^Worth it for speed only: adapter and few-shot are equal within a margin of 5 points \(.*95 % interval .*, 400 rows\), and adapter saves 550 tokens of each prompt\.$/,
      ) as string,
    });
    const free = reportOf(contestant('base', 400, same), contestant('adapter', 400, same)).verdict;
    expect(free).toMatchObject({
      code: 'not-worth-it',
      sentence: expect.stringMatching(/^Not worth it: base gets there without training/) as string,
    });
  });

  it('is that it cannot tell otherwise, and how many rows would', () => {
    const { verdict, power } = reportOf(contestant('base', 30, rights(0.5, 3)), contestant('adapter', 30, rights(0.6, 17)));
    expect(verdict.code).toBe('cannot-tell');
    expect(verdict.sentence).toMatch(
      /with 30 rows a difference under \d\d points cannot be seen; about \d+ rows would show 5 points\.$/,
    );
    expect(power).toHaveLength(1);
    // All three rows speak for the adapter, and three rows are too few.
    const three = reportOf(
      contestant('base', 3, () => ({ json: 0 })),
      contestant('adapter', 3, () => ({ json: 1 })),
    );
    expect(three.verdict.code).toBe('cannot-tell');
  });

  it('counts rows of one source once', () => {
    const scores = (share: number, seed: number) => {
      const own = rights(share, seed);
      return (row: number) => own(Math.floor(row / 40));
    };
    const rows = (name: string, share: number, seed: number, perSource: number) =>
      contestant(name, 120, scores(share, seed), { perSource });
    const apart = reportOf(rows('base', 0, 3, 1), rows('adapter', 1, 17, 1)).verdict.code;
    const together = reportOf(rows('base', 0, 3, 40), rows('adapter', 1, 17, 40)).verdict.code;
    expect([apart, together]).toEqual(['worth-it', 'cannot-tell']);
  });

  it('takes less for better where the measure says so', () => {
    const next = numbers(9);
    const losses = (mean: number) => () => ({ loss: mean + next() });
    const { verdict } = evaluationReport([contestant('base', 60, losses(2)), contestant('adapter', 60, losses(1))], {
      measures: ['loss'],
      ...few,
    });
    expect(verdict.sentence).toMatch(/^Worth it: adapter is \d\.\d{3} better than base/);
  });

  it('never claims a difference whose interval includes zero', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const report = reportOf(contestant('base', 40, rights(0.5, seed)), contestant('adapter', 40, rights(0.65, 1000 + seed)));
      const [pair] = report.pairs;
      const includesZero = pair!.low <= 0 && pair!.high >= 0;
      if (includesZero) expect(report.verdict.sentence).not.toMatch(/points better/);
      if (/points better/.test(report.verdict.sentence)) expect(pair!.mcnemar).toBeLessThan(0.05);
    }
  });
});

describe('a report as text', () => {
  const report = reportOf(
    contestant('base | x', 12, (row) => ({ json: row % 2 })),
    {
      ...contestant('adapter', 12, () => ({ json: 1 })),
      rows: [{ ...contestant('a', 1, () => ({ json: 1 })).rows[0]!, answer: 'a "b",\r\nc' }],
    },
  );

  it('is Markdown with a table of contestants and one of pairs', () => {
    const text = reportMarkdown(report);
    expect(text).toMatch(/^# Evaluation\n\n\*\*Cannot tell/);
    expect(text).toContain('| contestant | json | prompt tokens |');
    expect(text).toContain('| base \\| x | 0.500 (0.254 to 0.746, n = 12) | 50 | 20 | 1.00 | – |');
    expect(text).toContain(`- answers: \`${report.hashes['answers']!}\``);
  });

  it('is CSV with a line for each row of each contestant', () => {
    const lines = reportCsv(report).split(/(?<!,)\r\n(?!c)/);
    expect(lines[0]).toBe('row,source,contestant,answer,json,prompt tokens,answer tokens,seconds');
    expect(lines[1]).toBe('0,0,base | x,answer 0,0,50,20,1');
    expect(reportCsv(report)).toContain('0,0,adapter,"a ""b"",\r\nc",1,50,20,1\r\n');
  });
});

// ── Another implementation ──────────────────────────────────────────────────────────────────────────────────────────────

interface Item {
  readonly value: number;
  readonly source: string;
  readonly weight: number;
}

/** Holds a mean and its interval against a plain bootstrap with other random numbers (percentiles, without acceleration). */
function expectMean({ value, low, high }: { value: number; low: number; high: number }, items: readonly Item[]): void {
  const mean = (some: readonly Item[]) =>
    some.reduce((sum, one) => sum + one.value * one.weight, 0) / some.reduce((sum, one) => sum + one.weight, 0);
  expect(value).toBeCloseTo(mean(items), 9);
  const sources = [...new Set(items.map(({ source }) => source))].map((source) => items.filter((one) => one.source === source));
  const next = numbers(77);
  const means = Array.from({ length: 3000 }, () => mean(sources.flatMap(() => sources[Math.floor(next() * sources.length)]!)));
  means.sort((a, b) => a - b);
  const width = means[2925]! - means[75]!;
  expect(Math.abs(low - means[75]!)).toBeLessThan(0.15 * width);
  expect(Math.abs(high - means[2925]!)).toBeLessThan(0.15 * width);
}

function plainMcnemar(b: number, c: number): number {
  let [sum, ways] = [0n, 1n];
  for (let k = 0; k <= Math.min(b, c); k++) {
    sum += ways;
    ways = (ways * BigInt(b + c - k)) / BigInt(k + 1);
  }
  return Math.min(1, (2 * Number(sum)) / 2 ** (b + c));
}

function plainSignFlips(items: readonly Item[]): number {
  const bySource = new Map<string, number>();
  for (const { value, weight, source } of items) bySource.set(source, (bySource.get(source) ?? 0) + value * weight);
  const sums = [...bySource.values()];
  const observed = Math.abs(sums.reduce((a, b) => a + b, 0));
  const next = numbers(123);
  let extreme = 0;
  for (let i = 0; i < 4000; i++)
    if (Math.abs(sums.reduce((a, b) => a + (next() < 0.5 ? b : -b), 0)) >= observed - 1e-9) extreme++;
  return extreme / 4000;
}
