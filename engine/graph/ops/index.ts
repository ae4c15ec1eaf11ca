/** Lists every differentiable operation, so that a test can visit them all. */
import type { Op, PlainOp } from '../op.ts';
import * as activation from './activation.ts';
import { attention } from './attention.ts';
import * as elementwise from './elementwise.ts';
import { headCrossEntropy } from './loss.ts';
import { doraScale, gemm, loraLinear } from './matmul.ts';
import { layerNorm, rmsNorm } from './normalization.ts';
import { packedProduct, productInParts } from './packed.ts';
import { expand, meanOfLast, reduceSum } from './reduce.ts';
import { dropout } from './random.ts';
import { rotary } from './rotary.ts';
import { concat, gatherRows, reshape, sliceLast, transpose } from './shape.ts';
import { softmax } from './softmax.ts';

export const ops: readonly (PlainOp | Op<never>)[] = [
  ...Object.values(elementwise),
  ...Object.values(activation),
  gemm,
  loraLinear,
  packedProduct,
  productInParts,
  doraScale,
  reduceSum,
  meanOfLast,
  reshape,
  transpose,
  expand,
  concat,
  gatherRows,
  sliceLast,
  rmsNorm,
  layerNorm,
  softmax,
  attention,
  rotary,
  dropout,
  headCrossEntropy,
];
