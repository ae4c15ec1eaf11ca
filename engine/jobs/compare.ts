/** Runs the job `compare`: contestants answer the same rows, evaluators score the answers, and a report compares them. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type {
  AnsweredQuestion,
  Calibration,
  EvaluationGuards,
  EvaluationPlan,
  GeneralReport,
  JobSpec,
  PlannedContestant,
  ReportedRow,
  ScoredAnswer,
} from '../contract.ts';
import { answeredFirst } from '../answered-first.ts';
import { mostOptions } from '../evaluate/choice.ts';
import { isPrompted, needsSchema } from '../evaluate/contestants.ts';
import type { AnswerEvaluator, ChoiceEvaluator, LearningRows, LossEvaluator } from '../evaluate/evaluator.ts';
import { kindNamed, openEvaluators } from '../evaluate/evaluators.ts';
import { nameOfChoice } from '../evaluate/evaluator-choice.ts';
import { verdictOf } from '../evaluate/judge.ts';
import { type ContestantResult, evaluationReport } from '../evaluate/report/report.ts';
import { noTokenizer } from '../evaluate/questions.ts';
import { Examples, triedCounts } from '../evaluate/shots.ts';
import { learnedSchema } from '../evaluate/schema-prompt.ts';
import { readOwnJson } from '../formats/files.ts';
import type { MeasureName, Measures } from '../measures.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { permutation } from '../random.ts';
import { templateHash } from './run-identity.ts';
import { Answering } from './answering.ts';
import { askRows, type ComparedRows, guardsOf, readCompared } from './compared-rows.ts';
import { openContestant, type OpenContestant } from './contestants.ts';
import { answeredIn, answersIn, type CompareResult, reportIn } from './evaluation-folder.ts';
import { type Asked, askedBy, Field, type FieldAnswers, mean, spread } from './field.ts';
import { answerGeneral } from './general.ts';
import { KeptAnswers } from './kept-answers.ts';
import type { JobPort } from './port.ts';
import { lossesOf } from './row-losses.ts';

export type CompareSpec = Extract<JobSpec, { kind: 'compare' }>;

/** Limits the validation rows on which the number of examples is chosen. */
const mostValidationRows = 40;
const learningRowsIfLeftOut = 40;

interface ChoicesOfOne {
  readonly rows: ReadonlyMap<number, { readonly confidence: number; readonly measures: Measures }>;
  readonly calibration: Calibration;
}
type Choices = ReadonlyMap<OpenContestant, ChoicesOfOne>;

