/** `lowrank data` renders, checks and counts rows. */
import { resolve } from 'node:path';
import type { DataCheck, DataReport } from '../contract.ts';
import { requireDay } from '../data/day.ts';
import { Problem } from '../problem.ts';
import { defaultRecipe } from '../recipe.ts';
import {
  dataUsage,
  mapOptions,
  mixOptions,
  modelOptions,
  ProblemInResult,
  rowOptions,
  rowUsage,
  UsageError,
  type Command,
} from './command.ts';
import { dataOf } from './mix.ts';
import type { Output } from './output.ts';
import { showProgress } from './progress.ts';
import { convertRows, splitRows } from './write-rows.ts';

export const data: Command = {
  usage: [
    `render|check|stats|split|convert ${dataUsage} [--map question=COLUMN,answer=COLUMN]`,
    `for render, check and stats: --model PATH [--accept-field NAME]... [--max-length N] ${rowUsage} [--date YYYY-MM-DD]`,
    'for check: [--eval FILE...]',
    'for split: --fraction 0.1 [--seed 0] [--by COLUMN] [--format jsonl|parquet]',
    'for split and convert: --out DIR|FILE.jsonl|FILE.parquet [--deduplicate] [--skip-bad-rows] [--replace]',
  ].join('; '),
  summary:
    'rows as the model sees them; what is wrong with them; their numbers; split writes train.jsonl and eval.jsonl, or .parquet, into DIR, convert all rows into one file',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    ...mixOptions,
    data: { type: 'string', multiple: true },
    eval: { type: 'string', multiple: true },
    'max-length': { type: 'string' },
    date: { type: 'string' },
    fraction: { type: 'string' },
    seed: { type: 'string' },
    by: { type: 'string' },
    deduplicate: { type: 'boolean' },
    'skip-bad-rows': { type: 'boolean' },
    out: { type: 'string' },
    format: { type: 'string' },
    replace: { type: 'boolean' },
  },
  lists: ['data', 'eval', 'mix'],
  async run(session) {
    const { args, output, connect } = session;
    const [what, ...surplus] = args.positionals;
    if (surplus.length > 0) throw new UsageError(`'${surplus[0]}' was not expected.`);
    if (what !== 'check' && args.list('eval').length > 0)
      throw new UsageError('--eval names rows that data check compares with those of --data.');
    if (what === 'split') return splitRows(session);
    if (what === 'convert') return convertRows(session);
    if (what !== 'render' && what !== 'check' && what !== 'stats')
      throw new UsageError('Choose one of data render, data check, data stats, data split and data convert.');
    const date = args.text('date');
    const evalPaths = args.list('eval').map((path) => resolve(path));
    const request = {
      model: args.model(),
      data: dataOf(args, evalPaths),
      rowSettings: args.rowSettings(),
      // This is the day that a chat template prints, such as that of a run.
      ...(date === undefined ? {} : { day: requireDay(date) }),
    };
    const maxLength = args.number('max-length', defaultRecipe().maxLength, { min: 1, integer: true });
    const client = await connect();

    if (what === 'render') {
      let following = 0;
      for (let offset: number | null = 0; offset !== null;) {
        const from: number = offset;
        const ask = () => client.request('data.render', { ...request, offset: from });
        const { rows, next } = await showProgress(client, output, 'data', ask);
        for (const row of rows) {
          output.document(row);
          const turn = 'turn' in row && row.turn !== undefined ? `, turn ${row.turn}` : '';
          const number = ('row' in row ? row.row : undefined) ?? following;
          following = number + 1;
          output.line(`--- row ${number}${turn}`);
          output.text('problem' in row ? `${row.problem.code}: ${row.problem.message}` : row.text);
        }
        offset = next;
      }
      return;
    }

    const report = await showProgress(client, output, 'data', () => client.request('data.report', { ...request, maxLength }));
    if (what === 'check') for (const check of report.checks) output.line(said(check));
    else showStatistics(report, output);
    const problem = problemOf(report, maxLength);
    if (problem !== null) throw new ProblemInResult(problem, report);
    output.document(report);
  },
};

function showStatistics(report: DataReport, output: Output): void {
  output.table([
    ['rows', String(report.rows)],
    ['examples', String(report.examples)],
    ['tokens', String(report.tokens)],
    ['trained tokens', String(report.trainedTokens)],
    ['longest row', `${report.longest} tokens`],
    ['cut rows', `${report.truncatedRows} at ${report.maxLength} tokens`],
    ['duplicate rows', String(report.duplicateRows)],
  ]);
  const { medianTokens, p95Tokens, turns, languages, prefixes } = report.statistics;
  output.table([
    ['median row', `${medianTokens} tokens`],
    ['95th percentile', `${p95Tokens} tokens`],
    ...turns.map(({ turns, rows }) => [`rows of ${turns} messages`, String(rows)] as const),
    ...languages.map(({ name, rows }) => [`rows in ${name}`, String(rows)] as const),
  ]);
  for (const { text, tokens, rows } of prefixes)
    output.line(`${rows} rows begin with the same ${tokens} tokens: ${JSON.stringify(text)}`);
  for (const { upTo, rows } of report.lengths) output.line(`up to ${String(upTo).padStart(6)} tokens  ${rows}`);
}

/** Returns why the rows of a report cannot all be trained on as they are, or null where they can. */
function problemOf(report: DataReport, asked: number): Problem | null {
  const blocking = report.checks.find(({ severity }) => severity === 'blocking');
  if (blocking !== undefined)
    return new Problem('data-invalid', `${blocking.title}: ${blocking.detail}`, 'Correct these rows.');
  if (report.truncatedRows === 0) return null;
  return new Problem(
    'row-too-long',
    `${report.truncatedRows} of ${report.rows} rows are longer than ${report.maxLength} tokens; the longest has ${report.longest}.`,
    report.maxLength < asked
      ? 'The model has no more positions. Shorten them; training truncates them on the right.'
      : 'Raise the maximum length, or shorten them; training truncates them on the right.',
  );
}

/** Returns a check as a line: what was found, and why it matters. */
function said({ severity, title, detail, why }: DataCheck): string {
  return `${severity.padEnd(8)}  ${title}: ${severity === 'passed' || why === '' ? detail : `${detail} ${why}`}`;
}
