/** Where an export comes from: what the host knows, what the folders of runs record, and the hashes of base and adapters. */
import { basename } from 'node:path';
import { adapterHash } from '../adapters/folder.ts';
import type { AdapterWeight, ExportOrigin, Lineage } from '../contract.ts';
import type { TrainingFacts } from '../export/card.ts';
import type { OpenModel } from '../models/open.ts';
import { longestName, shown } from '../problem.ts';
import { versions } from '../versions.ts';
import { runOfAdapter } from './run-folder.ts';

export interface Origin {
  readonly lineage: Lineage;
  /** Of the first adapter; null where its run has left nothing beside it. */
  readonly training: TrainingFacts | null;
}

export async function originOf(model: OpenModel, adapters: readonly AdapterWeight[], known: ExportOrigin): Promise<Origin> {
  const run = adapters[0] === undefined ? null : runOfAdapter(adapters[0].path);
  const parts: Lineage['adapters'][number][] = [];
  for (const [i, { path, weight }] of adapters.entries()) {
    const { name, run: madeBy } = known.adapters[i] ?? { name: shown(basename(path), longestName), run: null };
    parts.push({ name, hash: await adapterHash(path), weight, run: madeBy });
  }
  const { name, licence } = model.info;
  const lineage: Lineage = {
    exportId: known.exportId,
    studio: versions.studio,
    base: { name, hash: model.hash, licence },
    adapters: parts,
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
