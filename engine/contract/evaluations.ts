/** Defines evaluations: who answers the same rows, how long that takes, and what is stored of it. */
import type { ProblemValue } from '../problem.ts';
import type { EvaluatorChoice, ScoredAnswer, Verdict } from './answers.ts';
import type { ReadingRows, RowsRef } from './data.ts';
import type { EvaluationGuards, EvaluationReport, VerdictCode } from './evaluation-report.ts';
import type { MeasureName, Measures } from '../measures.ts';
import type { ModelRef, Ref } from './models.ts';

/** Names an OpenAI-compatible endpoint at an address that a person typed. */
export interface EndpointRef {
  /** Holds the address up to and with the version: `http://127.0.0.1:8080/v1`. */
  readonly url: string;
  readonly model: string;
  /** Names the environment variable that holds the key. If it is left out, no key is sent. */
  readonly keyVariable?: string;
}
/** Says which examples are put in front of a question. They are training rows and never the row itself. */
export interface ShotsChoice {
  /** Gives the number of examples. `auto` takes the best of 1, 3, 5 and 8 on the validation rows. */
  readonly count: number | 'auto';
  /** Takes the same examples for all questions, drawn with the seed, or for each question those that share the most words with it. */
  readonly rule?: 'seed' | 'nearest';
}
/**
 * Says who answers the rows, and what is added to the prompt. Without any field it is the base as it is. An adapter and an
 * endpoint exclude each other.
 */
