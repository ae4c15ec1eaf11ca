/** `lowrank evaluate` measures a model, with or without adapters, on rows. */
import { existsSync, writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type {
  Contestant,
  EvaluateResult,
  Evaluation,
  EvaluationPlan,
  EvaluationReport,
  EvaluationRequest,
  EvaluatorChoice,
} from '../contract.ts';
import { contestantName, isPrompted, needsSchema, readContestant, withNamesOfTheirOwn } from '../evaluate/contestants.ts';
import { nameOfChoice } from '../evaluate/evaluator-choice.ts';
import { reportCsv, reportMarkdown, spreadSentences } from '../evaluate/report/report-text.ts';
import { readOwnJson, readText } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import type { HostClient } from '../rpc.ts';
import {
  type Command,
  Interrupted,
  mapOptions,
  modelOptions,
  ProblemInResult,
  rowOptions,
  rowUsage,
  type Session,
  UsageError,
} from './command.ts';
import { missedBy, readGate, requireBaseline } from './gate.ts';
import { duration, type Output } from './output.ts';
import { showProgress } from './progress.ts';

/** Any of these options makes a comparison of it. */
const comparing = [
  ...[
    'settings',
    'evaluator',
    'against',
    'train',
    'validation',
    'schema',
    'max-tokens',
    'rows',
    'learning-rows',
    'general',
    'seed',
    'plan',
  ],
  ...['report', 'gate'],
];

export const evaluate: Command = {
  usage: `--model PATH [--accept-field NAME]... --data FILE... [--map question=COLUMN,answer=COLUMN] [--adapter DIR]... [--settings FILE.json] [--evaluator NAME[=OPTIONS.json]]... [--against base,few-shot=3,few-shot-nearest=3,few-shot=auto,schema,few-shot=3+schema,constrained,adapter+schema,endpoint=URL#MODEL] [--train FILE...] [--validation FILE...] [--schema FILE.json] [--max-tokens N] [--rows N] [--learning-rows N] [--general] [--seed N] [--plan] [--report FILE.md|FILE.csv] [--gate MEASURE>=BASELINE+0.05]... ${rowUsage}`,
  summary: 'loss and perplexity on the rows of FILE; with more options a comparison by evaluators',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    data: { type: 'string', multiple: true },
    adapter: { type: 'string', multiple: true },
    settings: { type: 'string' },
    evaluator: { type: 'string', multiple: true },
    against: { type: 'string' },
    train: { type: 'string', multiple: true },
    validation: { type: 'string', multiple: true },
    schema: { type: 'string' },
    'max-tokens': { type: 'string' },
    rows: { type: 'string' },
    'learning-rows': { type: 'string' },
    general: { type: 'boolean' },
    plan: { type: 'boolean' },
    seed: { type: 'string' },
    report: { type: 'string' },
    gate: { type: 'string', multiple: true },
  },
  lists: ['data', 'train', 'validation'],
  async run(session) {
    const { args, output, connect } = session;
    const adapters = args.list('adapter');
    const isGiven = (name: string): boolean => args.text(name) !== undefined || args.list(name).length > 0 || args.flag(name);
    if (adapters.length > 1 || comparing.some(isGiven)) return compare(session, adapters);
    const result = await measured(session, await connect(), adapters[0] ?? null);
    for (const note of result.notes) output.message(note);
    const { notes, measures, supervisedTokens, rows } = result;
    const [loss, perplexity] = [measures.loss!.value, measures.perplexity!.value];
    output.document({
      ...{ notes, loss, perplexity, supervisedTokens },
      rows: rows.map((row) => ({ loss: row.measures.loss!, supervisedTokens: row.supervisedTokens })),
    });
    output.line(`loss               ${loss.toFixed(6)}`);
    output.line(`perplexity         ${perplexity.toFixed(4)}`);
    output.line(`supervised tokens  ${supervisedTokens}`);
    output.line(`rows               ${rows.length}`);
  },
};

