/** What a recipe adapts of a model, module by module over all blocks, and how a block is put together: what a picture of it needs. */
import type { NormPlace, TargetInfo, TargetPlan } from '../contract.ts';
import type { NormRole } from '../models/parts.ts';
import { blockLinears, type DecoderSpec } from '../models/spec.ts';
import type { AdapterRecipe } from './config.ts';
import { newConfig } from './initial.ts';
import { adaptedTargets, decidingKey, type AdaptedTarget } from './targets.ts';

type Part = Pick<TargetInfo, 'path' | 'part' | 'last' | 'outFeatures' | 'inFeatures'>;

/** Settings that this model does not have adapt nothing. */
export function planTargets(recipe: AdapterRecipe, spec: DecoderSpec): TargetPlan {
  const config = newConfig(recipe, spec, null);
  const adapted = new Map(adaptedTargets(config, spec).map((target) => [target.path, target]));
  const parts = partsOf(spec);
  const perLayer = (part: Part): readonly (AdaptedTarget | undefined)[] =>
    part.path.includes('{layer}')
      ? Array.from({ length: spec.blocks.length }, (_, layer) => adapted.get(part.path.replace('{layer}', String(layer))))
      : [adapted.get(part.path)];
  const matches = (pattern: Readonly<Record<string, number>>) => {
    const decided = [...adapted.keys()].map((path) => decidingKey(pattern, path));
    return Object.fromEntries(Object.keys(pattern).map((key) => [key, decided.filter((one) => one === key).length]));
  };
  return {
    modules: parts.map((part) => ({
      ...part,
      target: targetName(part, parts),
      ranks: perLayer(part).map((target) => target?.rank ?? 0),
      scales: perLayer(part).map((target) => target?.scale ?? 0),
    })),
    norms: (Object.entries(normPlaces) as [NormRole, NormPlace][]).flatMap(([role, place]) =>
      spec.blocks[0]!.names[role] === undefined ? [] : [place],
    ),
    parallel: spec.blocks[0]!.wiring.order === 'parallel',
    tiedHead: spec.tiedEmbeddings,
    heads: spec.blocks[0]!.mixer.heads,
    keyValueHeads: spec.blocks[0]!.mixer.keyValueHeads,
    rankMatches: matches(config.rankPattern),
    alphaMatches: matches(config.alphaPattern),
  };
}

const normPlaces: Readonly<Partial<Record<NormRole, NormPlace>>> = {
  attn_norm: 'attention',
  attn_q_norm: 'heads',
  post_attention_norm: 'after-attention',
  ffn_norm: 'feed-forward',
  post_ffw_norm: 'after-feed-forward',
};

/** In the order of the computation. */
function partsOf(spec: DecoderSpec): Part[] {
  const { modules, hiddenSize, vocabularySize } = spec;
  const start = `${modules.blocks}.0.`;
  return [
    { path: modules.token_embd, part: 'embedding', last: false, inFeatures: vocabularySize, outFeatures: hiddenSize },
    ...blockLinears(spec, 0).map(({ part, last, path, inFeatures, outFeatures }): Part => ({
      path: `${modules.blocks}.{layer}.${path.slice(start.length)}`,
      part: part === 'mixer' ? 'attention' : 'feed-forward',
      last,
      inFeatures,
      outFeatures,
    })),
    { path: modules.output, part: 'head', last: false, inFeatures: hiddenSize, outFeatures: vocabularySize },
  ];
}

/** The shortest end of the path that no other module has. Outside of the blocks the whole path, which holds whatever layers are chosen. */
function targetName({ path }: Part, parts: readonly Part[]): string {
  if (!path.includes('{layer}')) return path;
  const names = path.split('.');
  for (let length = 1; length < names.length; length++) {
    const end = names.slice(-length).join('.');
    if (parts.filter((other) => `.${other.path}`.endsWith(`.${end}`)).length === 1) return end;
  }
  return path;
}
