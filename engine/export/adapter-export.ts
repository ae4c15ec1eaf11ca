/**
 * Holds what the formats of an adapter alone share: they export exactly one adapter, and other programs' formats lack a place
 * for some of its parts.
 */
import type { Adapter, AdapterShape } from '../adapters/adapter.ts';
import type { WeightedAdapter } from '../adapters/delta.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';

/** Returns the one adapter that is exported unchanged. */
export function onlyAdapter(adapters: readonly WeightedAdapter[]): Adapter {
  const [first, ...more] = adapters;
  if (first === undefined)
    throw new Problem('export-unsupported', 'There is no adapter to export.', 'Choose an adapter, or another format.');
  if (more.length > 0 || first.weight !== 1)
    throw new Problem(
      'export-unsupported',
      more.length > 0 ? 'Several adapters are no adapter of their own.' : 'A part of an adapter is no adapter of its own.',
      'Export one adapter whole, or the merged model.',
    );
  if (first.adapter.config.method === 'full')
    throw new Problem('export-unsupported', 'Every weight was trained, so there is no adapter to export.', 'Export the model.');
  return first.adapter;
}

/** Returns what plain LoRA factors A and B on the modules of a model cannot express, or null when they express it all. */
export function notInFactors(spec: DecoderSpec, shape: AdapterShape): string | null {
  const { modules, tiedEmbeddings } = spec;
  const shared = tiedEmbeddings && shape.modules.find(({ path }) => path === modules.token_embd || path === modules.output);
  if (shared) return `an adapter of '${shared.path}' where head and embedding share their weights`;
  const [name] = shape.replaced[0]?.names ?? [];
  if (name === undefined) return null;
  return name.endsWith('.bias') ? `the bias '${name}', which was trained` : `'${name}', which was trained whole`;
}

/** Makes the Problem of an adapter with a part that another program's format cannot hold. */
export function noPlaceFor(what: string, program: string): Problem {
  return new Problem(
    'export-unsupported',
    `An adapter of ${program} has no place for ${what}.`,
    'Export the merged model instead.',
  );
}
