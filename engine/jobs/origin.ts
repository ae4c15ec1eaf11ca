/**
 * Says where an export comes from: what the host knows, what the run of its first adapter has recorded, and the hashes of base
 * and adapters.
 */
import { basename } from 'node:path';
import type { AdapterAt, ExportOrigin, Lineage, ModelInfo } from '../contract.ts';
import type { TrainingFacts } from '../export/card.ts';
import type { OpenModel } from '../models/open.ts';
import { longestName, shown } from '../problem.ts';
import { versions } from '../versions.ts';
import type { RecordedRun } from './run-folder.ts';

export interface Origin {
  readonly lineage: Lineage;
  /** Says what is known of the training of the first adapter, or is null when its run is not known. */
  readonly training: TrainingFacts | null;
}

/**
 * Returns where an export comes from. `adapters` have the hashes that they were read with; `run` has trained the first of them.
 */
export function originOf(
  { info: { name, licence }, hash }: Pick<OpenModel, 'hash'> & { readonly info: Pick<ModelInfo, 'name' | 'licence'> },
  adapters: readonly (AdapterAt & { readonly hash: string })[],
  run: RecordedRun | null,
  known: ExportOrigin,
): Origin {
  const lineage: Lineage = {
    exportId: known.exportId,
    studio: versions.studio,
    base: { name, hash, licence },
    adapters: adapters.map(({ path, weight, hash }, i) => {
      const { name, run: madeBy } = known.adapters[i] ?? { name: shown(basename(path), longestName), run: null };
      return { name, hash, weight, run: madeBy };
    }),
    data: run && {
      name: run.record.data.paths.map((path) => basename(path)).join(', '),
      hash: run.record.data.hash,
      rows: run.record.data.rows,
    },
  };
  if (run === null) return { lineage, training: null };
  const { record, evaluations } = run;
  const [before, after] = [evaluations[0], evaluations.at(-1)];
  const training: TrainingFacts = {
    recipe: record.recipe,
    steps: record.totalSteps,
    trainableParameters: record.trainableParameters,
    evaluation:
      record.evaluation === null || before === undefined || after === undefined || before.step !== 0
        ? null
        : { rows: record.evaluation.rows, before: before.evalLoss, after: after.evalLoss },
  };
  return { lineage, training };
}
