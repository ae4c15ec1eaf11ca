/** Translates a recipe's targetModules to the screen and back: a word for all of them, ticks, or a pattern. */
import type { TargetInfo } from '../../../engine/contract.ts';
import type { Recipe } from '../../../engine/recipe.ts';

export type TargetChoice = 'all' | 'attention' | 'qv' | 'ticks' | 'pattern';
type Targets = Recipe['targetModules'];
type Module = Pick<TargetInfo, 'target' | 'part'>;
type Placed = Pick<TargetInfo, 'target' | 'part' | 'path' | 'ranks'>;

/** A shown matrix is a module with the rank and scale of one layer. */
export interface ShownMatrix extends TargetInfo {
  readonly name: string;
  readonly rank: number;
  readonly scale: number;
}

/** Returns the last part of a path: `q_proj`. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
export const isInBlock = ({ part }: Pick<TargetInfo, 'part'>): boolean => part === 'mixer' || part === 'feed-forward';
/** Identifies a matrix among those of the same path that have another size in other blocks. */
export const keyOf = ({ path, layers }: Pick<TargetInfo, 'path' | 'layers'>): string => `${path} ${layers[0] ?? ''}`;
/** Returns the rank of a matrix in a block; 0 where it has no adapter or does not exist. */
export const rankIn = ({ layers, ranks }: Pick<TargetInfo, 'layers' | 'ranks'>, layer: number): number =>
  ranks[layers.indexOf(layer)] ?? 0;
/** Returns the names of the modules that fit, each once also where matrices of several sizes have it. */
const named = (modules: readonly Module[], fits: (module: Module) => boolean): string[] => [
  ...new Set(modules.filter(fits).map(({ target }) => target)),
];
const linears = (modules: readonly Module[]): string[] => named(modules, isInBlock);
const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));

/** Returns the matrices of the mixers, as the family names them. */
export const attention = (modules: readonly Module[]): string[] => named(modules, ({ part }) => part === 'mixer');
/** Returns query and value, as in the LoRA paper; none where they are one matrix. */
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

/** Returns the modules that are meant. Names are resolved here; the engine has resolved a pattern. */
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

/** Ticks or unticks one module of those in `ticked`. All linear layers together become `all-linear`. */
export function withTick(modules: readonly Module[], ticked: readonly string[], target: string): Targets {
  const names = ticked.includes(target) ? ticked.filter((name) => name !== target) : [...ticked, target];
  if (same(names, linears(modules))) return 'all-linear';
  // Names are in the model's own order, so that the same ticks give the same recipe.
  return named(modules, (module) => names.includes(module.target));
}