export async function runCompare(spec: CompareSpec, port: JobPort): Promise<CompareResult | EvaluationPlan> {
  requireWhatEvaluatorsNeed(spec);
  const base = openModel(spec.model.path, spec.model.acceptFields);
  const opened = spec.contestants.map((at) => openContestant(base, at));
  const plain = openContestant(base, { name: 'base' });
  const data = await readCompared(spec, plain, opened, port);
  const notes = [...data.notes];
  const schema = schemaFor(spec, data, notes);
  const { seed = 0 } = spec;
  const examples = new Examples(data.examples, seed);
  const guards = data.train === null ? null : guardsOf(data.test, data.train);
  const answersWanted = spec.evaluators.some((choice) => kindNamed(nameOfChoice(choice)).needs !== 'loss');
  if (answersWanted && plain.tokenizer === null) throw noTokenizer();
  const kept = new KeptAnswers(spec.out === null ? null : answersIn(spec.out));
  const answering = new Answering(spec.cacheDir, { kept, port, schema });
  const field = new Field(answering, port, spec.maxTokens);
  try {
    const asked = answersWanted ? await Promise.all(opened.map((contestant) => ask(contestant, data.rowsOf(contestant)))) : [];
    if (spec.out === null) return await plan(asked);
    const isAnswered = spec.evaluators.some((choice) => kindNamed(nameOfChoice(choice)).needs === 'answers');
    const total = isAnswered ? asked.reduce((sum, { rows }) => sum + rows.length, 0) : 0;
    port.send({ type: 'asked', rows: data.rows.length, rowsHash: data.rowsHash, answers: total });
    const learning = await learningRows();
    const evaluators = await openEvaluators(spec.evaluators, learning);
    const byLoss = evaluators.filter((one): one is LossEvaluator => one.needs === 'loss');
    const byAnswer = evaluators.filter((one): one is AnswerEvaluator => one.needs === 'answers');
    const byChoice = evaluators.filter((one): one is ChoiceEvaluator => one.needs === 'likelihoods');
    for (const evaluator of byAnswer) notes.push(...(evaluator.notes ?? []));
    for (const [i, { contestant }] of asked.entries())
      if (contestant.at.shots?.count === 'auto') asked[i] = await withChosenCount(contestant, byAnswer);
    const answers = await field.answerAll(byAnswer.length === 0 ? [] : asked, {
      ...{ evaluators: byAnswer, phase: 'Answering' },
      onAnswer: ({ name }, row, answer) => port.send({ type: 'answered', row, contestant: name, answer }),
    });
    for (const evaluator of byAnswer) notes.push(...unscoredNotes(evaluator.name, answers));
    const choices = await allChoices(asked, byChoice);
    const losses = byLoss.length === 0 ? new Map<OpenContestant, ReadonlyMap<number, number>>() : await allLosses();
    const results = opened.map((contestant) =>
      resultOf(contestant, answers.get(contestant), losses.get(contestant), choices.get(contestant), byLoss),
    );
    const measures = measuresInOrder(evaluators.map(({ name }) => name));
    const general = spec.general === true ? await generalOf() : null;
    const report = evaluationReport(results, { measures, seed, notes, guards, general, hashes: hashes() });
    writeFileSync(answeredIn(spec.out), JSON.stringify(answeredQuestions(answers, results)));
    writeFileSync(reportIn(spec.out), JSON.stringify(report));
    return { verdict: report.verdict };

    function measuresInOrder(order: readonly string[]): MeasureName[] {
      const found = new Map(order.map((name) => [name, new Set<MeasureName>()]));
      for (const own of answers.values())
        for (const { verdicts } of own.values())
          for (const { evaluator, measures } of verdicts)
            for (const measure of Object.keys(measures)) found.get(evaluator)?.add(measure as MeasureName);
      for (const { name } of byLoss) found.get(name)?.add('loss');
      for (const { name } of byChoice) for (const measure of ['choice', 'brier'] as const) found.get(name)?.add(measure);
      return [...found.values()].flatMap((own) => [...own]);
    }
  } finally {
    await answering.release();
    kept.close();
  }

  // ── Prompts ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  async function ask(contestant: OpenContestant, rows: ComparedRows['test'], count = firstCount(contestant)): Promise<Asked> {
    const { asked, notAsked } = await askRows(contestant, rows, { examples, schema, day: data.day, count, settings: spec });
    notes.push(...notAsked);
    return askedBy(contestant, asked);
  }

  /** Takes the number of examples with the best mean of the first measure on the validation rows; of equals, the fewest. */
  async function withChosenCount(contestant: OpenContestant, byAnswer: readonly AnswerEvaluator[]): Promise<Asked> {
    const [evaluator] = byAnswer;
    if (evaluator === undefined)
      throw new Problem(
        'request-invalid',
        'No evaluator scores answers, so the number of examples cannot be chosen.',
        'Give a number.',
      );
    const rows = data.validationOf(contestant).slice(0, mostValidationRows);
    let best = { count: 0, mean: -Infinity };
    for (const count of triedCounts.filter((one) => one <= examples.length)) {
      const tried = await ask(contestant, rows, count);
      let [sum, scored] = [0, 0];
      for (const [i, { text, tokens }] of (await field.answersOf(tried, tried.rows)).entries()) {
        const row = tried.rows[i]!;
        const value = Object.values(verdictOf(evaluator, row.question, text, tokens)?.measures ?? {})[0];
        if (value === undefined) continue;
        sum += value;
        scored++;
      }
      if (scored > 0 && sum / scored > best.mean) best = { count, mean: sum / scored };
    }
    if (best.count === 0) throw new Problem('data-empty', 'No validation row could be scored.', 'Give a number of examples.');
    notes.push(
      `${contestant.name} has ${best.count} examples: the best of ${triedCounts.join(', ')} on ${rows.length} validation rows by ${evaluator.name}.`,
    );
    return ask(contestant, data.rowsOf(contestant), best.count);
  }

  // ── Answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets the base answer some training questions, where an evaluator learns from its answers. */
  async function learningRows(): Promise<LearningRows> {
    if (!spec.evaluators.some((choice) => kindNamed(nameOfChoice(choice)).learns)) return [];
    const trained = data.trainQuestions;
    const most = spec.learningRows ?? learningRowsIfLeftOut;
    const drawn = [...permutation(trained.length, seed, 1)].slice(0, most).map((i) => trained[i]!);
    const asked = askedBy(plain, drawn);
    let done = 0;
    const tell = (): void => {
      const progress = { phase: 'Answering training questions with the base', done, total: drawn.length, unit: 'answers' };
      const secondsLeft = done === 0 ? null : (drawn.length - done) * mean(asked.seconds);
      port.send({ type: 'progress', progress: { ...progress, secondsLeft } });
    };
    tell();
    const answers = await field.answersOf(asked, drawn, () => {
      done++;
      tell();
    });
    return drawn.map(({ question }, i) => ({
      question: question.question,
      trained: question.expected,
      base: answers[i]!.text,
    }));
  }

  /** Measures how likely each contestant finds the options of each row. Rows whose own answer is no option are left out. */
  async function allChoices(asked: readonly Asked[], byChoice: readonly ChoiceEvaluator[]): Promise<Choices> {
    const found: Map<OpenContestant, ChoicesOfOne> = new Map();
    for (const { options: given, scoreAll } of byChoice) {
      const answers = [...new Set(data.rows.map(({ expected }) => expected.trim()).filter((text) => text !== ''))];
      const options = given.length > 0 ? given : answers.toSorted();
      if (options.length < 2 || options.length > mostOptions)
        throw new Problem(
          'request-invalid',
          `There are ${options.length} options to choose from, and there must be 2 to ${mostOptions}.`,
          "Name them in the option 'of' of the evaluator 'choice'.",
        );
      for (const { contestant, rows, shared } of asked) {
        if (contestant.at.endpoint !== undefined) {
          notes.push(`${contestant.name} is an endpoint, which does not say how likely options are.`);
          continue;
        }
        const likely: { readonly index: number; readonly right: number; readonly logLikelihoods: number[] }[] = [];
        for (const [done, row] of rows.entries()) {
          const right = options.indexOf(row.question.expected.trim());
          if (right < 0) continue;
          const progress = { phase: `Measuring the options: ${contestant.name}`, done, total: rows.length, unit: 'rows' };
          port.send({ type: 'progress', progress: { ...progress, secondsLeft: null } });
          likely.push({
            index: row.index,
            right,
            logLikelihoods: await answering.likelihoods(contestant, row, options, shared),
          });
        }
        const { rows: scored, calibration } = scoreAll(likely);
        const byRow = new Map(scored.map(({ confidence, measures }, i) => [likely[i]!.index, { confidence, measures }]));
        found.set(contestant, { rows: byRow, calibration });
      }
    }
    return found;
  }

  /** Measures the loss of everybody whose prompt is that of the training. */
  async function allLosses(): Promise<ReadonlyMap<OpenContestant, ReadonlyMap<number, number>>> {
    const losses = new Map<OpenContestant, ReadonlyMap<number, number>>();
    await answering.release();
    for (const contestant of opened) {
      if (isPrompted(contestant.at)) continue;
      const tokens = data.tokensOf(contestant);
      const rows = await kept.get(['loss', ...contestant.identity, data.rowsHash], async () => [
        ...(await lossesOf(tokens, contestant, spec.cacheDir, port, `Measuring the loss: ${contestant.name}`)).rows,
      ]);
      losses.set(contestant, new Map(rows));
    }
    return losses;
  }

  // ── The report ────────────────────────────────────────────────────────────────────────────────────────────────────────

  function resultOf(
    { name, at, training, sameButSeed }: OpenContestant,
    answers: ReadonlyMap<number, ScoredAnswer> | undefined,
    losses: ReadonlyMap<number, number> | undefined,
    choices: ChoicesOfOne | undefined,
    byLoss: readonly LossEvaluator[],
  ): ContestantResult {
    const rows = data.rows.flatMap(({ index, source, supervisedTokens }): Omit<ReportedRow, 'contestant'>[] => {
      const answer = answers?.get(index);
      const loss = losses?.get(index);
      const choice = choices?.rows.get(index);
      if (answer === undefined && loss === undefined && choice === undefined) return [];
      const scores = [
        ...(loss === undefined ? [] : byLoss.map((evaluator) => evaluator.score(loss))),
        ...(answer?.verdicts.map(({ measures }) => measures) ?? []),
        ...(choice === undefined ? [] : [choice.measures]),
      ];
      const { text = null, promptTokens = null, answerTokens = null, seconds = null } = answer ?? {};
      const measured = Object.assign({}, ...scores) as Measures;
      const known = choice === undefined ? {} : { confidence: choice.confidence };
      return [
        { row: index, answer: text, scores: measured, source, supervisedTokens, promptTokens, answerTokens, seconds, ...known },
      ];
    });
    return {
      ...{ name, trained: at.adapter !== undefined, rows },
      ...(training === null ? {} : { training }),
      ...(choices === undefined ? {} : { calibration: choices.calibration }),
      ...(sameButSeed === null ? {} : { sameButSeed }),
    };
  }

  function answeredQuestions(answers: FieldAnswers, results: readonly ContestantResult[]): AnsweredQuestion[] {
    const scores = results.map(({ name, rows }) => ({ name, rows: new Map(rows.map((row) => [row.row, row])) }));
    return data.rows.map(({ index, question, expected }) => ({
      ...{ row: index, question, expected },
      answers: scores.flatMap(({ name, rows }, i) => {
        const own = rows.get(index);
        if (own === undefined) return [];
        const verdicts = answers.get(opened[i]!)?.get(index)?.verdicts ?? [];
        return [{ contestant: name, text: own.answer, scores: own.scores, verdicts }];
      }),
    }));
  }

  function hashes(): Record<string, string> {
    const template = templateHash(plain.tokenizer);
    const settings = [
      spec.evaluators,
      spec.contestants.map(({ adapter: _, ...more }) => more),
      schema ?? null,
      seed,
      spec.maxTokens ?? null,
    ];
    return {
      rows: data.rowsHash,
      model: base.hash,
      ...(template === null ? {} : { template }),
      ...Object.fromEntries(
        opened.flatMap(({ name, identity: [, hash] }) => (hash == null ? [] : [[`adapter ${name}`, hash]])),
      ),
      evaluators: sha256(JSON.stringify(spec.evaluators)),
      settings: sha256(JSON.stringify(settings)),
    };
  }

  /** Lets the base and each adapter answer the general set, with the prompts that it has without anything added. */
  function generalOf(): Promise<GeneralReport> {
    const adapters = opened.filter(({ at }) => at.adapter !== undefined && !isPrompted(at));
    return answerGeneral({ contestants: [plain, ...adapters], answering, cacheDir: spec.cacheDir, settings: { seed }, port });
  }

  // ── The plan ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async function plan(all: readonly Asked[]): Promise<EvaluationPlan> {
    const planned: PlannedContestant[] = [];
    for (const [i, asked] of all.entries()) {
      const { contestant, rows, seconds } = asked;
      const progress = { phase: 'Measuring how long answers take', done: i, total: all.length, unit: 'contestants' };
      port.send({ type: 'progress', progress: { ...progress, secondsLeft: null } });
      await field.answersOf(asked, spread(rows, answeredFirst));
      const tokens = rows.map(({ question }) => question.prompt.length);
      planned.push({
        name: contestant.name,
        ...{ promptTokens: tokens.length === 0 ? 0 : mean(tokens), mostPromptTokens: Math.max(0, ...tokens) },
        seconds: rows.length === 0 ? 0 : rows.length * mean(seconds),
        unasked: data.rows.length - rows.length,
      });
    }
    const [first] = all;
    const learns = spec.evaluators.some((choice) => kindNamed(nameOfChoice(choice)).learns);
    const learned = learns ? Math.min(spec.learningRows ?? learningRowsIfLeftOut, data.trainQuestions.length) : 0;
    const tried = all.reduce((sum, { contestant, seconds }) => {
      if (contestant.at.shots?.count !== 'auto') return sum;
      const rows = Math.min(mostValidationRows, data.validationOf(contestant).length);
      return sum + triedCounts.length * rows * mean(seconds);
    }, 0);
    const beside = tried + learned * mean(first?.seconds ?? []);
    return {
      ...{ rows: data.rows.length, rowsHash: data.rowsHash, looks: 0, contestants: planned },
      seconds: beside + planned.reduce((sum, { seconds }) => sum + seconds, 0),
      ...{ guards: guards ?? noGuards, schema: schema ?? null, notes },
    };
  }
}

