/** Job `scan`: what a data set is, without a model: its format, its number of rows and its hash. */
import { createHash } from 'node:crypto';
import type { DataScan, JobSpec } from '../contract.ts';
import { RowSource, type RowsSummary } from '../data/rows.ts';
import type { JobPort } from './port.ts';
import { followJob } from './reading.ts';

export async function runScan(
  spec: Extract<JobSpec, { kind: 'scan' }>,
  port: Pick<JobPort, 'send' | 'stopRequested'>,
): Promise<DataScan> {
  const train = await scan(spec.trainPaths, port);
  const evaluation = spec.evalPaths.length > 0 ? await scan(spec.evalPaths, port) : null;
  return {
    format: train.format,
    trainRows: train.rows,
    evalRows: evaluation?.rows ?? 0,
    // Without evaluation files it is that of the training files, as runs record it.
    hash: evaluation === null ? train.hash : createHash('sha256').update(`${train.hash}\n/\n${evaluation.hash}`).digest('hex'),
  };
}

async function scan(
  paths: readonly string[],
  port: Pick<JobPort, 'send' | 'stopRequested'>,
): Promise<RowsSummary & { readonly rows: number }> {
  let rows = 0;
  const summary = await new RowSource(paths, null, Number.MAX_SAFE_INTEGER).read(
    () => rows++,
    followJob('Reading the rows', port),
  );
  return { ...summary, rows };
}
