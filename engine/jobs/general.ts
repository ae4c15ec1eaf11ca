/** Lets base and adapters answer the general set in the box, whose rows have nothing to do with any training. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EvaluatorChoice, GeneralReport } from '../contract.ts';
import type { AnswerEvaluator } from '../evaluate/evaluator.ts';
import { openEvaluators } from '../evaluate/evaluators.ts';
import { type GeneralResult, generalReport, type ReportSettings } from '../evaluate/report/report.ts';
import { Examples } from '../evaluate/shots.ts';
import { readText } from '../formats/files.ts';
import type { MeasureName, Measures } from '../measures.ts';
import { Problem } from '../problem.ts';
import { resourcesDir } from '../resources.ts';
import type { Answering } from './answering.ts';
import { askRows, readCompared } from './compared-rows.ts';
import type { OpenContestant } from './contestants.ts';
import { askedBy, Field } from './field.ts';
import type { JobPort } from './port.ts';

/** Describes `evaluate.json` of the general set. */
interface GeneralSet {
  readonly maxTokens: number;
  readonly parts: readonly {
    readonly name: string;
    readonly title: string;
    readonly file: string;
    readonly evaluators: readonly EvaluatorChoice[];
  }[];
}

interface General {
  /** Holds the base first, then the adapters. */
  readonly contestants: readonly OpenContestant[];
  readonly answering: Answering;
  readonly cacheDir: string;
  readonly settings: Omit<ReportSettings, 'measures'>;
  readonly port: JobPort;
}

/** Answers the general set, and says what the trainings broke. Throws a `Problem` where the set is missing. */
export async function answerGeneral({ contestants, answering, cacheDir, settings, port }: General): Promise<GeneralReport> {
  const folder = join(resourcesDir(), 'general');
  const list = join(folder, 'evaluate.json');
  if (!existsSync(list))
    throw new Problem('file-missing', `The general set is not in '${folder}'.`, 'Install Lowrank Studio again.');
  const { maxTokens, parts } = JSON.parse(readText(list, 1 << 20)) as GeneralSet;
  const field = new Field(answering, port, maxTokens);
  const [base] = contestants as readonly [OpenContestant];
  const results: GeneralResult[] = [];
  for (const { name, title, file, evaluators: choices } of parts) {
    const evaluators = (await openEvaluators(choices)).filter((one): one is AnswerEvaluator => one.needs === 'answers');
    const spec = { data: { paths: [join(folder, file)] }, cacheDir };
    const data = await readCompared(spec, base, contestants, port);
    const asked = [];
    for (const contestant of contestants) {
      const none = { examples: new Examples([], 0), schema: null, day: data.day, count: 0, settings: {} };
      const plain = { ...contestant, at: { name: contestant.name } };
      asked.push(askedBy(contestant, (await askRows(plain, data.rowsOf(contestant), none)).asked));
    }
    const answers = await field.answerAll(asked, { evaluators, phase: `General set, ${title}` });
    const measures = new Set<MeasureName>();
    results.push({
      ...{ name, title },
      results: contestants.map((contestant) => {
        const own = answers.get(contestant)!;
        const rows = data.rows.flatMap(({ index: row, source, supervisedTokens }) => {
          const answer = own.get(row);
          if (answer === undefined) return [];
          const { text, promptTokens, answerTokens, seconds } = answer;
          const scores = Object.assign({}, ...answer.verdicts.map((verdict) => verdict.measures)) as Measures;
          for (const measure of Object.keys(scores)) measures.add(measure as MeasureName);
          return [{ row, answer: text, scores, source, supervisedTokens, promptTokens, answerTokens, seconds }];
        });
        return { name: contestant.name, trained: contestant.at.adapter !== undefined, rows };
      }),
      measures: [...measures],
    });
  }
  return generalReport(results, settings, base.name);
}
