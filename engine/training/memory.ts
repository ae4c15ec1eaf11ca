/** Estimates the memory that a recipe takes from the graph that would run. */
import { adapterRecipe } from '../adapters/config.ts';
import { plannedShape } from '../adapters/initial.ts';
import type { RunPlan } from '../contract.ts';
import type { Graph } from '../graph/graph.ts';
import { Liveness } from '../graph/liveness.ts';
import { quantizedModel, type OpenModel } from '../models/open.ts';
import type { Recipe } from '../recipe.ts';
import { graphPlan, type GraphPlan } from './compute-plan.ts';
import { buildStep } from './step-graph.ts';
import { largestBatch, stepSizes } from './step-sizes.ts';

const bytesPerNumber = 4;
/**
 * Gives the number of arrays of the adapter's size outside of the graph: parameters, two moments, the gradient of the step and
 * that of a micro-batch, results of the runtime until they are collected, and the buffers for writing a checkpoint.
 */
const adapterCopies = 8;

// Measured: docs/decisions/009-memory-estimate.md.
const programBytes = 150e6;
const bytesPerNode = 13e3;
const bytesPerToken = 1.5e3;
/** Gives the factor by which free memory between the blocks in use increases the estimate. */
const fragmentation = 1.1;

/** Picks the fields of a recipe that decide how much memory a run takes. */
export function memoryRecipe(recipe: Recipe) {
  const { batchSize, gradientAccumulation, packing, headRows, recompute, baseQuantization, neftuneNoiseAlpha } = recipe;
  const ofStep = { batchSize, gradientAccumulation, packing, headRows, recompute, baseQuantization, neftuneNoiseAlpha };
  return { ...adapterRecipe(recipe), ...ofStep };
}
export type MemoryRecipe = ReturnType<typeof memoryRecipe>;

/** Holds the liveness of a step's graph, and the bytes that do not depend on the size of a batch. */
interface PlannedGraph {
  readonly liveness: Liveness;
  readonly base: number;
  readonly adapter: number;
}

/** Counts what a step costs besides arithmetic. */
export interface StepCounts {
  readonly nodes: number;
  /** Gives the number of nodes that only move elements. */
  readonly copies: number;
  /** Gives the number of times that a step allocates memory. */
  readonly allocations: number;
  /** Gives the largest number of bytes alive at once in the planned order, without weights. */
  readonly peakBytes: number;
}

/** This many graphs are kept, because people try a few settings in turn. */
const keptGraphs = 4;

/** Estimates the memory that training a model takes, from the graphs that would run. */
export class MemoryEstimator {
  readonly #model: OpenModel;
  /** Holds the graphs by the settings that decide them, the newest last. */
  readonly #graphs = new Map<string, PlannedGraph>();

  constructor(model: OpenModel) {
    this.#model = model;
  }

  /**
   * Estimates the bytes at the peak of a step on rows of `longest` tokens, all supervised. Activations and logits are the
   * values alive at once in the order in which the graph runs; everything else stays in memory all the time.
   */
  async estimate(recipe: MemoryRecipe, longest: number): Promise<RunPlan['memory']> {
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

  /** Counts what a step costs besides arithmetic. The counts follow from its graph and are the same on every machine. */
  counts(recipe: MemoryRecipe, longest: number): StepCounts {
    const { liveness, peak } = this.#step(recipe, longest);
    const { nodes, copies } = liveness;
    return { nodes, copies, allocations: peak.allocations, peakBytes: peak.bytes };
  }

  /** Plans a step on rows of `longest` tokens. */
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

/** Counts the bytes of the files that the weights of a graph read; bytes that several weights share count once. */
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

/** Adds up the parts of an estimate, in bytes. */
export function totalMemory(memory: RunPlan['memory']): number {
  return Object.values(memory).reduce((sum, bytes) => sum + bytes, 0);
}
