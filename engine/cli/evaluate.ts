/** `lowrank evaluate` measures a model, with or without adapters, on rows. */
import { writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { EvaluateResult, EvaluatorChoice, ReportedRow } from '../contract.ts';
import { reportCsv, reportMarkdown } from '../evaluate/report/report-text.ts';
import { type ContestantResult, evaluationReport } from '../evaluate/report/report.ts';
import { readText } from '../formats/files.ts';
import type { MeasureName } from '../measures.ts';
import { Problem } from '../problem.ts';
import type { HostClient } from '../rpc.ts';
import {
  type Command,
  mapOptions,
  modelOptions,
  ProblemInResult,
  rowOptions,
  rowUsage,
  type Session,
  UsageError,
} from './command.ts';
import { missedBy, readGate } from './gate.ts';
import { showProgress } from './progress.ts';

export const evaluate: Command = {
  usage: `--model PATH [--accept-field NAME]... --data FILE... [--map question=COLUMN,answer=COLUMN] [--adapter DIR]... [--evaluator NAME[=OPTIONS.json]]... [--against base] [--max-tokens N] [--seed N] [--report FILE.md|FILE.csv] [--gate MEASURE>=BASELINE+0.05]... ${rowUsage}`,
  summary: 'loss and perplexity on the rows of FILE; with more options a comparison by evaluators',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    data: { type: 'string', multiple: true },
    adapter: { type: 'string', multiple: true },
    evaluator: { type: 'string', multiple: true },
    against: { type: 'string' },
    'max-tokens': { type: 'string' },
    seed: { type: 'string' },
    report: { type: 'string' },
    gate: { type: 'string', multiple: true },
  },
  lists: ['data'],
  async run(session) {
    const { args, output, connect } = session;
    const adapters = args.list('adapter');
    const comparing = ['evaluator', 'against', 'max-tokens', 'seed', 'report', 'gate'];
    if (adapters.length > 1 || comparing.some((name) => args.text(name) !== undefined || args.list(name).length > 0))
      return compare(session, adapters);
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

/** Measures base and adapters one after the other, and compares them on the same rows. */
async function compare(session: Session, adapters: readonly string[]): Promise<void> {
  const { args, output } = session;
  const against = args.text('against')?.split(',') ?? [];
  const unknown = against.find((name) => name !== 'base');
  if (unknown !== undefined) throw new UsageError(`--against takes base, not '${unknown}'.`);
  const chosen = args.list('evaluator');
  const evaluators = chosen.length === 0 ? ['loss'] : chosen.map(readEvaluator);
  const gates = args.list('gate').map(readGate);
  const settings = {
    evaluators,
    ...(args.text('max-tokens') === undefined ? {} : { maxTokens: args.number('max-tokens', 1, { min: 1, integer: true }) }),
  };
  const seed = args.number('seed', 0, { min: 0, integer: true });
  const client = await session.connect();
  const contestants: ContestantResult[] = [];
  const notes = new Set<string>();
  const measures = new Set<MeasureName>();
  for (const adapter of against.length > 0 || adapters.length === 0 ? [null, ...adapters] : adapters) {
    const result = await measured(session, client, adapter, settings);
    for (const note of result.notes) notes.add(note);
    for (const name of Object.keys(result.measures)) measures.add(name as MeasureName);
    contestants.push({ name: nameOf(adapter, adapters), trained: adapter !== null, rows: result.rows.map(reportedRow) });
  }
  for (const note of notes) output.message(note);
  const report = evaluationReport(contestants, { measures: [...measures], seed });
  const file = args.text('report');
  if (file !== undefined) writeFileSync(resolve(file), file.endsWith('.csv') ? reportCsv(report) : reportMarkdown(report));
  for (const { name, measures: own } of report.contestants)
    for (const [measure, { value, low, high, n }] of Object.entries(own))
      output.line(`${name}  ${measure}  ${value.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)}, n = ${n})`);
  for (const sentence of report.power) output.line(sentence);
  output.line(report.verdict.sentence);
  const missed = gates.flatMap((gate) => missedBy(report, gate));
  if (missed.length === 0) return output.document({ notes: [...notes], ...report });
  const problem = new Problem('gate-missed', missed.join(' '), 'Train further or on other rows, or lower the gate.');
  throw new ProblemInResult(problem, { notes: [...notes], ...report });
}

function measured(
  { args, output }: Session,
  client: HostClient,
  adapter: string | null,
  settings: { readonly evaluators?: readonly EvaluatorChoice[]; readonly maxTokens?: number } = {},
): Promise<EvaluateResult> {
  return showProgress(client, output, 'evaluate', () =>
    client.request('evaluate.start', {
      ...{ model: args.model(), data: args.files('data'), rowSettings: args.rowSettings(), ...settings },
      adapter: adapter === null ? null : resolve(adapter),
    }),
  );
}

/** Returns what a contestant is called: its folder, or the path as it was given where two folders have the same name. */
function nameOf(adapter: string | null, all: readonly string[]): string {
  if (adapter === null) return 'base';
  const isOnly = all.filter((other) => basename(resolve(other)) === basename(resolve(adapter))).length === 1;
  return isOnly && basename(resolve(adapter)) !== 'base' ? basename(resolve(adapter)) : adapter;
}

function reportedRow({
  row,
  measures,
  supervisedTokens,
  answer,
}: EvaluateResult['rows'][number]): Omit<ReportedRow, 'contestant'> {
  return {
    ...{ row, answer: answer?.text ?? null, scores: measures, source: String(row), supervisedTokens },
    ...{
      promptTokens: answer?.promptTokens ?? null,
      answerTokens: answer?.answerTokens ?? null,
      seconds: answer?.seconds ?? null,
    },
  };
}

/** Reads `NAME` or `NAME=FILE`, where the file holds the options as JSON. */
function readEvaluator(text: string): EvaluatorChoice {
  const at = text.indexOf('=');
  if (at < 0) return text;
  const [name, file] = [text.slice(0, at), resolve(text.slice(at + 1))];
  const content = readText(file, 1 << 24);
  try {
    return { name, options: JSON.parse(content) as Readonly<Record<string, unknown>> };
  } catch {
    throw new Problem(
      'data-invalid',
      `${file} is not JSON.`,
      `It must hold the options of the evaluator '${name}', as an object.`,
    );
  }
}
