/**
 * How a run is computed, resolved once at its start and kept in every checkpoint: all that could change the last bits of a result without
 * being a setting of the recipe that decides what is learned. A resumed run computes as this says.
 */
import type { Provider } from '../contract.ts';
import type { Recipe } from '../recipe.ts';
import { attentionBlocksFor, longestPack } from './step-sizes.ts';

export interface ComputePlan {
  readonly provider: Provider;
  readonly threads: number;
  /** Rows of logits that are alive at once. */
  readonly headRows: number;
  /** Blocks of queries attention is cut into. */
  readonly attentionBlocks: number;
  readonly packing: boolean;
  /** Blocks that are computed again, from the first. */
  readonly recompute: number;
  /** Kernels are chosen by what a processor can do. */
  readonly processor: string;
  /** By name: the studio, node, onnxruntime. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The part of a plan that the graph is built by. */
export type GraphPlan = Pick<ComputePlan, 'headRows' | 'attentionBlocks' | 'packing' | 'recompute'>;

/** Decides how a step is cut on rows of up to `longest` tokens. */
export function graphPlan({ headRows, packing, recompute }: GraphRecipe, longest: number): GraphPlan {
  return { headRows, attentionBlocks: attentionBlocksFor(packing ? longestPack(longest) : longest), packing, recompute };
}
export type GraphRecipe = Pick<Recipe, 'headRows' | 'packing' | 'recompute'>;

/** The plan a run goes on with on a machine that would plan `here`: the same work cut the same way, by what is here. */
export function resumedPlan(
  plan: ComputePlan,
  here: ComputePlan,
): { readonly plan: ComputePlan; readonly notExact: readonly string[]; readonly notes: readonly string[] } {
  const { provider, processor, versions } = here;
  const notExact = [
    ...(plan.provider === provider ? [] : [`it was computed on ${plan.provider} and now is on ${provider}`]),
    ...(plan.processor === processor ? [] : [`the processor was ${plan.processor} and now is ${processor}`]),
    ...Object.entries(versions)
      .filter(([name, version]) => plan.versions[name] !== version)
      .map(([name, version]) => `${name} was ${plan.versions[name] ?? 'not known'} and now is ${version}`),
  ];
  const threads = `${plan.threads} ${plan.threads === 1 ? 'thread' : 'threads'}`;
  const notes =
    here.threads === plan.threads ? [] : [`It keeps to ${threads}, as it began, where ${here.threads} would be used now.`];
  return { plan: { ...plan, provider, processor, versions }, notExact, notes };
}