/** Compares contestants on the same rows as one evaluation, which is stored. */
async function compare(session: Session, adapters: readonly string[]): Promise<void> {
  const { args, output } = session;
  const gates = args.list('gate').map(readGate);
  const request = comparison(session, adapters);
  const file = args.text('report');
  if (file !== undefined) requireReportPlace(file);
  const names = request.contestants.flatMap(({ name }) => name ?? []);
  for (const gate of gates) requireBaseline(gate, names);
  if (args.list('evaluator').length === 0 && request.evaluators.length > 1)
    output.message(`No --evaluator is named, so these measure: ${request.evaluators.map(nameOfChoice).join(', ')}.`);
  const client = await session.connect();
  if (args.flag('plan')) return showPlan(output, await planned(client, request, output));
  const { id } = await client.request('evaluations.start', request);
  const report = await reportOf(session, client, id);
  showReport(output, report);
  if (file !== undefined) writeReport(resolve(file), report);
  const missed = gates.flatMap((gate) => missedBy(report, gate));
  if (missed.length === 0) return output.document(report);
  const problem = new Problem('gate-missed', missed.join(' '), 'Train further or on other rows, or lower the gate.');
  throw new ProblemInResult(problem, report);
}

/** Follows an evaluation to its end, and returns its report. Ctrl-C stops it. */
export async function reportOf(
  { output, onInterrupt }: Pick<Session, 'output' | 'onInterrupt'>,
  client: HostClient,
  id: string,
): Promise<EvaluationReport> {
  onInterrupt(() => {
    output.message('Stopping. Press Ctrl-C again to end immediately.');
    client.request('evaluations.stop', { id }).catch(() => {});
  });
  const ended = await followEvaluation(client, id, output);
  if (ended.state === 'stopped')
    throw new Interrupted(`Stopped after ${ended.answered} answers, which are kept. Continue in the window, under Evaluate.`);
  if (ended.problem !== null) throw Problem.fromValue(ended.problem);
  const report = await client.request('evaluations.report', { id });
  for (const note of report.notes) output.message(note);
  return report;
}

/** Writes a report as Markdown, or its rows as CSV where the name of the file says so. */
export function writeReport(file: string, report: EvaluationReport): void {
  writeFileSync(file, file.endsWith('.csv') ? reportCsv(report) : reportMarkdown(report));
}

/** Throws where a report could not be written, so that nothing is evaluated in vain. */
function requireReportPlace(file: string): void {
  if (!/\.(md|csv)$/.test(file)) throw new UsageError(`--report takes FILE.md or FILE.csv, not '${file}'.`);
  const folder = dirname(resolve(file));
  if (!existsSync(folder)) throw new Problem('file-missing', `There is no folder ${folder} for the report.`, 'Make it first.');
}

