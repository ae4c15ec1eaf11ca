/** Reports what a person should know about a data set before training on it, and shows a row in the loss mask inspector. */
import type { DataCheck, DataReport, RowLine, RowView, SharedPrefix, TokenRole, TokenView } from '../contract.ts';
import { contextOf, positionLimit } from '../models/positions.ts';
import { type Cutting, ignored, spansOf, supervisedTokens } from '../labels.ts';
import { type AskedSet, type SetSurroundings, told } from './checks/check.ts';
import { unusedFinding } from './checks/columns.ts';
import { checks } from './checks/index.ts';
import { rowsCut } from './checks/length.ts';
import { Column } from './column.ts';
import type { RowFacts, RowFindings } from './row-facts.ts';
import type { RowOrProblem, TokenRow, UnusedColumn } from './row.ts';
import { TextStream, type Tokenizer } from './tokenizer.ts';

const maxBuckets = 16;

/** Says what is known beside the rows, and the texts that many of them begin with. */
interface ReportSurroundings extends SetSurroundings {
  /** Says in which state the files are; see `ReadFiles`. */
  readonly stamp?: string;
  readonly prefixes?: readonly SharedPrefix[];
}

/** Returns the counts and checks of rows for a model, with examples truncated at `wantedLength`. */
export function reportOf(facts: RowFacts, wantedLength: number, surroundings: ReportSurroundings): DataReport {
  const { spec, changed, stamp = '', documentOverlap, parts, prefixes = [] } = surroundings;
  const maxLength = Math.min(wantedLength, positionLimit(spec));
  const asked = { ...surroundings, facts, maxLength, isAtLimit: maxLength < wantedLength, context: contextOf(spec) };
  const lengths = exampleLengths(facts, { maxLength, documentOverlap });
  return {
    rows: facts.usable + facts.broken,
    examples: lengths.length,
    tokens: facts.tokens,
    trainedTokens: facts.trainedTokens,
    truncatedRows: rowsCut(asked).count,
    maxLength,
    duplicateRows: facts.duplicates.count,
    longest: facts.longest,
    lengths: histogram(lengths),
    statistics: facts.statistics.report(facts.languages, prefixes),
    checks: checksOf(asked, facts.findings.found).map((check) => inParts(check, facts, parts)),
    changed,
    stamp,
    parts: parts.map((name, part) => ({ name, ...(facts.parts.get(part) ?? { rows: 0, tokens: 0, trainedTokens: 0 }) })),
  };
}

/** Returns the findings of every check, in the order of the table of checks, with those that passed last. */
function checksOf(asked: AskedSet, ofRows: ReadonlyMap<string, DataCheck>): DataCheck[] {
  const all = checks.flatMap((check): DataCheck[] => {
    if (check.looksAt !== 'set') return ofRows.has(check.name) ? [ofRows.get(check.name)!] : [];
    const findings = check.ask(asked) ?? [];
    return [findings].flat().map((finding) => told(check, finding));
  });
  const isPassed = ({ severity }: DataCheck): boolean => severity === 'passed';
  return [...all.filter((check) => !isPassed(check)), ...all.filter(isPassed)];
}

/** Says how many of the rows of a check are in each part of a mix, where all of them are named. */
function inParts(check: DataCheck, facts: RowFacts, names: readonly string[]): DataCheck {
  if (names.length === 0 || check.count === 0 || check.rows.length < check.count) return check;
  const parts = names.map((name, part) => ({ name, rows: check.rows.filter((row) => facts.partOf(row) === part).length }));
  return { ...check, parts: parts.filter(({ rows }) => rows > 0) };
}

/** Returns what a run says about its rows: findings that depend on no length or other split, and unused columns. */
export function rowNotes(findings: RowFindings, unused: readonly UnusedColumn[]): string[] {
  const told = [...findings.found.values()].filter(({ name, severity }) => severity === 'warning' || name === 'asks');
  const notes = told.map(({ title, detail, why }) => `${title}. ${detail} ${why}`.trimEnd());
  if (unused.length === 0) return notes;
  const { title, detail } = unusedFinding(unused);
  return [...notes, `${title}. ${detail}`];
}

/** Decodes tokens for display. */
type Viewer = Pick<Tokenizer, 'decode' | 'isSpecial'>;

/**
 * Returns a tokenizer that remembers what it has decoded. A page has thousands of tokens, and most pairs of neighbours occur
 * again and again.
 */
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

const headlineLength = 240;

/** Returns a row, given as the examples that it becomes, as a list shows it. */
export function lineOf(
  examples: readonly [RowOrProblem, ...RowOrProblem[]],
  maxLength: number,
  parts: readonly string[] = [],
): RowLine {
  const [first] = examples;
  const { index, line, mixPart } = first;
  const part = parts[mixPart] ?? null;
  if ('problem' in first)
    return { index, line, part, headline: '', examples: 0, tokens: 0, trainedTokens: 0, problem: first.problem };
  const usable = examples.filter((one) => 'inputIds' in one);
  const { messages, text } = first;
  const said = messages?.find(({ role, content }) => role === 'user' && content !== '') ?? messages?.[0];
  return {
    index,
    line,
    part,
    headline: (said?.content ?? text).slice(0, headlineLength).toWellFormed(),
    examples: usable.length,
    tokens: Math.max(...usable.map(({ inputIds }) => inputIds.length)),
    trainedTokens: usable.reduce((sum, { labels }) => sum + supervisedTokens(labels.subarray(0, maxLength)), 0),
    problem: null,
  };
}

/** Returns a row as the loss mask inspector shows it. */
export async function viewRow(
  row: RowOrProblem,
  tokenizer: Viewer | null,
  maxLength: number,
  parts: readonly string[] = [],
): Promise<RowView> {
  const part = parts[row.mixPart] ?? null;
  if ('problem' in row) {
    const { index, line, problem } = row;
    return {
      index,
      line,
      turn: null,
      part,
      messages: null,
      tools: [],
      text: '',
      tokens: [],
      trainedTokens: 0,
      asks: [],
      problem,
    };
  }
  const texts = await tokenTexts([...row.inputIds], tokenizer);
  const tokens = texts.map((text, t): TokenView => ({
    id: row.inputIds[t]!,
    text,
    role: roleOf(row, t, tokenizer, maxLength),
  }));
  const { index, line, turn, messages, tools = [], text, asks } = row;
  return {
    index,
    line,
    turn,
    part,
    messages,
    tools,
    text,
    tokens,
    trainedTokens: supervisedTokens(row.labels.subarray(0, maxLength)),
    asks,
    problem: null,
  };
}

function roleOf(row: TokenRow, t: number, tokenizer: Viewer | null, maxLength: number): TokenRole {
  if (t >= maxLength) return 'truncated';
  // The first label never counts, because no token comes before it to predict it from.
  if (t > 0 && row.labels[t] !== ignored) return 'trained';
  return tokenizer?.isSpecial(row.inputIds[t]!) === true ? 'special' : 'ignored';
}

/** Returns the text of each token. A character spread over several tokens is shown at the last of them. */
async function tokenTexts(ids: readonly number[], tokenizer: Viewer | null): Promise<string[]> {
  if (tokenizer === null) return ids.map((id) => String(id));
  const stream = new TextStream(tokenizer, false);
  const texts: string[] = [];
  for (const id of ids) texts.push(await stream.push(id));
  const rest = await stream.flush();
  if (rest !== '') texts[texts.length - 1] += rest;
  return texts;
}

/**
 * Returns the number of tokens of each example. A truncated example has the length of its whole row; a document has a length
 * for each part.
 */
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

/** Returns at most sixteen buckets of equal, round width. */
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
