/** What a person should know about a data set before training on it, and how the mask inspector sees a row. */
import { createHash } from 'node:crypto';
import type { DataCheck, DataReport, RowView, TokenRole, TokenView } from '../contract.ts';
import { contextOf, positionLimit, type PositionsSpec } from '../models/positions.ts';
import type { DataRows, RowOrProblem, TokenRow, UnusedColumn } from './rows.ts';
import { TextStream, type Tokenizer } from './tokenizer.ts';

const ignored = -100;
const maxRowsNamed = 100;
const maxBuckets = 16;
const maxColumnsNamed = 40;
const maxNameLength = 80;
const maxTokensNamed = 8;
/** Some tokenizers call them special; an answer with a thought has them in its content. */
const thoughtTags: ReadonlySet<string> = new Set(['<think>', '</think>']);

/** What of a model decides how its rows are judged. */
interface ReportedModel {
  readonly spec: PositionsSpec;
  readonly tokenizer: Pick<Tokenizer, 'addedTokens' | 'stopTokens' | 'isSpecial'> | null;
}

/**
 * Counts and checks of the examples `all` for a model and lists the columns that nothing was read from; `others` are those of the other
 * split, to find rows that are in both.
 */
export function reportOf(
  { rows: all, unused }: Pick<DataRows, 'rows' | 'unused'>,
  others: readonly RowOrProblem[],
  wantedLength: number,
  { spec, tokenizer }: ReportedModel,
): DataReport {
  const maxLength = Math.min(wantedLength, positionLimit(spec));
  const raise = maxLength < wantedLength ? `The model has no more positions: shorten` : `Raise the maximum length or shorten`;
  const context = contextOf(spec);
  const examples = all.filter((row): row is TokenRow => !('problem' in row));
  const usable = rowsOf(examples);
  const broken = all.filter((row) => 'problem' in row);
  const lengths = examples.map((example) => example.inputIds.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const isLong = (example: TokenRow) => example.inputIds.length > maxLength;
  const long = usable.filter((row) => row.examples.some(isLong));
  const beyond = usable.filter((row) => row.examples.some(({ inputIds }) => Math.min(inputIds.length, maxLength) > context));
  const emptied = long.filter((row) =>
    row.examples.some((example) => isLong(example) && trainedTokens(example, maxLength) === 0),
  );

  const found = new Set<string>();
  const duplicates = usable.filter(({ key }) => found.size === found.add(key).size);
  const elsewhere = new Set(rowsOf(others.filter((row): row is TokenRow => !('problem' in row))).map(({ key }) => key));
  const leaked = usable.filter(({ key }) => elsewhere.has(key));

  const checks: DataCheck[] = [
    ...problemChecks(broken),
    ...rowChecks(usable, tokenizer),
    check(
      emptied,
      'warning',
      `${count(emptied, 'row')} with nothing left to train on`,
      `At ${maxLength.toLocaleString('en-US')} tokens the cut comes before the first answer. ${raise} them.`,
    ),
    check(
      long,
      'warning',
      `${count(long, 'row')} longer than ${maxLength.toLocaleString('en-US')} tokens`,
      `Training cuts them at the right. ${raise} them to keep them whole.`,
    ),
    check(
      beyond,
      'warning',
      `${count(beyond, 'row')} longer than the model's context of ${context.toLocaleString('en-US')} tokens`,
      'The model was not made for so long rows and may have learned nothing of such positions. Lower the maximum length or shorten them.',
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
  if (broken.length === 0) checks.push(passed('Every row can be used', 'Each has at least one trained token.'));
  if (long.length === 0)
    checks.push(passed(`Every row fits ${maxLength.toLocaleString('en-US')} tokens`, `The longest has ${longest}.`));
  if (duplicates.length === 0) checks.push(passed('No row is repeated', 'Compared by token ids and labels.'));
  if (others.length > 0 && leaked.length === 0)
    checks.push(passed('Training and evaluation share no row', 'Compared by token ids and labels.'));
  if (unused.length > 0) checks.push(passed(unusedTitle(unused), unusedDetail));

  return {
    rows: usable.length + broken.length,
    examples: examples.length,
    tokens: lengths.reduce((a, b) => a + b, 0),
    trainedTokens: examples.reduce((sum, example) => sum + trainedTokens(example), 0),
    truncatedRows: long.length,
    maxLength,
    duplicateRows: duplicates.length,
    longest,
    lengths: histogram(lengths, longest),
    checks,
  };
}

/** What a run says of the rows it is made of: the warnings of a report that no length or other split decides, and unused columns. */
export function rowNotes(
  { rows, unused }: Pick<DataRows, 'unused'> & { readonly rows: readonly TokenRow[] },
  tokenizer: ReportedModel['tokenizer'],
): string[] {
  const notes = rowChecks(rowsOf(rows), tokenizer).map(({ title, detail }) => `${title}. ${detail}`);
  return unused.length === 0 ? notes : [...notes, `${unusedTitle(unused)}. ${unusedDetail}`];
}

/** Warnings that a row deserves by itself. */
function rowChecks(rows: readonly Row[], tokenizer: ReportedModel['tokenizer']): DataCheck[] {
  const checks = [endlessCheck(rows, tokenizer), leftOutCheck(rows), spelledCheck(rows, tokenizer)];
  return checks.filter((entry) => entry !== null);
}

/** A row of the data with the examples it became. */
interface Row {
  readonly index: number;
  readonly examples: readonly TokenRow[];
  /** The same for rows of the same examples. */
  readonly key: string;
}

function rowsOf(examples: readonly TokenRow[]): Row[] {
  return [...Map.groupBy(examples, ({ index }) => index)].map(([index, own]) => ({
    index,
    examples: own,
    key: own.map(contentKey).join(),
  }));
}

/** Turns from which a model does not learn to stop. */
function endlessCheck(rows: readonly Row[], tokenizer: Pick<Tokenizer, 'addedTokens' | 'stopTokens'> | null): DataCheck | null {
  const turnsOf = (row: Row) => row.examples.reduce((sum, { endless }) => sum + endless.length, 0);
  const found = rows.filter((row) => turnsOf(row) > 0);
  const turns = found.reduce((sum, row) => sum + turnsOf(row), 0);
  const stops = [...(tokenizer?.addedTokens ?? [])]
    .filter(([id]) => tokenizer?.stopTokens.includes(id))
    .map(([, text]) => text);
  const known = stops.length === 0 ? 'The model names no such token.' : `Known are ${stops.join(', ')}.`;
  const plain = found.some((row) => row.examples.some(({ endless }) => endless.includes(0)));
  const what = plain ? 'text' : 'turn';
  return check(
    found,
    'warning',
    turns === 1
      ? `1 ${what} does not end in a token that ends an answer`
      : `${turns} ${what}s do not end in a token that ends an answer`,
    `${plain ? 'Nothing writes one' : 'The chat template writes none'} behind them, so the model does not learn to stop. ${known}`,
  );
}

/** Rows that say what the model never sees. */
function leftOutCheck(rows: readonly Row[]): DataCheck | null {
  const found = rows.filter(({ examples }) => examples[0]!.leftOut.length > 0);
  const roles = new Set(found.flatMap(({ examples }) => examples[0]!.leftOut.map(({ role }) => role)));
  const first = found[0]?.examples[0];
  return check(
    found,
    'warning',
    `${count(found, 'row')} with messages that the chat template leaves out, whole or in part`,
    `Left out are messages of the role ${[...roles].join(', ')}; the first is message ${first?.leftOut[0]?.message} of line ${first?.line}. The model does not see what they say.`,
  );
}

/** Rows whose messages spell special tokens, which the model reads as if the chat template had written them. */
function spelledCheck(rows: readonly Row[], tokenizer: ReportedModel['tokenizer']): DataCheck | null {
  const special = [...(tokenizer?.addedTokens ?? [])]
    .filter(([id, text]) => (tokenizer!.isSpecial(id) || tokenizer!.stopTokens.includes(id)) && !thoughtTags.has(text))
    .map(([, text]) => text);
  const spelled = ({ examples }: Row) => {
    const contents = examples.flatMap(({ messages }) => messages ?? []).map(({ content }) => content);
    return special.filter((text) => contents.some((content) => content.includes(text)));
  };
  const found = rows.filter((row) => spelled(row).length > 0);
  const named = [...new Set(found.flatMap(spelled))];
  return check(
    found,
    'warning',
    `${count(found, 'row')} with special tokens in what messages say`,
    `Found are ${named.slice(0, maxTokensNamed).join(', ')}${named.length > maxTokensNamed ? ' and more' : ''}, the first in line ${found[0]?.examples[0]?.line}. The model reads them as the chat template's own: they end turns or begin new ones. Remove them unless that is meant.`,
  );
}

/** The row as the mask inspector shows it. */
export async function viewRow(row: RowOrProblem, tokenizer: Tokenizer | null, maxLength: number): Promise<RowView> {
  if ('problem' in row) {
    const { index, line, problem } = row;
    return { index, line, turn: null, messages: null, text: '', tokens: [], trainedTokens: 0, problem };
  }
  const texts = await tokenTexts([...row.inputIds], tokenizer);
  const tokens = texts.map((text, t): TokenView => ({
    id: row.inputIds[t]!,
    text,
    role: roleOf(row, t, tokenizer, maxLength),
  }));
  const { index, line, turn, messages, text } = row;
  return { index, line, turn, messages, text, tokens, trainedTokens: trainedTokens(row, maxLength), problem: null };
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

/** Equal for rows of the same token ids and labels. */
export function contentKey({ inputIds, labels }: Pick<TokenRow, 'inputIds' | 'labels'>): string {
  const bytes = (values: Int32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash('sha256').update(bytes(inputIds)).update(bytes(labels)).digest('base64');
}

const unusedDetail = 'They change nothing of what is trained.';
const unusedTitle = (unused: readonly UnusedColumn[]): string => `Columns not used: ${columnList(unused)}`;

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
function problemChecks(rows: readonly Exclude<RowOrProblem, TokenRow>[]): DataCheck[] {
  const byKind = Map.groupBy(rows, ({ problem: { code, hint } }) => `${code} ${hint}`);
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