/** Makes the request of what the command line says. */
function comparison({ args }: Session, adapters: readonly string[]): EvaluationRequest {
  const file = args.text('settings');
  const settings = file === undefined ? {} : readSettings(resolve(file));
  const against = args.text('against')?.split(',') ?? settings.against ?? (adapters.length === 0 ? ['base'] : []);
  const paths = adapters.map((path) => resolve(path));
  const chosen = [...against.flatMap((text) => readContestant(text, paths)), ...paths.map((path) => ({ adapter: { path } }))];
  const nameOfAdapter = (contestant: Contestant): string =>
    contestant.adapter === undefined || 'id' in contestant.adapter ? '' : nameOf(contestant.adapter.path, paths);
  const contestants: readonly Contestant[] = withNamesOfTheirOwn(
    chosen.map((contestant: Contestant) => ({ ...contestant, name: contestantName(contestant, nameOfAdapter(contestant)) })),
  );
  const evaluators = args.list('evaluator');
  const files = (name: string) => args.list(name).map((path) => resolve(path));
  const mapping = args.mapping();
  const rowsOf = (name: string) => ({ data: { paths: files(name), ...(mapping === undefined ? {} : { mapping }) } });
  const schema = args.text('schema');
  const number = (name: string, min: number) =>
    args.text(name) === undefined ? undefined : args.number(name, min, { min, integer: true });
  const numbers = Object.entries({
    ...{ maxTokens: number('max-tokens', 1), mostRows: number('rows', 1), learningRows: number('learning-rows', 1) },
    seed: number('seed', 0),
  }).filter(([, value]) => value !== undefined);
  return {
    ...{ model: args.model(), data: args.files('data'), rowSettings: args.rowSettings(), contestants },
    evaluators: evaluators.length === 0 ? (settings.evaluators ?? unnamedEvaluators()) : evaluators.map(withGivenSchema),
    ...(args.list('train').length === 0 ? {} : { train: rowsOf('train') }),
    ...(args.list('validation').length === 0 ? {} : { validation: rowsOf('validation') }),
    ...(schema === undefined ? {} : { schemaFile: resolve(schema) }),
    ...(settings.maxTokens === undefined ? {} : { maxTokens: settings.maxTokens }),
    ...Object.fromEntries(numbers),
    ...(args.flag('general') ? { general: true } : {}),
    attached: true,
  };

  /** Returns what measures where nobody named an evaluator: answers are scored where some are asked for. */
  function unnamedEvaluators(): EvaluatorChoice[] {
    const isAnswered = contestants.some(isPrompted) || schema !== undefined || args.text('max-tokens') !== undefined;
    if (!isAnswered) return ['loss'];
    // The verdict is by the first that measures anything: `json-values` where the rows' own answers are objects.
    return ['json-values', ...allowedBySchema(), 'exact-match', 'loss'];
  }

  /** Reads an evaluator; `json-schema` without options takes the schema of the contestants. */
  function withGivenSchema(text: string): EvaluatorChoice {
    const [given] = text === 'json-schema' && schema !== undefined ? allowedBySchema() : [];
    return typeof given === 'object' && given.name === text ? given : readEvaluator(text);
  }

  function allowedBySchema(): EvaluatorChoice[] {
    if (schema === undefined) return contestants.some(needsSchema) ? ['json'] : [];
    const given = readOwnJson(resolve(schema), 'It must hold a JSON Schema, or a list of definitions of tools.');
    return Array.isArray(given)
      ? [{ name: 'tool-calls', options: { tools: given } }]
      : [{ name: 'json-schema', options: { schema: given } }];
  }
}

function planned(client: HostClient, request: EvaluationRequest, output: Output): Promise<EvaluationPlan> {
  return showProgress(client, output, 'compare', () => client.request('evaluations.plan', request));
}

function showPlan(output: Output, plan: EvaluationPlan): void {
  for (const note of [...plan.notes, ...plan.guards.sentences]) output.message(note);
  for (const { name, promptTokens, seconds } of plan.contestants)
    output.line(`${name}  ${promptTokens === null ? '' : `${promptTokens.toFixed(0)} prompt tokens, `}${duration(seconds)}`);
  output.line(`${plan.rows} rows take about ${duration(plan.seconds)}.`);
  output.document(plan);
}

export function showReport(
  output: Output,
  { guards, looks, contestants, power, seeds, general, verdict }: EvaluationReport,
): void {
  for (const { name, measures: own } of contestants)
    for (const [measure, { value, low, high, n }] of Object.entries(own))
      output.line(`${name}  ${measure}  ${value.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)}, n = ${n})`);
  for (const sentence of [
    ...power,
    ...seeds.flatMap(spreadSentences),
    ...(general?.broke.map((one) => one.sentence) ?? []),
    ...(guards?.sentences ?? []),
  ])
    output.line(sentence);
  if (looks !== null && looks > 0) output.line(`These rows were evaluated ${looks} ${looks === 1 ? 'time' : 'times'} before.`);
  output.line(verdict.sentence);
}

