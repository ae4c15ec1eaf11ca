/** What a person should know about a data set before training on it, and how the mask inspector sees a row. */
import type { DataCheck, DataReport, RowView, TokenRole, TokenView } from '../contract.ts';
import { contextOf, positionLimit, type PositionsSpec } from '../models/positions.ts';
import { type Cutting, ignored, spansOf, supervisedTokens } from '../labels.ts';
import { Column } from './column.ts';
import { changedSentence } from './row-files.ts';
import type { RowFacts, RowFindings } from './row-facts.ts';
import type { FoundFormat, RowOrProblem, TokenRow, UnusedColumn } from './rows.ts';
import { TextStream, type Tokenizer } from './tokenizer.ts';

const maxBuckets = 16;
const maxColumnsNamed = 40;
const maxNameLength = 80;

/** Counts and checks of rows for a model, cut at `wantedLength`; `others` are those of the other split, to find rows that are in both. */
export function reportOf(
  facts: RowFacts,
  unused: readonly UnusedColumn[],
  others: RowFacts | null,
  wantedLength: number,
  spec: PositionsSpec,
  { changed = [], formats = [], files = [], documentOverlap = null }: ReportedRows = {},
): DataReport {
  const maxLength = Math.min(wantedLength, positionLimit(spec));
  const raise = maxLength < wantedLength ? `The model has no more positions: shorten` : `Raise the maximum length or shorten`;
  const context = contextOf(spec);
  const { longest, duplicates } = facts;
  const isCut = (tokens: number, isDocument: boolean) => tokens > maxLength && !(isDocument && documentOverlap !== null);
  const long = facts.rowsWhere((tokens, _, isDocument) => isCut(tokens, isDocument));
  const divided = facts.rowsWhere((tokens, _, isDocument) => tokens > maxLength && !isCut(tokens, isDocument));
  const beyond = facts.rowsWhere((tokens) => Math.min(tokens, maxLength) > context);
  const emptied = facts.rowsWhere((tokens, firstTrained, isDocument) => isCut(tokens, isDocument) && firstTrained >= maxLength);
  const leaked = others === null ? null : facts.rowsIn(others);

  const lengths = exampleLengths(facts, { maxLength, documentOverlap });

  const checks: DataCheck[] = [
    changed.length === 0 ? null : changedCheck(changed),
    ...facts.brokenChecks,
    ...facts.findings.checks,
    emptied.check(
      'warning',
      (counted) => `${counted} with nothing left to train on`,
      `At ${maxLength.toLocaleString('en-US')} tokens the cut comes before the first answer. ${raise} them.`,
    ),
    long.check(
      'warning',
      (counted) => `${counted} longer than ${maxLength.toLocaleString('en-US')} tokens`,
      `Training cuts them at the right. ${raise} them to keep them whole.`,
    ),
    beyond.check(
      'warning',
      (counted) => `${counted} longer than the model's context of ${context.toLocaleString('en-US')} tokens`,
      'The model was not made for so long rows and may have learned nothing of such positions. Lower the maximum length or shorten them.',
    ),
    duplicates.check(
      'warning',
      (counted) => `${counted} repeated`,
      'They count twice in training. Remove them unless that is meant.',
    ),
    leaked?.check(
      'warning',
      (counted) => `${counted} in both training and evaluation`,
      'The evaluation loss then says less about new rows.',
    ) ?? null,
  ].filter((entry) => entry !== null);
  const passed = (title: string, detail: string): DataCheck => ({ severity: 'passed', title, detail, rows: [] });
  if (facts.broken === 0) checks.push(passed('Every row can be used', 'Each has at least one trained token.'));
  if (long.count === 0 && divided.count === 0)
    checks.push(passed(`Every row fits ${maxLength.toLocaleString('en-US')} tokens`, `The longest has ${longest}.`));
  if (duplicates.count === 0) checks.push(passed('No row is repeated', 'Compared by token ids and labels.'));
  if (leaked?.count === 0) checks.push(passed('Training and evaluation share no row', 'Compared by token ids and labels.'));
  if (divided.count > 0)
    checks.push({
      ...passed(
        `${divided.count} long ${divided.count === 1 ? 'document is' : 'documents are'} trained in parts`,
        `Each part has at most ${maxLength.toLocaleString('en-US')} tokens. longDocuments=cut trains their beginning alone.`,
      ),
      rows: divided.rows,
    });
  if (formats.length > 0 || files.length > 0) checks.push(formatCheck(formats, files));
  for (const note of [facts.findings.asks, facts.findings.unrolled]) if (note !== null) checks.push(note);
  if (unused.length > 0) checks.push(passed(unusedTitle(unused), unusedDetail));

  return {
    rows: facts.usable + facts.broken,
    examples: lengths.length,
    tokens: facts.tokens,
    trainedTokens: facts.trainedTokens,
    truncatedRows: long.count,
    maxLength,
    duplicateRows: duplicates.count,
    longest,
    lengths: histogram(lengths),
    checks,
    changed,
  };
}

