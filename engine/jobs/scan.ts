/** Job `scan`: what a data set is, without a model: its format, its number of rows and its hash. */
import { createHash } from 'node:crypto';
import type { DataScan, JobSpec } from '../contract.ts';
import { readRows } from '../data/rows.ts';

export async function runScan(spec: Extract<JobSpec, { kind: 'scan' }>): Promise<DataScan> {
  const train = await readRows(spec.trainPaths, null, Number.MAX_SAFE_INTEGER);
  const evaluation = spec.evalPaths.length > 0 ? await readRows(spec.evalPaths, null, Number.MAX_SAFE_INTEGER) : null;
  return {
    format: train.format,
    trainRows: train.rows.length,
    evalRows: evaluation?.rows.length ?? 0,
    // Without evaluation files it is that of the training files, as runs record it.
    hash: evaluation === null ? train.hash : createHash('sha256').update(`${train.hash}\n/\n${evaluation.hash}`).digest('hex'),
  };
}
