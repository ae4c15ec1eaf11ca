/** Declares the weights of a model in a graph, either dequantized or read as they are. */
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { dequantized, packedLinear, packedRows, productInParts, widened, type PackedWeight } from '../graph/ops/packed.ts';
import { storedName, type DecoderSpec } from '../models/spec.ts';
import type { PackedLocation, WeightLocation } from '../models/weights.ts';
import { assert } from '../problem.ts';
import type { DecoderOptions } from './options.ts';

export type WeightFiles = ReadonlyMap<string, WeightLocation>;

/**
 * Returns a function that declares a weight of a model by name. A packed weight is dequantized at each use, so that it never
 * stays.
 */
export function weightsOf(g: Graph, spec: DecoderSpec, files: WeightFiles): (name: string) => Value {
  return (asked) => {
    const name = storedName(spec, asked);
    const location = files.get(name);
    assert(location !== undefined, `the model has no tensor ${name}`);
    if ('bits' in location) return dequantized(g, packedWeight(name, location));
    const { dtype, shape, ...data } = location;
    return widened(g, g.weight(name, shape, data, dtype));
  };
}

function packedWeight(name: string, location: PackedLocation): PackedWeight {
  const { bits, blockSize, minimumGroup, shape } = location;
  const declare: PackedWeight['declare'] = (g, part, dtype, asked, start = 0) => {
    const { path, offset } = location[part]!;
    const length = asked.reduce((product, extent) => product * extent, dtype === 'float32' ? 4 : 1);
    const partName = `${name}.${part}.${dtype}x${asked.join('x')}${start === 0 ? '' : `.from${start}`}`;
    return g.weight(partName, asked, { path, offset: offset + start, length }, dtype);
  };
  const hasNibbleZeros = location.nibbleZeros !== null;
  return { rows: shape[0], columns: shape[1], bits, blockSize, minimumGroup, hasNibbleZeros, declare };
}

/** Returns readers that multiply packed matrices without dequantizing them, for those that `asTheyAre` accepts. */
export function packedReading(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  { lora }: Pick<DecoderOptions, 'lora'>,
  asTheyAre: (name: string, bits: number) => boolean,
): Required<Pick<DecoderOptions, 'linear' | 'rows'>> {
  const packedAt = (path: string): PackedWeight | null => {
    const packed = packedModule(spec, files, path);
    return packed && asTheyAre(`${path}.weight`, packed.bits) ? packed : null;
  };
  return {
    linear(path, x, bias) {
      const packed = packedAt(path);
      return packed && packedLinear(g, x, packed, bias, lora(path));
    },
    rows(path, ids) {
      const packed = packedAt(path);
      return packed && packedRows(g, ids, packed, 'nibbles');
    },
  };
}

function packedModule(spec: DecoderSpec, files: WeightFiles, path: string): PackedWeight | null {
  const name = storedName(spec, `${path}.weight`);
  const location = files.get(name)!;
  return 'bits' in location ? packedWeight(name, location) : null;
}

/**
 * Returns readers that read a packed embedding row by row and a packed head part by part, so that neither exists as a whole in
 * float32. A matrix for which `isTrained` holds is read in the usual way.
 */
export function packedEnds(
  g: Graph,
  spec: DecoderSpec,
  files: WeightFiles,
  isTrained: (name: string) => boolean,
): Required<Pick<DecoderOptions, 'head' | 'rows'>> {
  const packedAt = (path: string): PackedWeight | null =>
    isTrained(`${path}.weight`) ? null : packedModule(spec, files, path);
  return {
    head(body, x, bias, lora) {
      const packed = packedAt(spec.modules.output);
      if (packed === null) return null;
      const declare: PackedWeight['declare'] = (_, ...part) => packed.declare(g, ...part);
      return packedLinear(body, x, { ...packed, declare }, bias, lora, productInParts);
    },
    rows(path, ids) {
      const packed = packedAt(path);
      return packed && packedRows(g, ids, packed, 'halves');
    },
  };
}
