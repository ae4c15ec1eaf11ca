/**
 * Computes the first values of PiSSA (Meng et al. 2024) and OLoRA (Büyükakyüz 2024): the factors begin as a part of each
 * matrix, and that part is taken out of the base.
 */
import { tensorView, type AdaptedModule, type Adapter } from '../adapters/adapter.ts';
import { largestSingular, product, thinQr, transpose, type LinearMap, type Matrix } from '../adapters/decompose.ts';
import { moduleWeight } from '../adapters/delta.ts';
import { weightsOf, type WeightFiles } from '../decoder/weights.ts';
import { Graph } from '../graph/graph.ts';
import { encodeModel } from '../graph/onnx.ts';
import { gemm } from '../graph/ops/matmul.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { Problem } from '../problem.ts';
import { streamOf } from '../random.ts';
import type { OpenSession } from '../runtime/session.ts';

export interface PrincipalStart {
  readonly initialization: string;
  readonly seed: number;
  readonly threads: number;
  readonly cacheDir: string;
  readonly openSession: OpenSession;
  /** Is called before each module. */
  readonly onModule: (done: number, total: number) => Promise<void>;
}

/**
 * Returns the adapter with these first values in its linear modules; an embedding keeps the values it has. A rank above the
 * smaller side of a matrix is refused with a `Problem` that names the module.
 */
export async function principalAdapter(
  adapter: Adapter,
  { spec, weights }: { readonly spec: DecoderSpec; readonly weights: ModelWeights },
  { initialization, seed, threads, cacheDir, openSession, onModule }: PrincipalStart,
): Promise<Adapter> {
  const files = await weights.files(cacheDir);
  const parameters = adapter.parameters.slice();
  const modules = adapter.shape.modules.filter(({ kind }) => kind === 'linear');
  for (const [done, module] of modules.entries()) {
    await onModule(done, modules.length);
    const { path, rank, inFeatures, outFeatures, scale } = module;
    if (rank > Math.min(inFeatures, outFeatures))
      throw new Problem(
        'recipe-invalid',
        `'${path}' is ${outFeatures} x ${inFeatures}: ${initialization} has no ${rank} directions in it.`,
        'Lower the rank, also by rankPattern for this matrix alone.',
      );
    const [a, b] = [tensorView(parameters, module.a), tensorView(parameters, module.b)];
    if (initialization === 'olora') {
      const w = { rows: outFeatures, columns: inFeatures, values: Float64Array.from(moduleWeight(weights, spec, module)) };
      const { q, r } = thinQr(w, rank);
      a.set(r.values);
      b.set(q.values);
      continue;
    }
    const rounds = /_niter_(\d+)$/.exec(initialization)?.[1];
    const map =
      inFeatures * outFeatures <= exactElements
        ? inMemory(module, moduleWeight(weights, spec, module))
        : await inRuntime(module, spec, files, { threads, openSession });
    try {
      const options = rounds === undefined ? { tolerance: map.tolerance } : { rounds: Number(rounds) };
      const { left, values, right } = await largestSingular(map, rank, seed ^ streamOf(path), options);
      for (let k = 0; k < rank; k++) {
        const root = Math.sqrt(values[k]! / scale);
        for (let i = 0; i < inFeatures; i++) a[k * inFeatures + i] = root * right.values[i * rank + k]!;
        for (let i = 0; i < outFeatures; i++) b[i * rank + k] = root * left.values[i * rank + k]!;
      }
    } finally {
      await map.release();
    }
  }
  return { ...adapter, parameters, initial: parameters.slice() };
}

/** Matrices of up to this many elements are multiplied here, in float64. */
const exactElements = 1 << 17;

interface Decomposed extends LinearMap {
  /** Gives the largest error of the singular values, as a share of the largest of them. */
  readonly tolerance: number;
  release(): Promise<void>;
}

function inMemory({ inFeatures, outFeatures }: AdaptedModule, weight: Float32Array): Decomposed {
  const w: Matrix = { rows: outFeatures, columns: inFeatures, values: Float64Array.from(weight) };
  const turned = transpose(w);
  return {
    ...{ rows: outFeatures, columns: inFeatures, tolerance: 1e-13 },
    times: (x) => Promise.resolve(product(w, x)),
    transposedTimes: (y) => Promise.resolve(product(turned, y)),
    release: () => Promise.resolve(),
  };
}

/** Multiplies in float32 in the runtime, reading the weight in place. */
async function inRuntime(
  { path, inFeatures, outFeatures }: AdaptedModule,
  spec: DecoderSpec,
  files: WeightFiles,
  { threads, openSession }: Pick<PrincipalStart, 'threads' | 'openSession'>,
): Promise<Decomposed> {
  const open = async (transA: boolean) => {
    const g = new Graph();
    const x = g.input('x', 'float32', [transA ? outFeatures : inFeatures, 'k']);
    g.output('y', gemm(g, [weightsOf(g, spec, files)(`${path}.weight`), x], { transA }));
    return openSession(encodeModel(g), { threads, provider: 'cpu' });
  };
  const [forward, backward] = [await open(false), await open(true)];
  const run = async (session: typeof forward, { rows, columns, values }: Matrix): Promise<Matrix> => {
    const { y } = await session.run({ x: { type: 'float32', data: Float32Array.from(values), dims: [rows, columns] } });
    return { rows: y!.dims[0]!, columns, values: Float64Array.from(y!.data as Float32Array) };
  };
  return {
    ...{ rows: outFeatures, columns: inFeatures, tolerance: 1e-5 },
    times: (x) => run(forward, x),
    transposedTimes: (y) => run(backward, y),
    async release() {
      await forward.release();
      await backward.release();
    },
  };
}
