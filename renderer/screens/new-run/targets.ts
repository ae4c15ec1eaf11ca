/** Which modules a recipe's targetModules mean on the screen: by a name for all of them, by ticks, or as a pattern. */
import type { TargetInfo } from '../../../engine/contract.ts';
import type { Recipe } from '../../../engine/recipe.ts';

export type TargetChoice = 'all' | 'attention' | 'qv' | 'ticks' | 'pattern';
type Targets = Recipe['targetModules'];
type Module = Pick<TargetInfo, 'target' | 'part'>;
type Placed = Pick<TargetInfo, 'target' | 'part' | 'path' | 'ranks'>;

/** A matrix as the picture shows it: with the rank and scale of one layer. */
export interface ShownMatrix extends TargetInfo {
  readonly name: string;
  readonly rank: number;
  readonly scale: number;
}

/** The last part of a path: `q_proj`. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
export const isInBlock = ({ part }: Pick<TargetInfo, 'part'>): boolean => part === 'mixer' || part === 'feed-forward';
/** Tells a matrix from those of the same path that have another size in other blocks. */
export const keyOf = ({ path, layers }: Pick<TargetInfo, 'path' | 'layers'>): string => `${path} ${layers[0] ?? ''}`;
/** The rank of a matrix in a block; 0 where it has no adapter or is not there. */
export const rankIn = ({ layers, ranks }: Pick<TargetInfo, 'layers' | 'ranks'>, layer: number): number =>
  ranks[layers.indexOf(layer)] ?? 0;
/** Of one name for matrices of several sizes there is one. */
const named = (modules: readonly Module[], fits: (module: Module) => boolean): string[] => [
  ...new Set(modules.filter(fits).map(({ target }) => target)),
];
const linears = (modules: readonly Module[]): string[] => named(modules, isInBlock);
const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));

/** The matrices of the mixers, as this family names them. */
export const attention = (modules: readonly Module[]): string[] => named(modules, ({ part }) => part === 'mixer');
/** Query and value, as the LoRA paper had it; none where they are one matrix. */
export function queryAndValue(modules: readonly Module[]): string[] {
  const names = ['q_proj', 'v_proj'];
  return names.every((name) => modules.some(({ target }) => target === name)) ? names : [];
}

export function choiceOf(targets: Targets, modules: readonly Module[]): TargetChoice {
  if (targets === 'all-linear') return 'all';
  if (typeof targets === 'string') return 'pattern';
  if (same(targets, attention(modules))) return 'attention';
  if (same(targets, queryAndValue(modules))) return 'qv';
  return targets.every((name) => modules.some(({ target }) => target === name)) ? 'ticks' : 'pattern';
}

/** The modules that are meant, known at once for names; what a pattern means the engine has found out. */
export function meant(modules: readonly Placed[], targets: Targets, excluded: Recipe['excludeModules']): string[] {
  const isIn = ({ path }: Placed, names: readonly string[]): boolean => names.some((name) => `.${path}`.endsWith(`.${name}`));
  const isMeant = (module: Placed): boolean => {
    if (typeof excluded === 'string' || (typeof targets === 'string' && targets !== 'all-linear'))
      return module.ranks.some((rank) => rank > 0);
    if (isIn(module, excluded)) return false;
    return targets === 'all-linear' ? isInBlock(module) : isIn(module, targets);
  };
  return [...new Set(modules.filter(isMeant).map(({ target }) => target))];
}

/** Ticks or unticks one module: `ticked` are those that were, and ticking all linear layers is the name for it. */
export function withTick(modules: readonly Module[], ticked: readonly string[], target: string): Targets {
  const names = ticked.includes(target) ? ticked.filter((name) => name !== target) : [...ticked, target];
  if (same(names, linears(modules))) return 'all-linear';
  // In the model's own order, so that the same ticks are the same recipe.
  return named(modules, (module) => names.includes(module.target));
}
