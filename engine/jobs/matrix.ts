/** Runs the job `matrix`, which merges an adapter into one matrix of its base and shows a corner of it before and after. */
import { openAdapted, recordedOf } from '../adapters/adapted.ts';
import type { JobSpec, MergedMatrix } from '../contract.ts';
import { mergeAdapters } from '../export/merge.ts';
import { openModel } from '../models/open.ts';
import { linearLayers, storedName, type DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';

const corner = { rows: 4, columns: 3 };

export function runMatrix({ path, ...spec }: Extract<JobSpec, { kind: 'matrix' }>): MergedMatrix {
  const base = openModel(spec.model.path, spec.model.acceptFields);
  const { model, adapters } = openAdapted(base, [{ path: spec.adapterPath, weight: 1, ...recordedOf(spec) }]);
  const [rows, columns] = sizeOf(path, model.spec);
  const name = `${path}.weight`;
  const before = model.weights.read(storedName(model.spec, name));
  const after = mergeAdapters(model, adapters).weights.read(name);
  const { modules, replaced } = adapters[0]!.adapter.shape;
  const isTrained = replaced.some(({ names }) => names.includes(name));
  return {
    ...{ rows, columns },
    before: cornerOf(before, rows, columns),
    after: cornerOf(after, rows, columns),
    isSum: !isTrained && modules.find((module) => module.path === path)?.magnitude === null,
    changed: changedShare(before, after),
  };
}

/** Returns the rows and columns of a module's matrix as it is stored. */
function sizeOf(path: string, spec: DecoderSpec): [rows: number, columns: number] {
  const linear = linearLayers(spec).find((layer) => layer.path === path);
  if (linear !== undefined) return [linear.outFeatures, linear.inFeatures];
  const { token_embd, output } = spec.modules;
  if (path === token_embd || path === output) return [spec.vocabularySize, spec.hiddenSize];
  throw new Problem('not-found', `The model has no matrix '${path}'.`, `Name a linear layer, '${token_embd}' or '${output}'.`);
}

function cornerOf(values: Float32Array, rows: number, columns: number): number[][] {
  return Array.from({ length: Math.min(rows, corner.rows) }, (_, row) => [
    ...values.subarray(row * columns, row * columns + Math.min(columns, corner.columns)),
  ]);
}

function changedShare(before: Float32Array, after: Float32Array): number | null {
  let [changed, whole] = [0, 0];
  for (let i = 0; i < before.length; i++) {
    changed += (after[i]! - before[i]!) ** 2;
    whole += before[i]! ** 2;
  }
  return whole === 0 ? null : Math.sqrt(changed / whole);
}
