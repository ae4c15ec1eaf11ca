/** Merges adapters into the weights of a model tensor by tensor, so that only one tensor is in memory at a time. */
import type { AdapterShape } from '../adapters/adapter.ts';
import { addDeltas, addReplacements, type WeightedAdapter } from '../adapters/delta.ts';
import { allFinite } from '../formats/float.ts';
import type { OpenModel } from '../models/open.ts';
import { storedName, type DecoderSpec } from '../models/spec.ts';
import type { ModelWeights } from '../models/weights.ts';
import { Problem } from '../problem.ts';

/** Describes a model with adapters merged, whose weights are computed when they are read. */
export interface Merged {
  /** Holds the model as it is with the adapters merged. */
  readonly model: OpenModel;
  readonly weights: Pick<ModelWeights, 'read'>;
}

/** Merges adapters into a model. Reading a tensor throws `loss-not-finite` where its merged values are not finite. */
export function mergeAdapters(model: OpenModel, adapters: readonly WeightedAdapter[]): Merged {
  return {
    model: {
      ...model,
      spec: mergedSpec(
        model.spec,
        adapters.map(({ adapter }) => adapter.shape),
      ),
    },
    weights: {
      read(name) {
        const values = model.weights.read(storedName(model.spec, name));
        addReplacements(values, name, adapters);
        if (name.endsWith('.weight')) addDeltas(values, name.slice(0, -'.weight'.length), adapters);
        if (!allFinite(values))
          throw new Problem(
            'loss-not-finite',
            `'${name}' has values that are not finite numbers.`,
            'The model or an adapter is damaged, or comes from a run that diverged: use an earlier checkpoint.',
          );
        return values;
      },
    },
  };
}

/**
 * Returns the spec of the merged model. A head tied to the embedding is untied when only one of the two has changed, or each
 * differently.
 */
export function mergedSpec(spec: DecoderSpec, shapes: readonly AdapterShape[]): DecoderSpec {
  if (!spec.tiedEmbeddings) return spec;
  const { token_embd, output } = spec.modules;
  const parts = shapes.some(({ modules, replaced }) => {
    const isEither = (path: string) => path === token_embd || path === output;
    return (
      modules.some(({ path }) => isEither(path)) ||
      replaced.some(({ names }) => names.filter((name) => isEither(name.replace(/\.weight$/, ''))).length === 1)
    );
  });
  return parts ? { ...spec, tiedEmbeddings: false } : spec;
}
