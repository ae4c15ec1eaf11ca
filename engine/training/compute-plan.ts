/**
 * Decides how a run is computed: everything that could change the last bits of a result, resolved once at the start of the run
 * and kept in every checkpoint. A resumed run computes as its checkpoint says.
 */
import type { Provider } from '../contract.ts';
import type { Recipe } from '../recipe.ts';
import { attentionBlocksFor, longestPack } from './step-sizes.ts';

/** Describes how a run is computed. */
export interface ComputePlan {
  readonly provider: Provider;
  readonly threads: number;
  /** Gives the number of rows of logits that are in memory at once. */
  readonly headRows: number;
  /** Gives the number of blocks of queries into which attention is cut. */
  readonly attentionBlocks: number;
  readonly packing: boolean;
  /** Counts the blocks with gradient checkpointing: these, counted from the first, are computed again in the backward pass. */
  readonly recompute: number;
  /** Gives the processor, because the runtime chooses its kernels by what the processor can do. */
  readonly processor: string;
  /** Holds the versions of the studio, node and onnxruntime, by name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Picks the part of a plan that decides the graph. */
export type GraphPlan = Pick<ComputePlan, 'headRows' | 'attentionBlocks' | 'packing' | 'recompute'>;

/** Decides how the graph of a step is cut for rows of up to `longest` tokens. */
export function graphPlan({ headRows, packing, recompute }: GraphRecipe, longest: number): GraphPlan {
  return { headRows, attentionBlocks: attentionBlocksFor(packing ? longestPack(longest) : longest), packing, recompute };
}
export type GraphRecipe = Pick<Recipe, 'headRows' | 'packing' | 'recompute'>;

/**
 * Returns the plan with which a run is resumed on a machine whose own plan would be `here`: the work is cut as before and
 * computed by what is here. `notExact` lists the reasons why results may differ in their last bits; `notes` are sentences for
 * people.
 */
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
