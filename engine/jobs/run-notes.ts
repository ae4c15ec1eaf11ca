/** Writes the notes that a person should know about a run that begins or is resumed; each is one or more sentences. */
import type { Mix } from '../contract.ts';
import { contentKey } from '../data/row-facts.ts';
import { printsDay } from '../data/template.ts';
import type { StoredRow } from '../data/row-store.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { OnProgress } from '../export/progress.ts';
import { amountText } from '../mixing.ts';
import type { Recipe } from '../recipe.ts';
import { inTurns, type Example } from '../training/examples.ts';
import { examplesPerStep, totalExamples } from '../training/order.ts';
import { learningRate } from '../training/schedule.ts';
import type { PreparedData } from './prepare-data.ts';
import type { RunRecord } from './run-folder.ts';

/** Notes that a chat template prints a date, which then stays the date of the run. */
export function dayNotes(tokenizer: Tokenizer | null, day: string): string[] {
  return printsDay(tokenizer)
    ? [`The chat template prints the date. This run uses ${day}, also when it is resumed or evaluated later.`]
    : [];
}

/** Notes how a run is resumed in another way than was planned before. */
export function resumeNotes(
  earlier: RunRecord,
  now: RunRecord,
  { step, examples, isEvaluated }: { readonly step: number; readonly examples: number; readonly isEvaluated: boolean },
): string[] {
  const { recipe, totalSteps: steps } = now;
  const notes: string[] = [];
  if (earlier.data.tokensHash === undefined)
    notes.push(
      `The run was started with Lowrank Studio ${earlier.versions.studio}, which did not record tokens, tokenizer and date, so it is unknown whether they are the same. Chat templates print ${now.day}.`,
    );
  if (steps !== earlier.totalSteps && step > 0) {
    const [planned, rate] = [earlier.totalSteps, steps].map((total) => learningRate(recipe, step, total).toPrecision(3));
    const asPlanned = step < earlier.totalSteps ? `${planned}` : 'the end';
    if (recipe.schedule !== 'constant' && step < steps)
      notes.push(
        `The run now has ${steps} steps instead of ${earlier.totalSteps}. From step ${step} on, the learning rate follows a different schedule and continues at ${rate} instead of ${asPlanned}.`,
      );
  }
  if (isEvaluated !== (earlier.evaluation !== null))
    notes.push(
      isEvaluated
        ? 'The run was not evaluated before. From here on it is.'
        : 'The run was evaluated before. From here on it is not, because no evaluation data was given.',
    );
  const missing = step * examplesPerStep(recipe) - totalExamples(earlier.recipe, examples);
  if (step < steps && missing > 0)
    notes.push(
      `The run had ended with a step of fewer rows. The ${missing} rows that would have filled it are skipped this time.`,
    );
  return notes;
}

/** Notes what a mix comes to. */
export function mixNotes(
  { shuffle }: Pick<Recipe, 'shuffle'>,
  mix: Mix,
  rows: readonly Pick<StoredRow, 'index' | 'mixPart'>[],
): string[] {
  const counts = mix.parts.map((part, number) => {
    const own = new Set(rows.filter(({ mixPart }) => mixPart === number).map(({ index }) => index));
    return `${part.name} ${amountText(part)}${part.repeat === 0 ? '' : ` (${own.size} rows)`}`;
  });
  const order = shuffle ? [] : ['The rows come part after part, each with its copies, because they are not shuffled.'];
  return [[`The mix in an epoch: ${counts.join('; ')}.`, ...order].join(' ')];
}

/** Notes how many evaluation rows are trained on too, or nearly, because they say little about new rows. */
export async function sharedNotes(data: PreparedData, evaluation: PreparedData | null, onTurn: OnProgress): Promise<string[]> {
  if (evaluation === null) return [];
  const { examples } = evaluation.prepared;
  const keys = examples.map(keyOf);
  const evaluated = new Set(keys);
  // There may be many more training examples, so their keys are not kept.
  const trained = new Set<string>();
  for await (const some of inTurns(data.prepared.examples, onTurn))
    for (const example of some) {
      const key = keyOf(example);
      if (evaluated.has(key)) trained.add(key);
    }
  const shared = examples.filter((_, i) => trained.has(keys[i]!));
  const exact = new Set(shared.map(({ index }) => index));
  const near = evaluation.loaded.sketches.nearTo(data.loaded.sketches, (row) => exact.has(row)).length;
  const less = 'so the evaluation loss says less about new rows.';
  return [
    ...(shared.length === 0 ? [] : [`${shared.length} of ${keys.length} evaluation rows are also training rows, ${less}`]),
    ...(near === 0
      ? []
      : [
          `${near} of ${keys.length} evaluation rows are nearly the same as training rows, ${less} \`lowrank data check --eval\` and the window name such rows.`,
        ]),
  ];
}

function keyOf({ sequences }: Example): string {
  return sequences.map((sequence) => contentKey(sequence).toString('latin1')).join('');
}
