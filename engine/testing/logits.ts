/** Computes logits as proofs do, for the rows of a batch. */
import type { Adapter } from '../adapters/adapter.ts';
import { LogitsRunner, type LogitsOptions } from '../decoder/logits.ts';
import type { OpenModel } from '../models/open.ts';
import type { MicroBatch } from '../training/micro-batch.ts';

/**
 * Returns logits `[tokens, vocabulary]` of all rows without their padding, one row after the other. Without an adapter (null)
 * they are the base's.
 */
export async function logitsOf(
  model: Pick<OpenModel, 'spec' | 'weights'>,
  adapter: Adapter | null,
  { inputIds, time, lengths }: MicroBatch,
  options: LogitsOptions,
): Promise<Float32Array> {
  const adapters = adapter === null ? [] : [{ adapter, weight: 1 }];
  const runner = await LogitsRunner.open(model, adapters, options);
  try {
    const feeds = runner.feeds(adapters);
    const rows: Float32Array[] = [];
    for (const [row, length] of lengths.entries()) {
      // With its padding: some rotary tables depend on the length of the batch, and no token sees the padding behind it.
      const ids = inputIds.subarray(row * time, (row + 1) * time);
      rows.push(await runner.run(ids, [...Array(length).keys()], feeds));
    }
    const logits = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const row of rows) {
      logits.set(row, offset);
      offset += row.length;
    }
    return logits;
  } finally {
    await runner.release();
  }
}
