/** How many parameters a recipe trains and how much memory that takes, from the very graph that would run. */
import type { AdapterShape } from '../adapters/adapter.ts';
import { adapterRecipe } from '../adapters/config.ts';
import { plannedShape } from '../adapters/initial.ts';
import type { LinearInfo, RunPlan } from '../contract.ts';
import type { Graph } from '../graph/graph.ts';
import { Liveness } from '../graph/liveness.ts';
import { quantizedModel, type OpenModel } from '../models/open.ts';
import { pathInBlock } from '../models/spec.ts';
import type { Recipe } from '../recipe.ts';
import { graphPlan, type GraphPlan } from './plan.ts';
import { buildStep } from './step-graph.ts';
import { largestBatch, stepSizes } from './step-sizes.ts';

/**
 * Trained parameters of each linear layer, over all chosen blocks, and in all, with what lies outside of the blocks. A layer of
 * [out, in] gets B [out, r] and A [r, in]: r (in + out) numbers instead of in x out.
 */
export function planAdapter(
  linears: readonly LinearInfo[],
  { modules, length }: AdapterShape,
): Pick<RunPlan, 'trainableParameters' | 'matrices' | 'perLinear'> {
  const perLinear = linears.map((linear) => {
    const paths = new Set(linear.layers.map((layer) => pathInBlock(linear.path, layer)));
    const own = modules.filter(({ path }) => paths.has(path));
    const parameters = own.reduce((sum, { rank, inFeatures, outFeatures, magnitude }) => {
      return sum + rank * (inFeatures + outFeatures) + (magnitude === null ? 0 : outFeatures);
    }, 0);
    return { ...linear, chosen: own.length > 0, parameters };
  });
  return { perLinear, trainableParameters: length, matrices: modules.length };
}

const bytesPerNumber = 4;
/**
 * Copies of an adapter's size beside the graph's own: parameters, two moments, the gradient of the step and that of a micro-batch, what
 * the runtime hands over until it is collected, and what writing a checkpoint takes.
 */
const adapterCopies = 8;

// Measured: docs/decisions/009-memory-estimate.md.
const programBytes = 150e6;
const bytesPerNode = 13e3;
const bytesPerToken = 1.5e3;
/** What free memory between the blocks in use adds to them. */
const fragmentation = 1.1;

/** The fields that decide what memory a run takes. */
export function memoryRecipe(recipe: Recipe) {
  const { batchSize, gradientAccumulation, packing, headRows, recompute, baseQuantization, neftuneNoiseAlpha } = recipe;
  const ofStep = { batchSize, gradientAccumulation, packing, headRows, recompute, baseQuantization, neftuneNoiseAlpha };
  return { ...adapterRecipe(recipe), ...ofStep };
}
export type MemoryRecipe = ReturnType<typeof memoryRecipe>;

/** The graph of a step, and what of its memory does not depend on the size of a batch. */
interface PlannedGraph {
  readonly liveness: Liveness;
  readonly base: number;
  readonly adapter: number;
}

export interface StepCounts {
  readonly nodes: number;
  /** Nodes that only move elements. */
  readonly copies: number;
  /** How often a step asks for memory. */
  readonly allocations: number;
  /** Alive at once in the planned order, without weights. */
  readonly peakBytes: number;
}

/** How many graphs are kept: somebody tries a few settings in turn. */
const keptGraphs = 4;

/** Estimates of the memory that training a model takes, from the very graphs that would run. */
export class MemoryPlanner {
  readonly #model: OpenModel;
  /** By what decides a graph, the newest last. */
  readonly #graphs = new Map<string, PlannedGraph>();

  constructor(model: OpenModel) {
    this.#model = model;
  }

  /**
   * Bytes at the peak of a step on rows of `longest` tokens, all supervised. Activations and logits are what is alive at once in the
   * order in which the graph runs; everything else is there all the time.
   */
  async plan(recipe: MemoryRecipe, longest: number): Promise<RunPlan['memory']> {
    const { spec, tokenizerSource } = this.#model;
    const { liveness, base, adapter, peak } = this.#step(recipe, longest);
    const { bytes, inLoop } = peak;
    const tokenizer = tokenizerSource === null ? 0 : spec.vocabularySize * bytesPerToken;
    return {
      ...{ base, adapter },
      activations: Math.round((bytes - inLoop) * fragmentation),
      logits: inLoop,
      runtime: programBytes + tokenizer + liveness.nodes * bytesPerNode,
    };
  }

  /** What a step costs besides arithmetic, as its graph has it: numbers that no other machine changes. */
  counts(recipe: MemoryRecipe, longest: number): StepCounts {
    const { liveness, peak } = this.#step(recipe, longest);
    const { nodes, copies } = liveness;
    return { nodes, copies, allocations: peak.allocations, peakBytes: peak.bytes };
  }

  /** A step on rows of `longest` tokens. */
  #step(recipe: MemoryRecipe, longest: number) {
    const cut = graphPlan(recipe, longest);
    const planned = this.#graph(recipe, cut);
    const batch = largestBatch(recipe, longest);
    const sizes = stepSizes(cut, batch, batch.batch * (batch.time - 1));
    return { ...planned, peak: planned.liveness.peak(new Map(Object.entries(sizes))) };
  }

  #graph(recipe: MemoryRecipe, cut: GraphPlan): PlannedGraph {
    const { baseQuantization, neftuneNoiseAlpha } = recipe;
    const key = JSON.stringify([adapterRecipe(recipe), baseQuantization, neftuneNoiseAlpha > 0, cut]);
    const known = this.#graphs.get(key);
    if (known !== undefined) return known;
    const { spec, weights } = quantizedModel(this.#model, baseQuantization);
    const shape = plannedShape(recipe, this.#model);
    const graph = buildStep(spec, weights.locations(''), shape, 'gradient', { ...recipe, ...cut });
    const planned = {
      liveness: new Liveness(graph),
      base: bytesOfWeights(graph),
      adapter: shape.length * bytesPerNumber * adapterCopies,
    };
    this.#graphs.set(key, planned);
    if (this.#graphs.size > keptGraphs) this.#graphs.delete(this.#graphs.keys().next().value!);
    return planned;
  }
}

/** Bytes of the files that the weights of a graph lie in: several may read the same ones. */
export function bytesOfWeights({ weights }: Graph): number {
  const parts = Map.groupBy(weights.values(), ({ data }) => data.path);
  let sum = 0;
  for (const inFile of parts.values()) {
    let end = 0;
    for (const { data } of inFile.toSorted((a, b) => a.data.offset - b.data.offset)) {
      const after = data.offset + data.length;
      sum += Math.max(0, after - Math.max(end, data.offset));
      end = Math.max(end, after);
    }
  }
  return sum;
}

export function totalMemory(memory: RunPlan['memory']): number {
  return Object.values(memory).reduce((sum, bytes) => sum + bytes, 0);
}
