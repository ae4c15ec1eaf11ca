/** Lets a field of contestants answer their rows, and scores the answers. */
import { answeredFirst } from '../answered-first.ts';
import type { ScoredAnswer } from '../contract.ts';
import { answerLimit } from '../evaluate/answers.ts';
import type { AnswerEvaluator } from '../evaluate/evaluator.ts';
import { verdictOf } from '../evaluate/judge.ts';
import { type Answer, type Answering, sharedPrefix, stoppedComparison } from './answering.ts';
import type { AskedRow } from './compared-rows.ts';
import type { OpenContestant } from './contestants.ts';
import type { JobPort } from './port.ts';

/** Holds a contestant with the rows that it is asked. */
export interface Asked {
  readonly contestant: OpenContestant;
  readonly rows: readonly AskedRow[];
  /** Gives the tokens that its prompts share. */
  readonly shared: number;
  /** Holds the seconds of the answers that it has given. */
  readonly seconds: number[];
}

export type FieldAnswers = ReadonlyMap<OpenContestant, ReadonlyMap<number, ScoredAnswer>>;

export interface Round {
  readonly evaluators: readonly AnswerEvaluator[];
  /** Says what is being done, before the name of who answers. */
  readonly phase: string;
  readonly onAnswer?: (contestant: OpenContestant, row: number, answer: ScoredAnswer) => void;
}

export function askedBy(contestant: OpenContestant, rows: readonly AskedRow[]): Asked {
  return { contestant, rows, shared: sharedPrefix(rows.map(({ question }) => question.prompt)), seconds: [] };
}

export class Field {
  readonly #answering: Answering;
  readonly #port: JobPort;
  readonly #maxTokens: number | undefined;

  /** Makes a field. Without `maxTokens` an answer may be about twice as long as the row's own. */
  constructor(answering: Answering, port: JobPort, maxTokens: number | undefined) {
    this.#answering = answering;
    this.#port = port;
    this.#maxTokens = maxTokens;
  }

  /** Lets a contestant answer some of its rows, and tells each answer. */
  async answersOf(
    { contestant, shared, seconds }: Asked,
    rows: readonly AskedRow[],
    onAnswer: (row: AskedRow, answer: Answer) => void = () => {},
  ): Promise<readonly Answer[]> {
    if (this.#port.stopRequested) throw stoppedComparison();
    return this.#answering.answers(contestant, rows, {
      shared,
      limitOf: (row) => this.#maxTokens ?? answerLimit(row.question),
      onAnswer: (row, answer) => {
        seconds.push(answer.seconds);
        onAnswer(row, answer);
      },
    });
  }

  /** Lets every contestant answer all of its rows, one contestant after the other but for the first few answers. */
  async answerAll(field: readonly Asked[], { evaluators, phase, onAnswer = () => {} }: Round): Promise<FieldAnswers> {
    const answers = new Map(field.map(({ contestant }) => [contestant, new Map<number, ScoredAnswer>()]));
    let done = 0;
    const total = field.reduce((sum, { rows }) => sum + rows.length, 0);
    const secondsLeft = (): number | null => {
      if (field.some(({ seconds, rows }) => seconds.length === 0 && rows.length > 0)) return null;
      const left = field.map(({ contestant, seconds, rows }) => (rows.length - answers.get(contestant)!.size) * mean(seconds));
      return left.reduce((sum, one) => sum + one, 0);
    };
    const answerRows = async (asked: Asked, rows: readonly AskedRow[]): Promise<void> => {
      const { contestant } = asked;
      const own = answers.get(contestant)!;
      const tell = (): void =>
        this.#port.send({
          type: 'progress',
          progress: { phase: `${phase}: ${contestant.name}`, done, total, unit: 'answers', secondsLeft: secondsLeft() },
        });
      const left = rows.filter(({ index }) => !own.has(index));
      if (left.length === 0) return;
      tell();
      await this.answersOf(asked, left, (row, given) => {
        const answer = scored(row, given, evaluators);
        own.set(row.index, answer);
        done++;
        onAnswer(contestant, row.index, answer);
        tell();
      });
    };
    for (const asked of field) await answerRows(asked, spread(asked.rows, answeredFirst));
    for (const asked of field) await answerRows(asked, asked.rows);
    return answers;
  }
}

function scored({ question: asked }: AskedRow, answer: Answer, evaluators: readonly AnswerEvaluator[]): ScoredAnswer {
  const { question, expected, prompt } = asked;
  const { text, tokens, seconds, promptTokens = prompt.length } = answer;
  const verdicts = evaluators.flatMap((evaluator) => verdictOf(evaluator, asked, text, tokens) ?? []);
  return { question, expected, text, verdicts, promptTokens, answerTokens: tokens, seconds };
}

/** Returns rows that are spread evenly over all of them. */
export function spread<T>(rows: readonly T[], count: number): readonly T[] {
  if (rows.length <= count) return rows;
  return Array.from({ length: count }, (_, i) => rows[Math.floor(((i + 0.5) * rows.length) / count)]!);
}

/** Returns the mean, or 0 of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