/** Shows how far an evaluation is, and returns it when it has ended. */
async function followEvaluation(client: HostClient, id: string, output: Output): Promise<Evaluation> {
  const ended = Promise.withResolvers<Evaluation>();
  const hear = (evaluation: Evaluation): void => {
    if (evaluation.id === id && evaluation.state !== 'running') ended.resolve(evaluation);
  };
  const ends = [
    client.on('evaluation.changed', hear),
    client.on('job.progress', (event) => {
      if (event.subjectId === id) output.progress(event.progress);
    }),
  ];
  client.onClose(() => ended.reject(new Problem('host-unreachable', 'The engine has ended.', 'Start the command again.')));
  try {
    // It may have ended before anybody listened.
    hear((await client.request('evaluations.get', { id })).evaluation);
    return await ended.promise;
  } finally {
    for (const end of ends) end();
    output.end();
  }
}

function measured({ args, output }: Session, client: HostClient, adapter: string | null): Promise<EvaluateResult> {
  return showProgress(client, output, 'evaluate', () =>
    client.request('evaluate.start', {
      ...{ model: args.model(), data: args.files('data'), rowSettings: args.rowSettings() },
      adapter: adapter === null ? null : resolve(adapter),
    }),
  );
}

/** Returns what an adapter is called: its folder, or its path where two folders have the same name. */
function nameOf(path: string, all: readonly string[]): string {
  const isOnly = all.filter((other) => basename(other) === basename(path)).length === 1;
  return isOnly && basename(path) !== 'base' ? basename(path) : path;
}

/** Holds what a file of settings may say, as `evaluate.json` of a sample does. */
interface Settings {
  readonly evaluators?: readonly EvaluatorChoice[];
  readonly against?: readonly string[];
  readonly maxTokens?: number;
}
const forPeople = ['title', 'summary', 'right', 'decisive'];

/** Reads a file of settings. What only tells people about them is passed over; throws a `Problem` for anything else. */
function readSettings(path: string): Settings {
  const wrong = (message: string): Problem =>
    new Problem(
      'data-invalid',
      `${path}: ${message}`,
      'It is a JSON object with evaluators, against and maxTokens, each of which may be left out.',
    );
  let content: unknown;
  try {
    content = JSON.parse(readText(path, 1 << 24));
  } catch (error) {
    throw error instanceof Problem ? error : wrong('The file is not JSON.');
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) throw wrong('The file is not a JSON object.');
  const { evaluators, against, maxTokens, ...more } = content as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(more).find((key) => !forPeople.includes(key));
  if (unknown !== undefined) throw wrong(`There is no setting '${unknown}'.`);
  const isList = (value: unknown, holds: (one: unknown) => boolean): boolean =>
    value === undefined || (Array.isArray(value) && value.length > 0 && value.every(holds));
  const isText = (one: unknown): boolean => typeof one === 'string';
  const isEvaluator = (one: unknown): boolean =>
    isText(one) || (typeof one === 'object' && one !== null && isText((one as { name?: unknown }).name) && 'options' in one);
  if (!isList(evaluators, isEvaluator))
    throw wrong("'evaluators' is not a list of names, or of objects with name and options.");
  if (!isList(against, isText)) throw wrong("'against' is not a list of contestants.");
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && (maxTokens as number) >= 1))
    throw wrong("'maxTokens' is not a whole number from 1.");
  return Object.fromEntries(
    Object.entries({ evaluators, against, maxTokens }).filter(([, value]) => value !== undefined),
  ) as Settings;
}

/** Reads `NAME` or `NAME=FILE`, where the file holds the options as JSON, or is the code of an own evaluator. */
function readEvaluator(text: string): EvaluatorChoice {
  const at = text.indexOf('=');
  if (at < 0) return text;
  const [name, file] = [text.slice(0, at), resolve(text.slice(at + 1))];
  if (/\.[cm]?js$/.test(file)) return { name, options: { code: readText(file, 1 << 24) } };
  const options = readOwnJson(file, `It must hold the options of the evaluator '${name}', as an object.`);
  return { name, options: options as Readonly<Record<string, unknown>> };
}
