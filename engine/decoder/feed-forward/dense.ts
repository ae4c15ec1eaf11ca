/** Builds a dense feed-forward, in which every token passes through the same matrices. */
import type { Value } from '../../graph/node.ts';
import type { PlainOp } from '../../graph/op.ts';
import { gelu, geluTanh, relu, silu } from '../../graph/ops/activation.ts';
import { mul } from '../../graph/ops/elementwise.ts';
import { sliceLast } from '../../graph/ops/shape.ts';
import type { Activation, Dense } from '../../models/feed-forward/dense.ts';
import type { PartBuilder } from '../part.ts';

const activations: Readonly<Record<Activation, PlainOp>> = { silu, gelu, gelu_tanh: geluTanh, relu };

export const buildDense: PartBuilder<Dense> = ({ g, project }, { activation, form, intermediateSize }, x) => {
  const act = activations[activation];
  if (form === 'plain') return project('ffn_down', act(g, [project('ffn_up', x)]));
  const fused = form === 'fused' ? project('ffn_up', x) : null;
  const part = (start: number): Value => sliceLast(g, [fused!], { start, end: start + intermediateSize });
  const gate = fused === null ? project('ffn_gate', x) : part(0);
  const up = fused === null ? project('ffn_up', x) : part(intermediateSize);
  return project('ffn_down', mul(g, [act(g, [gate]), up]));
};
