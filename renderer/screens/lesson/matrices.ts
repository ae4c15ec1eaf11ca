/** Lists the matrices W that the lesson can show, each with the adapter beside it. */
import type { AdapterUpdates, MatrixUpdate, TargetPlan } from '../../../engine/contract.ts';
import { ranges } from '../../ui/ranges.ts';

export interface LessonMatrix {
  /** Gives the path of the module, which is the model's own: `model.layers.3.mlp.up_proj`. */
  readonly path: string;
  /** Gives the path with `{layer}` in place of the block's number, the same for all layers. */
  readonly kind: string;
  readonly name: string;
  /** Gives the number of its block, or null outside of the blocks. */
  readonly layer: number | null;
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Gives the rank of its adapter; 0 where it has none. */
  readonly rank: number;
  readonly scale: number;
  /** Says what was learned; null before training. */
  readonly update: MatrixUpdate | null;
}

type Place = Pick<LessonMatrix, 'path' | 'kind' | 'name' | 'layer'>;

function placeOf(path: string, layer: number | null): Place {
  return {
    path: layer === null ? path : path.replace('{layer}', String(layer)),
    ...{ kind: path, layer, name: path.slice(path.lastIndexOf('.') + 1) },
  };
}

/** Returns the matrices to which a trained adapter adds something. */
export function trainedMatrices({ modules }: AdapterUpdates): LessonMatrix[] {
  return modules.flatMap(({ path, layers, updates }) =>
    updates.flatMap((update, i): LessonMatrix[] => {
      if (update === null) return [];
      const { outFeatures, inFeatures, rank, scale } = update;
      return [{ ...placeOf(path, layers[i] ?? null), outFeatures, inFeatures, rank, scale, update }];
    }),
  );
}

/** Returns the matrices that a recipe gives an adapter. Where every weight is trained, it is all of them, each without one. */
export function plannedMatrices({ modules }: TargetPlan, isFull: boolean): LessonMatrix[] {
  return modules.flatMap(({ path, layers, part, outFeatures, inFeatures, ranks, scales }) =>
    ranks.flatMap((rank, i): LessonMatrix[] => {
      if (isFull ? part === 'head' : rank === 0) return [];
      const of = { ...placeOf(path, layers[i] ?? null), outFeatures, inFeatures, update: null };
      return [isFull ? { ...of, rank: 0, scale: 0 } : { ...of, rank, scale: scales[i]! }];
    }),
  );
}

/** Names the kinds of matrices, each once, as people call them: `q` for `q_proj`. Kinds of one name keep more of their paths. */
export function kindsOf(matrices: readonly LessonMatrix[]): { value: string; label: string }[] {
  const kinds = [...new Map(matrices.map(({ kind, name }) => [kind, name]))];
  return kinds.map(([value, name]) => {
    const isOnly = kinds.filter(([, other]) => other === name).length === 1;
    return { value, label: isOnly ? name.replace(/_proj$/, '') : value.split('.').slice(-2).join('.') };
  });
}

/**
 * Returns the matrix of a kind and layer; where there is none, the kind's in the middle. Where there is no such kind it is the
 * first kind in the blocks.
 */
export function matrixAt(matrices: readonly LessonMatrix[], kind: string, layer: number | null): LessonMatrix | null {
  const ofKind = matrices.filter((one) => one.kind === kind);
  if (ofKind.length === 0) {
    const first = matrices.find((one) => one.layer !== null) ?? matrices[0];
    return first === undefined ? null : matrixAt(matrices, first.kind, layer);
  }
  return ofKind.find((one) => one.layer === layer) ?? ofKind[Math.floor(ofKind.length / 2)]!;
}

/** Says which matrices they are: `q, k and v in all 30 layers, and lm_head`. `layers` counts those of the model. */
export function whichMatrices(matrices: readonly LessonMatrix[], layers: number): string {
  const inBlocks = matrices.filter(({ layer }) => layer !== null);
  const outside = listed(kindsOf(matrices.filter(({ layer }) => layer === null)));
  if (inBlocks.length === 0) return outside;
  const having = [...new Set(inBlocks.flatMap(({ layer }) => layer ?? []))].sort((a, b) => a - b);
  const which = `${listed(kindsOf(inBlocks))} in ${layersText(having, layers)}`;
  return outside === '' ? which : `${which}, and ${outside}`;
}

function layersText(having: readonly number[], layers: number): string {
  if (having.length < layers) return `${having.length === 1 ? 'layer' : 'layers'} ${ranges(having)}`;
  return ['', 'the only layer', 'both layers'][layers] ?? `all ${layers} layers`;
}

/** Writes names as a list: `q, k and v`. */
function listed(kinds: readonly { readonly label: string }[]): string {
  const names = kinds.map(({ label }) => label);
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
