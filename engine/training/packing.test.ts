/** What the inspector says of a sequence is what a run packs. */
import { expect, test } from 'vitest';
import type { LabelledTokens } from '../labels.ts';
import type { Example } from './examples.ts';
import { sequencesOf } from './examples.ts';
import { microBatches } from './micro-batch.ts';
import { ExampleOrder, totalExamples } from './order.ts';
import { packOf, type PackingRecipe } from './packing.ts';

const recipe: PackingRecipe = {
  ...{ packing: true, shuffle: true, seed: 3, batchSize: 4, gradientAccumulation: 2, epochs: 1, maxSteps: 0 },
};
/** Row 5 is two examples, and row 7 is none. */
const rows = Uint32Array.of(0, 1, 2, 3, 4, 5, 5, 6, 8, 9, 10, 11, 12, 13);
const lengths = Uint32Array.from(rows, (_, i) => 40 + ((i * 53) % 150));

/** The sequences of the first epoch as training makes them. */
function trained(of: PackingRecipe): { step: number; parts: { row: number; tokens: number }[] }[] {
  const examples = Array.from(rows, (index, i): Example => {
    const tokens: LabelledTokens = { inputIds: new Int32Array(lengths[i]!), labels: new Int32Array(lengths[i]!) };
    return { index, file: 'rows.jsonl', line: 1, sequences: [{ ...tokens, part: 'whole' }] };
  });
  const order = new ExampleOrder(examples, of, totalExamples(of, examples.length));
  return [0, 1].flatMap((step) =>
    [...microBatches(sequencesOf(order.examplesOf(step)), of)].map((pack) => ({
      step: step + 1,
      parts: pack.map(({ example, inputIds }) => ({ row: example.index, tokens: inputIds.length })),
    })),
  );
}

test.each([true, false])('a row is in the sequence that training puts it into; shuffled: %s', (shuffle) => {
  const packs = trained({ ...recipe, shuffle });
  expect(packs.length).toBeGreaterThan(4);
  for (const row of rows) expect(packs).toContainEqual(packOf(row, { rows, lengths }, { ...recipe, shuffle }));
  expect(packs.flatMap(({ parts }) => parts)).toHaveLength(rows.length);
  expect(Math.max(...packs.map(({ parts }) => parts.reduce((sum, { tokens }) => sum + tokens, 0)))).toBeLessThanOrEqual(256);
});

test('a row that is not trained, or not packed, is in no sequence', () => {
  expect(packOf(7, { rows, lengths }, recipe)).toBeNull();
  expect(packOf(3, { rows, lengths }, { ...recipe, packing: false })).toBeNull();
  const short = { ...recipe, shuffle: false, maxSteps: 1 };
  expect(packOf(3, { rows, lengths }, short)).not.toBeNull();
  expect(packOf(13, { rows, lengths }, short)).toBeNull();
});
