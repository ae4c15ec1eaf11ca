/** What a person should know about a data set before training on it, and how the mask inspector sees a row. */
import { createHash } from 'node:crypto';
import type { DataCheck, DataReport, RowView, TokenRole, TokenView } from '../contract.ts';
import type { DataRows, RowOrProblem, TokenRow, UnusedColumn } from './rows.ts';
import { TextStream, type Tokenizer } from './tokenizer.ts';

const ignored = -100;
const maxRowsNamed = 100;
const maxBuckets = 16;
const maxColumnsNamed = 40;
const maxNameLength = 80;

/**
 * Counts and checks of `rows` and lists the columns that nothing was read from; `others` are the rows of the other split, to find rows
 * that are in both.
 */
export function reportOf(
  { rows, unused }: Pick<DataRows, 'rows' | 'unused'>,
  others: readonly RowOrProblem[],
  maxLength: number,
): DataReport {
  const usable = rows.filter((row): row is TokenRow => !('problem' in row));
  const lengths = usable.map((row) => row.inputIds.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const long = usable.filter((row) => row.inputIds.length > maxLength);
  const emptied = long.filter((row) => trainedTokens(row, maxLength) === 0);

  const firstByContent = new Map<string, number>();
  const duplicates: TokenRow[] = [];
  for (const row of usable) {
    const key = contentKey(row);
    if (firstByContent.has(key)) duplicates.push(row);
    else firstByContent.set(key, row.index);
  }
  const elsewhere = new Set(others.filter((row): row is TokenRow => !('problem' in row)).map(contentKey));
  const leaked = usable.filter((row) => elsewhere.has(contentKey(row)));

  const checks: DataCheck[] = [
    ...problemChecks(rows),
    check(
      emptied,
      'warning',
      `${count(emptied, 'row')} with nothing left to train on`,
      `At ${maxLength.toLocaleString('en-US')} tokens the cut comes before the first answer. Raise the maximum length or shorten them.`,
    ),
    check(
      long,
      'warning',
      `${count(long, 'row')} longer than ${maxLength.toLocaleString('en-US')} tokens`,
      'Training cuts them at the right. Raise the maximum length to keep them whole.',
    ),
    check(
      duplicates,
      'warning',
      `${count(duplicates, 'row')} repeated`,
      'They count twice in training. Remove them unless that is meant.',
    ),
    check(
      leaked,
      'warning',
      `${count(leaked, 'row')} in both training and evaluation`,
      'The evaluation loss then says less about new rows.',
    ),
  ].filter((entry) => entry !== null);
  const passed = (title: string, detail: string): DataCheck => ({ severity: 'passed', title, detail, rows: [] });
  if (usable.length === rows.length) checks.push(passed('Every row can be used', 'Each has at least one trained token.'));
  if (long.length === 0)
    checks.push(passed(`Every row fits ${maxLength.toLocaleString('en-US')} tokens`, `The longest has ${longest}.`));
  if (duplicates.length === 0) checks.push(passed('No row is repeated', 'Compared by token ids and labels.'));
  if (others.length > 0 && leaked.length === 0)
    checks.push(passed('Training and evaluation share no row', 'Compared by token ids and labels.'));
  if (unused.length > 0)
    checks.push(passed(`Columns not used: ${columnList(unused)}`, 'They change nothing of what is trained.'));

  return {
    rows: rows.length,
    tokens: lengths.reduce((a, b) => a + b, 0),
    trainedTokens: usable.reduce((sum, row) => sum + trainedTokens(row), 0),
    truncatedRows: long.length,
    duplicateRows: duplicates.length,
    longest,
    lengths: histogram(lengths, longest),
    checks,
  };
}

/** The row as the mask inspector shows it. */
export async function viewRow(row: RowOrProblem, tokenizer: Tokenizer | null, maxLength: number): Promise<RowView> {
  if ('problem' in row) {
    const { index, line, problem } = row;
    return { index, line, messages: null, text: '', tokens: [], trainedTokens: 0, problem };
  }
  const texts = await tokenTexts([...row.inputIds], tokenizer);
  const tokens = texts.map((text, t): TokenView => ({
    id: row.inputIds[t]!,
    text,
    role: roleOf(row, t, tokenizer, maxLength),
  }));
  const { index, line, messages, text } = row;
  return { index, line, messages, text, tokens, trainedTokens: trainedTokens(row, maxLength), problem: null };
}

function roleOf(row: TokenRow, t: number, tokenizer: Tokenizer | null, maxLength: number): TokenRole {
  if (t >= maxLength) return 'truncated';
  // The first label never counts: nothing comes before it to predict it from.
  if (t > 0 && row.labels[t] !== ignored) return 'trained';
  return tokenizer?.isSpecial(row.inputIds[t]!) === true ? 'special' : 'ignored';
}

/** Text of each token; a character spread over several tokens stands at the last of them. */
async function tokenTexts(ids: readonly number[], tokenizer: Tokenizer | null): Promise<string[]> {
  if (tokenizer === null) return ids.map((id) => String(id));
  const stream = new TextStream(tokenizer, false);
  const texts: string[] = [];
  for (const id of ids) texts.push(await stream.push(id));
  const rest = await stream.flush();
  if (rest !== '') texts[texts.length - 1] += rest;
  return texts;
}

/** Supervised tokens of the row, cut at `maxLength`. */
function trainedTokens(row: TokenRow, maxLength = Number.POSITIVE_INFINITY): number {
  let trained = 0;
  for (let t = 1; t < Math.min(row.labels.length, maxLength); t++) if (row.labels[t] !== ignored) trained++;
  return trained;
}

function contentKey({ inputIds, labels }: TokenRow): string {
  const bytes = (values: Int32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash('sha256').update(bytes(inputIds)).update(bytes(labels)).digest('base64');
}

/** Names columns with the number of rows that have each. */
function columnList(unused: readonly UnusedColumn[]): string {
  const named = unused.slice(0, maxColumnsNamed).map((column, i) => {
    const what = i === 0 ? ` ${column.rows === 1 ? 'row' : 'rows'}` : '';
    return `\`${column.name.slice(0, maxNameLength)}\` (${column.rows}${what})`;
  });
  const more = unused.length - named.length;
  return `${named.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}

/** Rows that cannot be used, one check per kind of problem: what is to be done about it tells the kinds apart. */
function problemChecks(rows: readonly RowOrProblem[]): DataCheck[] {
  const byKind = Map.groupBy(
    rows.filter((row) => 'problem' in row),
    ({ problem: { code, hint } }) => `${code} ${hint}`,
  );
  return [...byKind.values()].map((broken) => ({
    severity: 'blocking',
    title: `${count(broken, 'row')} cannot be used`,
    detail: `${broken[0]!.problem.message} ${broken[0]!.problem.hint}`,
    rows: broken.slice(0, maxRowsNamed).map((row) => row.index),
  }));
}

function check(
  rows: readonly { readonly index: number }[],
  severity: DataCheck['severity'],
  title: string,
  detail: string,
): DataCheck | null {
  return rows.length === 0 ? null : { severity, title, detail, rows: rows.slice(0, maxRowsNamed).map((row) => row.index) };
}

function count(rows: readonly unknown[], what: string): string {
  return `${rows.length} ${what}${rows.length === 1 ? '' : 's'}`;
}

/** Equal buckets of a round width, at most sixteen. */
function histogram(lengths: readonly number[], longest: number): { upTo: number; rows: number }[] {
  if (lengths.length === 0) return [];
  let width = 8;
  while (width * maxBuckets < longest) width *= 2;
  const buckets = Array.from({ length: Math.max(1, Math.ceil(longest / width)) }, (_, i) => ({
    upTo: (i + 1) * width,
    rows: 0,
  }));
  for (const length of lengths) buckets[Math.max(0, Math.ceil(length / width) - 1)]!.rows++;
  return buckets;
}