export interface Contestant {
  /** Names it in the report. If it is left out, the name follows from the other fields: `few-shot=3+schema`. */
  readonly name?: string;
  readonly adapter?: Ref;
  readonly endpoint?: EndpointRef;
  readonly shots?: ShotsChoice;
  /** Puts the schema, or the definitions of tools, into the system prompt in plain words. */
  readonly schema?: boolean;
  /** Masks all tokens that cannot lead to a document of the schema. */
  readonly constrained?: boolean;
}
/** Asks for an evaluation. `data` and `split` name the rows to answer; the others are never answered. */
export interface EvaluationRequest extends RowsRef, ReadingRows {
  /** Names the project that it is stored in. If it is left out, it is that of the command line. */
  readonly projectId?: string;
  /** Names the evaluation. If it is left out, its name says what is compared. */
  readonly name?: string;
  readonly model: ModelRef;
  /** Names the training rows: the examples, and what evaluators learn from. */
  readonly train?: RowsRef;
  /** Names rows on which the number of examples and the temperature of choices are chosen. */
  readonly validation?: RowsRef;
  readonly contestants: readonly Contestant[];
  readonly evaluators: readonly EvaluatorChoice[];
  /** Holds a JSON Schema, or a list of definitions of tools. If it is left out where it is needed, it is learned from the training answers. */
  readonly schema?: unknown;
  /** Gives the path of a file that holds the schema, in place of `schema`. */
  readonly schemaFile?: string;
  /** Seeds the draw of examples and the bootstrap. If it is left out, it is 0. */
  readonly seed?: number;
  /** Limits the tokens of an answer. If it is left out, the limit is about twice the length of the row's own answer. */
  readonly maxTokens?: number;
  /** Limits the rows that are answered. If it is left out, all are. */
  readonly mostRows?: number;
  /** Limits the training questions that the base answers for evaluators that learn a voice. If it is left out, it is 40. */
  readonly learningRows?: number;
  /** Says that base and adapters also answer the general set in the box, to find what the training broke. */
  readonly general?: boolean;
  /** Ends the evaluation with the connection that started it. */
  readonly attached?: boolean;
}
export type EvaluationState = 'running' | 'stopped' | 'failed' | 'done';
/** Describes a stored evaluation. */
export interface Evaluation {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly state: EvaluationState;
  readonly modelName: string;
  readonly modelPath: string;
  readonly dataName: string;
  /** Holds what was asked for. */
  readonly request: EvaluationRequest;
  /** Lists the names of the contestants in their order. */
  readonly contestants: readonly string[];
  /** Gives the number of rows to answer, or null until they are read. */
  readonly rows: number | null;
  /** Counts the answers that are kept, of all contestants together, and those that there will be; null until the rows are read. */
  readonly answered: number;
  readonly answers: number | null;
  /** Holds the SHA-256 of the rows as the model reads them, or null until they are read. */
  readonly rowsHash: string | null;
  /** Counts the evaluations of the same rows that were begun before this one. */
  readonly looks: number;
  readonly verdict: { readonly code: VerdictCode; readonly sentence: string } | null;
  readonly problem: ProblemValue | null;
  readonly createdAt: number;
  /** Says when it was done, or is null. */
  readonly finishedAt: number | null;
}
/** Says what is known about a contestant before it answers. */
export interface PlannedContestant {
  readonly name: string;
  /** Gives the mean tokens of its prompts, and the most; null for an endpoint, whose tokenizer is not known. */
  readonly promptTokens: number | null;
  readonly mostPromptTokens: number | null;
  /** Gives the seconds that its answers take, measured on a few of them. */
  readonly seconds: number;
  /** Counts the rows that it cannot be asked, because their prompt does not fit. */
  readonly unasked: number;
}
/** Says what an evaluation will take, before it is started. */
export interface EvaluationPlan {
  readonly rows: number;
  readonly rowsHash: string;
  readonly looks: number;
  readonly contestants: readonly PlannedContestant[];
  /**
   * Gives the seconds of all answers, those on training and validation rows with them. What losses, options and the general set
   * take is not counted.
   */
  readonly seconds: number;
  readonly guards: EvaluationGuards;
  /** Holds the schema that will be used, given or learned, or null where none is needed. */
  readonly schema: unknown;
  readonly notes: readonly string[];
}
/** Holds all that is stored of an evaluation except its rows. */
export interface EvaluationDetail {
  readonly evaluation: Evaluation;
  /** Holds the report without `rows`, or null until the evaluation is done. */
  readonly report: Omit<EvaluationReport, 'rows'> | null;
}
/** Names a cell of the table of a pair: rows that both get right, only one of them, or neither. */
export interface PairCell {
  readonly a: string;
  readonly b: string;
  readonly measure: MeasureName;
  readonly cell: 'both' | 'only-a' | 'only-b' | 'neither';
}
/** Holds what one contestant did with a row. */
export interface ContestantAnswer {
  readonly contestant: string;
  readonly text: string | null;
  readonly scores: Measures;
  readonly verdicts: readonly Verdict[];
}
/** Holds a row with the answers of all contestants that were asked for. */
export interface AnsweredQuestion {
  readonly row: number;
  readonly question: string;
  readonly expected: string;
  readonly answers: readonly ContestantAnswer[];
}
/** Describes an option of a kind of evaluator. */
export interface EvaluatorOptionInfo {
  readonly name: string;
  readonly kind: 'integer' | 'flag' | 'choice' | 'text' | 'texts' | 'json';
  /** Says what the option does, as the end of a sentence that begins with its name. */
  readonly help: string;
  /** Lists the values of a choice. */
  readonly of?: readonly string[];
  /** Gives the least value of a number. */
  readonly least?: number;
  /** Gives the value of an option that is left out; without one, the option must be given. */
  readonly otherwise?: unknown;
}
/** Describes a kind of evaluator. */
export interface EvaluatorInfo {
  readonly name: string;
  readonly needs: 'loss' | 'answers' | 'likelihoods';
  readonly summary: string;
  /** Says that it learns from training rows, which must be named. */
  readonly learns: boolean;
  readonly options: readonly EvaluatorOptionInfo[];
}
export interface EvaluationRequests {
  /** Lists the kinds of evaluators that a request can name. */
  'evaluators.list': () => readonly EvaluatorInfo[];
  /** Lists the evaluations of a project, newest first. */
  'evaluations.list': (p: { projectId: string }) => readonly Evaluation[];
  'evaluations.get': (p: { id: string }) => EvaluationDetail;
  /** Returns at most 200 rows, of those in a cell where one is named, with the answers of these contestants or of all. */
  'evaluations.rows': (p: { id: string; offset: number; limit: number; cell?: PairCell; contestants?: readonly string[] }) => {
    readonly rows: readonly AnsweredQuestion[];
    readonly total: number;
  };
  /** Returns the whole report, with the answers of all rows. */
  'evaluations.report': (p: { id: string }) => EvaluationReport;
  /** Returns the report as Markdown, or its rows as CSV. */
  'evaluations.text': (p: { id: string; format: 'markdown' | 'csv' }) => { readonly text: string };
  /** Reads the rows and measures a few answers, to say what the evaluation will take. Nothing is stored. */
  'evaluations.plan': (p: EvaluationRequest) => EvaluationPlan;
  /** Answers when the evaluation has begun; `evaluation.changed` tells the rest. */
  'evaluations.start': (p: EvaluationRequest) => Evaluation;
  /** Stops an evaluation. Its answers are kept. */
  'evaluations.stop': (p: { id: string }) => null;
  /** Goes on where an evaluation stopped, with the answers that are kept. */
  'evaluations.resume': (p: { id: string }) => Evaluation;
  'evaluations.rename': (p: { id: string; name: string }) => Evaluation;
  /** Removes an evaluation with its answers. */
  'evaluations.remove': (p: { id: string }) => null;
  /**
   * Compares the adapter that the sample has trained with the alternatives to it, on the test rows of the sample. The same
   * comparison is made once: one that was started before is returned, and goes on if it was stopped.
   */
  'sample.compare': () => Evaluation;
}
export interface EvaluationEvents {
  /** Tells a new state; `job.progress` with the id of the evaluation tells how far it is and the seconds left. */
  'evaluation.changed': Evaluation;
  'evaluation.removed': { readonly id: string; readonly projectId: string };
  'evaluation.answered': {
    readonly id: string;
    readonly contestant: string;
    readonly row: number;
    readonly answer: ScoredAnswer;
  };
}
