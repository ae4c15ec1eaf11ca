/** Plans which modules of a model a recipe adapts, and describes the parts of a block, so that a picture can be drawn of it. */
import type { BlockForm, NormPlace, TargetInfo, TargetPlan } from '../contract.ts';
import type { NormRole } from '../models/parts.ts';
import { blockLinears, linearKinds, pathInBlock, type DecoderSpec } from '../models/spec.ts';
import type { AdapterRecipe } from './config.ts';
import { newConfig } from './initial.ts';
import { adaptedTargets, decidingKey, type AdaptedTarget } from './targets.ts';

type Part = Pick<TargetInfo, 'path' | 'layers' | 'part' | 'last' | 'outFeatures' | 'inFeatures'>;

/** Returns the plan of a recipe on a model. Settings that the model does not have adapt nothing. */
export function planTargets(recipe: AdapterRecipe, spec: DecoderSpec): TargetPlan {
  const config = newConfig(recipe, spec, null);
  const adapted = new Map(adaptedTargets(config, spec).map((target) => [target.path, target]));
  const parts = partsOf(spec);
  const paths = [...new Set(parts.map(({ path }) => path))];
  const perLayer = ({ path, layers }: Part): readonly (AdaptedTarget | undefined)[] =>
    layers.length === 0 ? [adapted.get(path)] : layers.map((layer) => adapted.get(pathInBlock(path, layer)));
  const matches = (pattern: Readonly<Record<string, number>>) => {
    const decided = [...adapted.keys()].map((path) => decidingKey(pattern, path));
    return Object.fromEntries(Object.keys(pattern).map((key) => [key, decided.filter((one) => one === key).length]));
  };
  return {
    modules: parts.map((part) => ({
      ...part,
      target: targetName(part, paths),
      ranks: perLayer(part).map((target) => target?.rank ?? 0),
      scales: perLayer(part).map((target) => target?.scale ?? 0),
    })),
    blocks: blockForms(spec),
    tiedHead: spec.tiedEmbeddings,
    rankMatches: matches(config.rankPattern),
    alphaMatches: matches(config.alphaPattern),
  };
}

/** Groups the blocks that look alike: those of one form with the same matrices. */
function blockForms(spec: DecoderSpec): BlockForm[] {
  const forms = new Map<string, BlockForm & { readonly layers: number[] }>();
  spec.blocks.forEach(({ mixer, wiring, names }, layer) => {
    const form = {
      norms: (Object.entries(normPlaces) as [NormRole, NormPlace][]).flatMap(([role, place]) =>
        names[role] === undefined ? [] : [place],
      ),
      parallel: wiring.order === 'parallel',
      mixer: { kind: mixer.kind, heads: mixer.heads, keyValueHeads: mixer.keyValueHeads },
    };
    const matrices = blockLinears(spec, layer).map(({ role, inFeatures, outFeatures }) => [role, inFeatures, outFeatures]);
    const key = JSON.stringify([form, matrices]);
    const known = forms.get(key);
    if (known === undefined) forms.set(key, { ...form, layers: [layer] });
    else known.layers.push(layer);
  });
  return [...forms.values()];
}

const normPlaces: Readonly<Partial<Record<NormRole, NormPlace>>> = {
  attn_norm: 'mixer',
  attn_q_norm: 'heads',
  post_attention_norm: 'after-mixer',
  ffn_norm: 'feed-forward',
  post_ffw_norm: 'after-feed-forward',
};

/** Lists the parts of the model in the order of the computation. */
function partsOf(spec: DecoderSpec): Part[] {
  const { modules, hiddenSize, vocabularySize } = spec;
  const outside = { layers: [], last: false };
  return [
    { ...outside, path: modules.token_embd, part: 'embedding', inFeatures: vocabularySize, outFeatures: hiddenSize },
    ...linearKinds(spec).map(({ path, layers, part, last, inFeatures, outFeatures }): Part => {
      return { path, layers, part, last, inFeatures, outFeatures };
    }),
    { ...outside, path: modules.output, part: 'head', inFeatures: hiddenSize, outFeatures: vocabularySize },
  ];
}

/**
 * Returns the shortest end of a path that no other path has. Outside of the blocks it is the whole path, which stays valid
 * whatever layers are chosen.
 */
function targetName({ path, layers }: Part, paths: readonly string[]): string {
  if (layers.length === 0) return path;
  const names = path.split('.');
  for (let length = 1; length < names.length; length++) {
    const end = names.slice(-length).join('.');
    if (paths.filter((other) => `.${other}`.endsWith(`.${end}`)).length === 1) return end;
  }
  return path;
}
