/** Runs an ONNX model on this machine. This is the only file that knows onnxruntime-node. */
import { createRequire } from 'node:module';
import { join, parse, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type * as Runtime from 'onnxruntime-node';
import type { Provider } from '../contract.ts';
import { Problem } from '../problem.ts';

// The runtime reports to its maker unless this is set when its library loads (decision 13). The environment of a thread is a
// copy that no library sees.
if (!isMainThread) throw new Error('The runtime is loaded in the main thread of a process only.');
process.env['ORT_DISABLE_TELEMETRY'] = '1';

// A copy with further providers may lie elsewhere: see cuda.ts.
const elsewhere = process.env['LOWRANK_RUNTIME'];
const require = createRequire(elsewhere === undefined ? import.meta.url : join(elsewhere, 'package.json'));
const { InferenceSession, Tensor } = require('onnxruntime-node') as typeof Runtime;

/** Describes a tensor as the runtime takes and returns it, row-major. */
export interface TensorValue {
  readonly type: 'float32' | 'float16' | 'bfloat16' | 'int32' | 'int64' | 'bool';
  /** Holds the elements; half precision and bfloat16 are given as their bits. */
  readonly data: Float32Array | Uint16Array | Int32Array | BigInt64Array | Uint8Array;
  readonly dims: readonly number[];
}

/** Describes an opened model that is ready to compute. */
export interface GraphSession {
  /**
   * Computes the outputs by name from the inputs by name. It blocks this process meanwhile. Fed arrays are read in place and
   * must not change until it answers. Throws `out-of-memory` where memory runs out.
   */
  run(feeds: Readonly<Record<string, TensorValue>>): Promise<Record<string, TensorValue>>;
  release(): Promise<void>;
}

export interface SessionOptions {
  readonly threads: number;
  readonly provider: Provider;
  /** Repacks weights into anonymous memory, which is faster. Without it they stay mapped from their files. */
  readonly prepack?: boolean;
  /**
   * Treats numbers below 1e-38 as 0 in what the session computes. Softmax gives such numbers for everything that a mask hides,
   * and a processor takes a hundred times as long for each. The setting stays on for the thread that opens the session, so it
   * is for a process that converts no weights afterwards.
   */
  readonly flushDenormals?: boolean;
  /** Gives the folder of the files named in the model; the root of the file system by default. */
  readonly externalFolder?: string;
  /** Gives the prefix of the file name under which a profile is written; no profile without it. */
  readonly profile?: string;
}

export type OpenSession = typeof openSession;

/**
 * Opens a model given as bytes. Its weights are in files, whose names are relative to `externalFolder`. Throws `out-of-memory`
 * where memory runs out.
 */
export async function openSession(model: Uint8Array, options: SessionOptions): Promise<GraphSession> {
  let session: Runtime.InferenceSession;
  try {
    session = await InferenceSession.create(model, {
      executionProviders: [options.provider],
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      // The optimizer would merge recomputed nodes with their originals and fold frozen weights into copies.
      graphOptimizationLevel: 'disabled',
      // A memory pattern is planned per shape and keeps the largest block; off, the same graph peaks lower.
      enableMemPattern: false,
      logSeverityLevel: 3,
      ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
      extra: {
        session: {
          // A thread without work looks for more during a millisecond, then sleeps. A step is thousands of short nodes, and
          // waking threads for each costs a fifth of it. Spinning without a limit made it three times slower on a busy machine.
          intra_op: { allow_spinning: '1', spin_duration_us: '1000' },
          // A node that an accelerator cannot compute is an error and no silent copy to the processor and back.
          ...(options.provider === 'cpu' ? {} : { disable_cpu_ep_fallback: '1' }),
          ...(options.flushDenormals === true ? { set_denormal_as_zero: '1' } : {}),
          disable_prepacking: options.prepack === true ? '0' : '1',
          model_external_initializers_file_folder_path: options.externalFolder ?? parse(resolve('/')).root,
        },
      },
    });
  } catch (error) {
    throw failure(error, 'The model could not be loaded');
  }
  return {
    async run(feeds) {
      const tensors: Record<string, Runtime.Tensor> = {};
      for (const [name, { type, data, dims }] of Object.entries(feeds)) {
        if (type === 'bfloat16') throw new Error(`'${name}' is bfloat16, which the runtime takes within a graph only.`);
        tensors[name] = new Tensor(type, data, dims);
      }
      let results: Runtime.InferenceSession.ReturnType;
      try {
        results = await session.run(tensors);
      } catch (error) {
        throw failure(error, 'The computation failed');
      }
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, inBits(tensor)]));
    },
    release: () => session.release(),
  };
}

/** Converts the runtime's tensor. Half precision comes as numbers of two bytes, in whatever class this Node has for them. */
function inBits({ type, data, dims }: Runtime.Tensor): TensorValue {
  const { buffer, byteOffset, length } = data as Uint16Array;
  return { type, data: type === 'float16' ? new Uint16Array(buffer, byteOffset, length) : data, dims } as TensorValue;
}

function failure(error: unknown, what: string): Error {
  const message = error instanceof Error ? error.message : String(error);
  if (/bad.?alloc|failed to allocate memory|not enough memory|out of memory/i.test(message)) {
    return new Problem(
      'out-of-memory',
      `${what}: there is not enough memory.`,
      'Use shorter rows, smaller batches or recomputation.',
      {
        cause: error,
      },
    );
  }
  return new Error(`${what}: ${message}`, { cause: error });
}
