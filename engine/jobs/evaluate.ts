/** Runs the job `evaluate`, which scores a model, with or without an adapter, on rows by a list of evaluators. */
import { openAdapted, recordedOf, type AdaptedModel } from '../adapters/adapted.ts';
import type { EvaluatedRow, EvaluateResult, JobSpec, ScoredAnswer } from '../contract.ts';
import { today } from '../data/day.ts';
import { supervisedTokens } from '../labels.ts';
import { changedSentence, rowFiles } from '../data/row-files.ts';
import type { TokenRow } from '../data/row.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { answerGreedily, answerLimit } from '../evaluate/answers.ts';
import type { AnswerEvaluator, LossEvaluator } from '../evaluate/evaluator.ts';
import { openEvaluators } from '../evaluate/evaluators.ts';
import { verdictOf } from '../evaluate/judge.ts';
import { inContext, noTokenizer, questionOf, unaskedBecause } from '../evaluate/questions.ts';
import type { Measures } from '../measures.ts';
import { openModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { examplesOf } from '../training/examples.ts';
import { contextNotes } from '../training/notes.ts';
import { loadRows } from './load-rows.ts';
import type { JobPort } from './port.ts';
import { progressReporter } from './progress.ts';
import { lossesOf, type RowLossesOf } from './row-losses.ts';
import { dayOfAdapter } from './run-folder.ts';
import { tokenCache } from './token-cache.ts';

type EvaluateSpec = Extract<JobSpec, { kind: 'evaluate' }>;
type Measured = EvaluateResult['measures'];

export async function runEvaluate(spec: EvaluateSpec, port: JobPort): Promise<EvaluateResult> {
  const chosen = await openEvaluators(spec.evaluators ?? ['loss']);
  const byLoss = chosen.filter((one): one is LossEvaluator => one.needs === 'loss');
  const byAnswer = chosen.filter((one): one is AnswerEvaluator => one.needs === 'answers');
  const choice = chosen.find(({ needs }) => needs === 'likelihoods');
  if (choice !== undefined)
    throw new Problem(
      'request-invalid',
      `The evaluator '${choice.name}' is for comparisons.`,
      'Ask for an evaluation of contestants.',
    );
  const given = spec.adapterPath === null ? [] : [{ path: spec.adapterPath, weight: 1, ...recordedOf(spec) }];
  const opened = openAdapted(openModel(spec.model.path, spec.model.acceptFields), given);
  const { model, notes } = opened;
  const tokenizer = tokenizerOf(model);
  const day = dayOfAdapter(spec.adapterPath) ?? today();
  const reading = {
    skipBadRows: false,
    whole: byAnswer.length === 0 ? 0 : Infinity,
    day,
    cache: tokenCache(model, spec.cacheDir),
  };
  const settings = { ...spec.rowSettings, ...reading };
  const { rows, whole, changed, notKept } = await loadRows(rowFiles(spec), model, tokenizer, settings, port);
  const losses = byLoss.length === 0 ? null : scoredLosses(await lossesOf(rows, opened, spec.cacheDir, port), byLoss);
  const answers = byAnswer.length === 0 ? null : await answersTo(whole, opened, tokenizer, byAnswer, { ...spec, day }, port);

  const tokens = new Map<number, number>();
  for (const { index, labels } of rows) tokens.set(index, (tokens.get(index) ?? 0) + supervisedTokens(labels));
  const evaluated = [...tokens].map(([row, supervisedTokens]): EvaluatedRow => {
    const answer = answers?.rows.get(row) ?? null;
    const measured = [losses?.rows.get(row) ?? {}, ...(answer?.verdicts.map(({ measures }) => measures) ?? [])];
    return { row, measures: Object.assign({}, ...measured) as Measures, supervisedTokens, answer };
  });
  return {
    measures: { ...losses?.measures, ...meansOf([...(answers?.rows.values() ?? [])]) },
    supervisedTokens: evaluated.reduce((sum, row) => sum + row.supervisedTokens, 0),
    rows: evaluated,
    notes: [
      ...notes,
      ...(changed.length === 0 ? [] : [changedSentence(changed)]),
      ...(notKept === null ? [] : [`The tokens of the rows were not cached: ${notKept}.`]),
      ...contextNotes(model.spec, examplesOf(rows)),
      ...(answers?.notes ?? []),
    ],
  };
}

/** Scores the loss over all tokens, and that of each row. */
function scoredLosses(
  losses: RowLossesOf,
  byLoss: readonly LossEvaluator[],
): { measures: Measured; rows: Map<number, Measures> } {
  const score = (loss: number) => Object.assign({}, ...byLoss.map((evaluator) => evaluator.score(loss))) as Measures;
  const entries = Object.entries(score(losses.loss)).map(([name, value]) => [name, { value, n: losses.rows.size }]);
  return {
    measures: Object.fromEntries(entries) as Measured,
    rows: new Map([...losses.rows].map(([row, loss]) => [row, score(loss)])),
  };
}

// ── By answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Answers each row once and scores the answer by all evaluators. Rows that cannot be answered are named in the notes. */
async function answersTo(
  examples: readonly TokenRow[],
  { model, adapters }: AdaptedModel,
  tokenizer: Tokenizer | null,
  byAnswer: readonly AnswerEvaluator[],
  { shots = [], maxTokens, cacheDir, day, rowSettings }: EvaluateSpec & { readonly day: string },
  port: JobPort,
): Promise<{ rows: ReadonlyMap<number, ScoredAnswer>; notes: readonly string[] }> {
  if (tokenizer === null) throw noTokenizer();
  const contextLength = contextOf(model.spec);
  const last = new Map(examples.map((example) => [example.index, example]));
  const answers = new Map<number, ScoredAnswer>();
  const notes: string[] = [];
  const onRow = progressReporter(port, 'Answering', 'rows');
  const session = await GenerationSession.open(model, { threads: cpuThreads(), cacheDir, openSession });
  try {
    await session.useAdapters(adapters);
    for (const example of last.values()) {
      await onRow(answers.size + notes.length, last.size);
      const { index, file, line } = example;
      const alone = await questionOf(example, tokenizer);
      const asked =
        alone && (await inContext(alone, example, { shots }, tokenizer, { day, thinking: rowSettings?.thinking ?? 'row' }));
      const why = unaskedBecause(asked, contextLength);
      if (asked === null || why !== null) {
        notes.push(`${file}, line ${line}: the row was not answered because ${why}.`);
        continue;
      }
      const begun = performance.now();
      const { text, tokens } = await answerGreedily(session, asked, {
        ...{ contextLength, tokenizer },
        maxTokens: maxTokens ?? answerLimit(asked),
        shouldStop: () => port.stopRequested,
      });
      const { question, expected } = asked;
      const verdicts = byAnswer.flatMap((evaluator) => verdictOf(evaluator, asked, text, tokens.length) ?? []);
      const costs = {
        promptTokens: asked.prompt.length,
        answerTokens: tokens.length,
        seconds: (performance.now() - begun) / 1000,
      };
      answers.set(index, { question, expected, text, verdicts, ...costs });
      if (!port.stopRequested) port.send({ type: 'answered', row: index, answer: answers.get(index)! });
    }
    await onRow(last.size, last.size);
  } finally {
    await session.release();
  }
  return { rows: answers, notes };
}

/** Computes the mean of each measure over the rows that have it. */
function meansOf(answers: readonly ScoredAnswer[]): Measured {
  const all = answers.flatMap(({ verdicts }) => verdicts.flatMap(({ measures }) => Object.entries(measures)));
  const means = [...Map.groupBy(all, ([name]) => name)].map(([name, of]) => [
    name,
    { value: of.reduce((sum, [, value]) => sum + value, 0) / of.length, n: of.length },
  ]);
  return Object.fromEntries(means) as Measured;
}
