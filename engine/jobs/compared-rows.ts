/** Reads the rows of a comparison, and makes of each what a contestant is asked. */
import { createHash } from 'node:crypto';
import type { ChatMessage, EvaluationGuards, JobSpec, RowsAt } from '../contract.ts';
import { type Day, today } from '../data/day.ts';
import { changedSentence, rowFiles } from '../data/row-files.ts';
import { RowFacts } from '../data/row-facts.ts';
import type { TokenRow } from '../data/row.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { inContext, messagesInContext, type Question, questionOf, unaskedBecause } from '../evaluate/questions.ts';
import { schemaInstruction } from '../evaluate/schema-prompt.ts';
import type { Example, Examples } from '../evaluate/shots.ts';
import { supervisedTokens } from '../labels.ts';
import type { OpenModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import { examplesOf } from '../training/examples.ts';
import { contextNotes } from '../training/notes.ts';
import type { OpenContestant } from './contestants.ts';
import { loadRows } from './load-rows.ts';
import type { JobPort } from './port.ts';
import { dayOfAdapter } from './run-folder.ts';
import { tokenCache } from './token-cache.ts';

type CompareSpec = Extract<JobSpec, { kind: 'compare' }>;
/** Says which rows are read, and how. */
type ReadSpec = RowsAt & Pick<CompareSpec, 'train' | 'validation' | 'mostRows' | 'rowSettings' | 'cacheDir'>;

/** Limits the training rows that are examples, or that something is learned from. They are spread over all of them. */
const mostTrainQuestions = 2000;

/** Holds a row as a question. */
export interface AskedRow {
  readonly index: number;
  readonly question: Question;
  /** Holds the messages for an endpoint, which writes its own prompt of them. */
  readonly messages?: readonly ChatMessage[];
}

/** Holds what is reported of a row. */
interface ComparedRow {
  readonly index: number;
  readonly question: string;
  readonly expected: string;
  /** Names the first row with the same question: such rows are not independent. */
  readonly source: string;
  readonly supervisedTokens: number;
}

export interface ComparedRows {
  readonly rows: readonly ComparedRow[];
  /** Holds the rows as the base reads them; of a row that is several examples, all of them. */
  readonly test: readonly TokenRow[];
  /** Holds the SHA-256 of the tokens and labels of the rows. */
  readonly rowsHash: string;
  /** Gives the day that chat templates print, which is that of the first adapter's run for all contestants. */
  readonly day: Day;
  /** Holds the training rows, or null where none are given. */
  readonly train: readonly TokenRow[] | null;
  readonly trainQuestions: readonly AskedRow[];
  readonly examples: readonly Example[];
  readonly notes: readonly string[];
  /** Returns the rows as a contestant reads them: the last example of each. */
  rowsOf(contestant: OpenContestant): readonly TokenRow[];
  /** Returns the tokens of all examples, of which the loss is measured. */
  tokensOf(contestant: OpenContestant): readonly TokenRow[];
  validationOf(contestant: OpenContestant): readonly TokenRow[];
}

/** Reads the rows of a comparison once for each tokenizer and chat template. */
export async function readCompared(
  spec: ReadSpec,
  base: OpenContestant,
  contestants: readonly OpenContestant[],
  port: JobPort,
): Promise<ComparedRows> {
  const day = contestants.map(({ at }) => dayOfAdapter(at.adapter?.path)).find((one) => one !== undefined) ?? today();
  const notes = new Set(contestants.flatMap((contestant) => contestant.notes));
  const read = async ({ model, tokenizer }: OpenContestant, rows: RowsAt, most = Infinity): Promise<readonly TokenRow[]> => {
    const reading = { skipBadRows: false, whole: Infinity, day, cache: tokenCache(model, spec.cacheDir) };
    const loaded = await loadRows(rowFiles(rows), model, tokenizer, { ...spec.rowSettings, ...reading }, port);
    if (loaded.changed.length > 0) notes.add(changedSentence(loaded.changed));
    return most === Infinity ? loaded.whole : firstRows(loaded.whole, most);
  };
  const [testOf, validationOf] = [new Map<OpenModel, readonly TokenRow[]>(), new Map<OpenModel, readonly TokenRow[]>()];
  for (const contestant of [base, ...contestants]) {
    const { model } = contestant;
    if (testOf.has(model)) continue;
    testOf.set(model, await read(contestant, spec, spec.mostRows));
    if (spec.validation !== undefined) validationOf.set(model, await read(contestant, spec.validation));
  }
  const test = testOf.get(base.model)!;
  for (const note of contextNotes(base.model.spec, examplesOf(test))) notes.add(note);
  const train = spec.train === undefined ? null : await read(base, spec.train);
  const trainQuestions = await questionsOf(spreadOver(lastOfRows(train ?? []), mostTrainQuestions), base.tokenizer);
  const messages = new Map((train ?? []).map((row) => [row.index, row.messages]));
  return {
    rows: await comparedRows(test, base.tokenizer),
    ...{ test, rowsHash: hashOf(test), day, train, trainQuestions, notes: [...notes] },
    examples: trainQuestions.flatMap(({ index, question }) => {
      const shot = messages.get(index) ?? null;
      return shot === null ? [] : [{ messages: shot, question: question.question }];
    }),
    rowsOf: ({ model }) => lastOfRows(testOf.get(model)!),
    tokensOf: ({ model }) => testOf.get(model)!,
    validationOf: ({ model }) => lastOfRows(validationOf.get(model) ?? []),
  };
}

export interface Asking {
  readonly examples: Examples;
  readonly schema: unknown;
  readonly day: Day;
  /** Gives the number of examples. */
  readonly count: number;
  readonly settings: Pick<CompareSpec, 'rowSettings'>;
}

/** Makes the prompts of a contestant. Rows that it cannot be asked are named in `notAsked`. */
export async function askRows(
  { name, at, model, tokenizer }: OpenContestant,
  rows: readonly TokenRow[],
  { examples, schema, day, count, settings }: Asking,
): Promise<{ readonly asked: readonly AskedRow[]; readonly notAsked: readonly string[] }> {
  const asked: AskedRow[] = [];
  const notAsked: string[] = [];
  const limit = contextOf(model.spec);
  const asking = { day, thinking: settings.rowSettings?.thinking ?? 'row' };
  const instruction = at.schema === true ? { instruction: schemaInstruction(schema) } : {};
  for (const row of rows) {
    const alone = await questionOf(row, tokenizer!);
    const shots = alone === null || count === 0 ? [] : examples.choose(alone.question, row.messages, count, at.shots?.rule);
    const context = { shots, ...instruction };
    if (at.endpoint !== undefined && alone !== null) {
      const messages = await messagesInContext(alone, row, context, tokenizer!, asking);
      asked.push({ index: row.index, question: alone, messages });
      continue;
    }
    const question = alone && (await inContext(alone, row, context, tokenizer!, asking));
    const why = unaskedBecause(question, limit);
    if (question === null || why !== null)
      notAsked.push(`${row.file}, line ${row.line}: the row was not answered by ${name} because ${why}.`);
    else asked.push({ index: row.index, question });
  }
  return { asked, notAsked };
}

/** Says which test rows are also training rows, or nearly so. */
export function guardsOf(test: readonly TokenRow[], train: readonly TokenRow[]): EvaluationGuards {
  const [own, others] = [factsOf(test), factsOf(train)];
  const [same, near] = [own.rowsIn(others), own.nearRows(others)];
  const sentences = [
    ...(same.count === 0
      ? []
      : [`${same.counted} of the test rows are also training rows, so the adapters have seen the answers.`]),
    ...(near.count === 0 ? [] : [`${near.counted} of the test rows are nearly equal to a training row.`]),
  ];
  const rows = [...same.rows, ...near.rows].toSorted((a, b) => a - b).slice(0, 100);
  return { duplicates: same.count, nearDuplicates: near.count, rows, sentences };
}

function factsOf(rows: readonly TokenRow[]): RowFacts {
  const facts = new RowFacts(null);
  for (const examples of Map.groupBy(rows, ({ index }) => index).values()) facts.add(examples);
  return facts;
}

async function comparedRows(test: readonly TokenRow[], tokenizer: Tokenizer | null): Promise<ComparedRow[]> {
  const first = new Map<string, number>();
  const tokens = new Map<number, number>();
  for (const { index, labels } of test) tokens.set(index, (tokens.get(index) ?? 0) + supervisedTokens(labels));
  const rows: ComparedRow[] = [];
  for (const row of lastOfRows(test)) {
    const { index } = row;
    const asked = tokenizer === null ? null : await questionOf(row, tokenizer);
    const key = asked?.prompt.join() ?? `row ${index}`;
    first.set(key, first.get(key) ?? index);
    const { question = '', expected = '' } = asked ?? {};
    rows.push({ index, question, expected, source: String(first.get(key)), supervisedTokens: tokens.get(index)! });
  }
  return rows;
}

async function questionsOf(rows: readonly TokenRow[], tokenizer: Tokenizer | null): Promise<AskedRow[]> {
  const asked: AskedRow[] = [];
  if (tokenizer === null) return asked;
  for (const row of rows) {
    const question = await questionOf(row, tokenizer);
    if (question !== null) asked.push({ index: row.index, question });
  }
  return asked;
}

/** Returns the last example of each row. */
function lastOfRows(rows: readonly TokenRow[]): TokenRow[] {
  return [...new Map(rows.map((row) => [row.index, row])).values()];
}

function spreadOver<T>(rows: readonly T[], most: number): readonly T[] {
  if (rows.length <= most) return rows;
  return Array.from({ length: most }, (_, i) => rows[Math.floor((i * rows.length) / most)]!);
}

function firstRows(rows: readonly TokenRow[], most: number): TokenRow[] {
  const kept = new Set([...new Set(rows.map(({ index }) => index))].slice(0, most));
  return rows.filter(({ index }) => kept.has(index));
}

function hashOf(rows: readonly TokenRow[]): string {
  const hash = createHash('sha256');
  for (const { inputIds, labels } of rows) hash.update(JSON.stringify([[...inputIds], [...labels]]));
  return hash.digest('hex');
}