const noGuards: EvaluationGuards = { duplicates: 0, nearDuplicates: 0, rows: [], sentences: [] };

/** Says for each contestant how many of its answers an evaluator could not score, with the first reason. */
function unscoredNotes(evaluator: string, answers: FieldAnswers): string[] {
  return [...answers].flatMap(([{ name }, rows]) => {
    const own = [...rows.values()].flatMap(({ verdicts }) => verdicts.filter((verdict) => verdict.evaluator === evaluator));
    const unscored = own.filter(({ measures }) => Object.keys(measures).length === 0);
    if (unscored.length === 0) return [];
    return [`${evaluator} did not score ${unscored.length} of ${own.length} answers of ${name}: ${unscored[0]!.text}`];
  });
}

function firstCount({ at: { shots } }: OpenContestant): number {
  return shots === undefined ? 0 : shots.count === 'auto' ? triedCounts[0]! : shots.count;
}

function schemaFor(
  { schema, schemaFile, contestants }: CompareSpec,
  { train, trainQuestions }: ComparedRows,
  notes: string[],
): unknown {
  if (!contestants.some(needsSchema)) return undefined;
  if (schema !== undefined) return schema;
  if (schemaFile !== undefined)
    return readOwnJson(schemaFile, 'It must hold a JSON Schema, or a list of definitions of tools.');
  if (train === null)
    throw new Problem(
      'request-invalid',
      'A contestant needs a schema, and none is given.',
      'Give one (--schema), or training rows to learn it from (--train).',
    );
  const learned = learnedSchema(trainQuestions.map(({ question }) => question.expected));
  if (learned === null)
    throw new Problem(
      'request-invalid',
      'A contestant needs a schema, and the training answers are not all JSON objects to learn it from.',
      'Give one (--schema).',
    );
  notes.push(`The schema was learned from ${trainQuestions.length} training answers: ${JSON.stringify(learned)}`);
  return learned;
}

/** Refuses evaluators that do not exist, lack what they learn from or measure nothing of somebody, before anything is read. */
function requireWhatEvaluatorsNeed({ evaluators, train, contestants }: CompareSpec): void {
  const prompted = contestants.find(isPrompted);
  if (prompted !== undefined && evaluators.every((choice) => kindNamed(nameOfChoice(choice)).needs === 'loss'))
    throw new Problem(
      'request-invalid',
      `Nothing would be measured of ${prompted.name}: the loss is only that of rows as they are trained.`,
      "Choose an evaluator of answers too, such as 'exact-match' or 'json-values'.",
    );
  for (const choice of evaluators) {
    const { name, learns } = kindNamed(nameOfChoice(choice));
    if (learns && train === undefined)
      throw new Problem(
        'request-invalid',
        `The evaluator '${name}' learns from training rows, and none are given.`,
        'Name the training rows (--train).',
      );
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
