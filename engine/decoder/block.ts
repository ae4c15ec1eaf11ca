/** Builds one block: a mixer and a feed-forward with their norms, each added to the residual stream. */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { linear } from '../graph/ops/matmul.ts';
import type { LinearRole } from '../models/parts.ts';
import { blockLinears, modulePath, type DecoderSpec, type StreamNorm } from '../models/spec.ts';
import { assert } from '../problem.ts';
import { builderOfFeedForward } from './feed-forward/index.ts';
import { builderOfMixer } from './mixers/index.ts';
import { normalize } from './norm.ts';
import type { DecoderOptions } from './options.ts';
import type { PartPlace } from './part.ts';
import type { Sequence } from './sequence.ts';

/** Builds the block with index `layer` over the residual stream `[tokens, hidden]`. */
export function buildBlock(
  g: Graph,
  spec: DecoderSpec,
  sequence: Sequence,
  options: DecoderOptions,
  layer: number,
  x: Value,
): Value {
  const { mixer, feedForward, norm, wiring, names } = spec.blocks[layer]!;
  const place: PartPlace = {
    ...{ g, spec, layer, sequence, options },
    project: projections(g, spec, options, layer),
    path: (role) => modulePath(spec, layer, role),
  };
  const normed = (role: StreamNorm, y: Value): Value =>
    names[role] === undefined ? y : g.scope(names[role], () => normalize(g, norm, modulePath(spec, layer, role), y, options));
  const scaled = (y: Value): Value => (wiring.residualScale === 1 ? y : mul(g, [y, g.scalar(wiring.residualScale)]));
  const mix = (y: Value): Value => builderOfMixer(mixer).build(place, mixer, y);
  const feed = (y: Value): Value => builderOfFeedForward(feedForward)(place, feedForward, y);

  const mixerInput = normed('attn_norm', x);
  const mixed = scaled(normed('post_attention_norm', mix(mixerInput)));
  if (wiring.order === 'parallel') {
    const feedInput = names.ffn_norm === undefined ? mixerInput : normed('ffn_norm', x);
    return add(g, [add(g, [x, mixed]), scaled(feed(feedInput))]);
  }
  const middle = add(g, [x, mixed]);
  return add(g, [middle, scaled(normed('post_ffw_norm', feed(normed('ffn_norm', middle))))]);
}

function projections(g: Graph, spec: DecoderSpec, options: DecoderOptions, layer: number): PartPlace['project'] {
  const linears = new Map(blockLinears(spec, layer).map((found) => [found.role, found]));
  return (role: LinearRole, y) => {
    const found = linears.get(role);
    assert(found !== undefined, `block ${layer} has no ${role}`);
    const { path, bias } = found;
    return g.scope(spec.blocks[layer]!.names[role]!, () => {
      const ownBias = bias ? options.weight(`${path}.bias`) : null;
      return options.linear?.(path, y, ownBias) ?? linear(g, y, options.weight(`${path}.weight`), ownBias, options.lora(path));
    });
  };
}
