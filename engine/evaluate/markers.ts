/**
 * Scores with the evaluator `markers` how much an answer sounds like the training answers. A small logistic model learns which
 * words, openings, lengths and punctuation tell them from the base's own answers to the same questions.
 */
import { permutation } from '../random.ts';
import { type AnswerEvaluator, type EvaluatorKind, type LearningRows } from './evaluator.ts';
import { fitLogistic, type LogisticModel, probabilityOf } from './logistic.ts';
import { type OptionValues, readOptions } from './options.ts';
import { Problem } from '../problem.ts';
import { styleOf } from './style.ts';
import { wordsOf } from './text.ts';

const name = 'markers';
const options = {
  words: { kind: 'integer', least: 0, otherwise: 200, help: 'is the number of the most frequent words that are looked at' },
  seed: { kind: 'integer', least: 0, otherwise: 0, help: 'is the seed of the split that measures the held-out accuracy' },
} as const;
const leastRows = 10;
const folds = 5;

export const markers: EvaluatorKind = {
  ...{ name, needs: 'answers', options, learns: true },
  summary: 'probability that the answer is in the voice of the training answers and not in that of the base',
  open(given, learning = []) {
    const values = readOptions(name, options, given);
    return { name, needs: 'answers', ...learnedMarkers(learning, values) };
  },
};

/** Holds what the model learned, for a person to judge. */
export interface LearnedMarkers {
  /** Gives the share of answers that were told apart rightly while their question was held out. */
  readonly heldOutAccuracy: number;
  /** Lists what speaks most for the training answers, and what for the base, strongest first. */
  readonly trained: readonly string[];
  readonly base: readonly string[];
  probability(answer: string): number;
}

/** Learns what tells the training answers from the base's own. Throws a `Problem` for fewer than ten rows. */
export function learnMarkers(rows: LearningRows, { words, seed }: OptionValues<typeof options>): LearnedMarkers {
  if (rows.length < leastRows)
    throw new Problem(
      'request-invalid',
      `The evaluator '${name}' learns from training answers and the base's answers, and there are ${rows.length} rows of both.`,
      `Give at least ${leastRows} training rows.`,
    );
  const order = permutation(rows.length, seed, 0);
  let right = 0;
  // Both answers to a question are in the same part, so no question is learned and asked.
  for (let fold = 0; fold < folds; fold++) {
    const isHeld = (i: number): boolean => i % folds === fold;
    const kept = [...order].filter((_, i) => !isHeld(i)).map((row) => rows[row]!);
    const model = learn(kept, words);
    for (const { trained, base } of [...order].filter((_, i) => isHeld(i)).map((row) => rows[row]!)) {
      right += Number(model.probability(trained) > 0.5) + Number(model.probability(base) < 0.5);
    }
  }
  const { features, weights, probability } = learn(rows, words);
  const strongest = features.map((feature, i) => ({ feature, weight: weights[i]! })).toSorted((a, b) => b.weight - a.weight);
  const heldOutAccuracy = right / (2 * rows.length);
  const trained = strongest.filter(({ weight }) => weight > 0).slice(0, 5);
  const base = strongest
    .filter(({ weight }) => weight < 0)
    .slice(-5)
    .toReversed();
  const named = (list: typeof strongest): string[] => list.map(({ feature }) => feature);
  return { heldOutAccuracy, trained: named(trained), base: named(base), probability };
}

function learnedMarkers(
  learning: LearningRows,
  values: OptionValues<typeof options>,
): Pick<AnswerEvaluator, 'score' | 'notes'> {
  const learned = learnMarkers(learning, values);
  const percent = (100 * learned.heldOutAccuracy).toFixed(0);
  const told =
    `Markers tell training answers from the base's in ${percent} % of held-out cases (50 % is chance); for the voice ` +
    `speak ${learned.trained.join(', ') || 'none'}, against it ${learned.base.join(', ') || 'none'}.`;
  return {
    notes: [told],
    score(_, answer) {
      const value = learned.probability(answer);
      const text = `${(100 * value).toFixed(0)} % in the voice`;
      return { state: value >= 0.5 ? 'good' : 'caution', text, measures: { markers: value } };
    },
  };
}

interface Learned extends LogisticModel {
  readonly features: readonly string[];
  readonly probability: (answer: string) => number;
}

function learn(rows: LearningRows, words: number): Learned {
  const texts = [...rows.map(({ trained }) => trained), ...rows.map(({ base }) => base)];
  const labels = texts.map((_, i) => i < rows.length);
  const counts = texts.map(markersOf);
  const style = Object.keys(styleOf(''));
  const features = [...style, ...mostFrequent(counts, style, words)];
  const vectorOf = (own: ReadonlyMap<string, number>): number[] => features.map((feature) => own.get(feature) ?? 0);
  const model = fitLogistic(counts.map(vectorOf), labels);
  return { ...model, features, probability: (answer) => probabilityOf(model, vectorOf(markersOf(answer))) };
}

/** Counts the markers of a text: its style, whether a word is in it, and its first word. */
function markersOf(text: string): ReadonlyMap<string, number> {
  const words = wordsOf(text);
  const present = [...new Set(words)].map((word): [string, number] => [`“${word}”`, 1]);
  const opening: [string, number][] = words.length === 0 ? [] : [[`“${words[0]!}” first`, 1]];
  return new Map([...Object.entries(styleOf(text)), ...present, ...opening]);
}

/** Lists words and openings that are in the most texts, but in two at least: a word of one text tells nothing of a voice. */
function mostFrequent(counts: readonly ReadonlyMap<string, number>[], style: readonly string[], most: number): string[] {
  const texts = new Map<string, number>();
  for (const own of counts) for (const feature of own.keys()) texts.set(feature, (texts.get(feature) ?? 0) + 1);
  for (const feature of style) texts.delete(feature);
  const frequent = [...texts].filter(([, count]) => count >= 2).toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return frequent.slice(0, most).map(([feature]) => feature);
}