/** What is known of rows beside their tokens. */
export interface ReportedRows {
  /** Files that are others than in the version of the data set. */
  readonly changed?: readonly string[];
  readonly formats?: readonly FoundFormat[];
  /** How each file was read, in a sentence. */
  readonly files?: readonly string[];
  /** As in `Cutting`: null where long documents are cut. */
  readonly documentOverlap?: number | null;
}

function formatCheck(formats: readonly FoundFormat[], files: readonly string[]): DataCheck {
  const known = formats.filter(({ name }) => name !== null);
  const named = known.map(({ name, rows }) => (known.length === 1 ? name! : `${name} (${rows})`));
  const title = known.length === 0 ? 'No row is of a known format' : `Read as ${new Intl.ListFormat('en').format(named)}`;
  const reasons = formats.map(({ name, why }) => (formats.length === 1 || name === null ? why : `${name}: ${why}`));
  return { severity: 'passed', title, detail: [...reasons, ...files].map((what) => `${sentence(what)}.`).join(' '), rows: [] };
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const changedCheck = (changed: readonly string[]): DataCheck => ({
  severity: 'blocking',
  title: changed.length === 1 ? 'A file has changed' : 'Files have changed',
  detail: `${changedSentence(changed)} What is shown is what is there now. Put it back, or make a new version of the data set.`,
  rows: [],
});

/** What a run says of the rows it is made of: what no length or other split decides in a report, and unused columns. */
export function rowNotes(findings: RowFindings, unused: readonly UnusedColumn[]): string[] {
  const told = [...findings.checks, ...(findings.asks === null ? [] : [findings.asks])];
  const notes = told.map(({ title, detail }) => `${title}. ${detail}`);
  return unused.length === 0 ? notes : [...notes, `${unusedTitle(unused)}. ${unusedDetail}`];
}

/** What shows tokens. */
type Viewer = Pick<Tokenizer, 'decode' | 'isSpecial'>;

/** A tokenizer that remembers what it has decoded: a page has thousands of tokens, and most pairs of neighbours come again and again. */
export function rememberingTokenizer(tokenizer: Viewer): Viewer {
  const known = new Map<string, Promise<string>>();
  return {
    isSpecial: (id) => tokenizer.isSpecial(id),
    decode: (ids, options) => {
      const key = `${options?.skipSpecial} ${ids.join()}`;
      const text = known.get(key) ?? tokenizer.decode(ids, options);
      known.set(key, text);
      return text;
    },
  };
}

/** The row as the mask inspector shows it. */
export async function viewRow(row: RowOrProblem, tokenizer: Viewer | null, maxLength: number): Promise<RowView> {
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
  return {
    index,
    line,
    turn,
    messages,
    text,
    tokens,
    trainedTokens: supervisedTokens(row.labels.subarray(0, maxLength)),
    problem: null,
  };
}

function roleOf(row: TokenRow, t: number, tokenizer: Viewer | null, maxLength: number): TokenRole {
  if (t >= maxLength) return 'truncated';
  // The first label never counts: nothing comes before it to predict it from.
  if (t > 0 && row.labels[t] !== ignored) return 'trained';
  return tokenizer?.isSpecial(row.inputIds[t]!) === true ? 'special' : 'ignored';
}

/** Text of each token; a character spread over several tokens stands at the last of them. */
async function tokenTexts(ids: readonly number[], tokenizer: Viewer | null): Promise<string[]> {
  if (tokenizer === null) return ids.map((id) => String(id));
  const stream = new TextStream(tokenizer, false);
  const texts: string[] = [];
  for (const id of ids) texts.push(await stream.push(id));
  const rest = await stream.flush();
  if (rest !== '') texts[texts.length - 1] += rest;
  return texts;
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

/** Tokens of each example; one that is cut has those of its row, a document those of each part. */
function exampleLengths(facts: RowFacts, cutting: Cutting): Column {
  const lengths = new Column(Uint32Array);
  for (let i = 0; i < facts.examples; i++) {
    const tokens = facts.length(i);
    const spans = facts.isDocument(i) ? spansOf(tokens, true, cutting) : [];
    if (spans.length > 1) for (const { from, to } of spans) lengths.add(to - from);
    else lengths.add(tokens);
  }
  return lengths;
}

/** Equal buckets of a round width, at most sixteen. */
function histogram(lengths: Column): { upTo: number; rows: number }[] {
  if (lengths.length === 0) return [];
  let longest = 0;
  for (let i = 0; i < lengths.length; i++) longest = Math.max(longest, lengths.at(i));
  let width = 8;
  while (width * maxBuckets < longest) width *= 2;
  const buckets = Array.from({ length: Math.max(1, Math.ceil(longest / width)) }, (_, i) => ({
    upTo: (i + 1) * width,
    rows: 0,
  }));
  for (let i = 0; i < lengths.length; i++) buckets[Math.max(0, Math.ceil(lengths.at(i) / width) - 1)]!.rows++;
  return buckets;
}
