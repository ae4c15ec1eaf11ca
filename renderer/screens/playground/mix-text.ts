/** Says in words what a way to mix adapters does, and where it differs from what the playground answers with. */
import { type MixMethod, mixMethods, type MixRule } from '../../../engine/mix-methods.ts';

export const methodNames = Object.keys(mixMethods) as readonly MixMethod[];

/** Says in a few words what a method does, for a list of methods. */
export function methodDetail(method: MixMethod): string {
  const rule: MixRule = mixMethods[method];
  if (rule.of === 'pairs') return rule.cuts ? 'the sum, cut to a rank' : 'the sum';
  const kept = { magnitude: 'prunes', random: 'drops' };
  const parts = [...(rule.prune === null ? [] : [kept[rule.prune]]), ...(rule.electsSign ? ['elects signs'] : [])];
  return [...parts, rule.of === 'factors' ? 'factor by factor' : 'whole matrices'].join(', ');
}

/** Says where an adapter that this method saves differs from the sum of the changes, which is what answers. */
export function difference(method: MixMethod, parts: number): string {
  const rule: MixRule = mixMethods[method];
  if (rule.of === 'pairs' && !rule.cuts) return 'It saves exactly what answers now: the sum of the changes.';
  if (rule.of === 'pairs') return 'It saves what answers now, as near as its rank allows.';
  const said = [
    ...(rule.prune === 'magnitude' ? ['keeps only the largest values of each adapter'] : []),
    ...(rule.prune === 'random' ? ['drops values of each adapter at random and scales the others up'] : []),
    ...(rule.electsSign ? ['takes for each value the sign of the majority and the mean of those that have it'] : []),
    ...(rule.of === 'matrices' ? ['merges whole matrices and cuts them to its rank'] : []),
    ...(rule.of === 'factors' && parts > 1 ? ['adds A to A and B to B, which is not the sum of their products'] : []),
  ];
  if (said.length === 0) return 'It saves exactly what answers now.';
  const [last, ...others] = said.toReversed();
  const list = others.length === 0 ? last! : `${others.toReversed().join(', ')} and ${last!}`;
  return `What answers now is the sum of the changes; this method ${list}, so its answers differ.`;
}

/** Says why a setting counts for nothing with this method, or returns null where it counts. */
export function whyUnused(method: MixMethod, setting: 'density' | 'majoritySign' | 'seed'): string | null {
  const { prune, electsSign }: MixRule = mixMethods[method];
  if (setting === 'density') return prune === null ? 'Every value is kept' : null;
  if (setting === 'majoritySign') return electsSign ? null : 'No sign is elected';
  return prune === 'random' ? null : 'Nothing is drawn at random';
}

/** Says what the rank is where none is given. */
export function usualRank(method: MixMethod, ranks: readonly number[]): string {
  const { of, cuts }: MixRule = mixMethods[method];
  const largest = Math.max(...ranks);
  if (cuts || of === 'factors') return String(largest);
  return String(ranks.reduce((sum, rank) => sum + rank, 0));
}

/** Says why the adapters cannot be mixed by this method, or returns null where nothing is known against it. */
export function whyNot(method: MixMethod, ranks: readonly number[]): string | null {
  const distinct = [...new Set(ranks)];
  if (mixMethods[method].of !== 'factors' || distinct.length < 2) return null;
  return `It adds factors one by one, which need one rank; these have ${distinct.join(' and ')}. cat, and methods with svd, take any.`;
}
