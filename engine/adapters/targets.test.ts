/** Which modules a config means, and at which rank: what PEFT answers for the same model of 12 blocks (peft 0.21). */
import { expect, it } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import { defaultRecipe } from '../recipe.ts';
import { parseAdapterConfig } from './config-file.ts';
import { adaptedTargets, checkTargets, savedWeights } from './targets.ts';

const spec = specFromConfig(
  {
    ...{ model_type: 'llama', hidden_size: 8, intermediate_size: 12, num_hidden_layers: 12, num_attention_heads: 2 },
    ...{ vocab_size: 20, max_position_embeddings: 64 },
  },
  'config.json',
);
const parse = (fields: Record<string, unknown>) =>
  parseAdapterConfig(JSON.stringify({ r: 2, lora_alpha: 2, ...fields }), 'config');
const ranks = (fields: Record<string, unknown>) =>
  Object.fromEntries(adaptedTargets(parse(fields), spec).map(({ path, rank }) => [path.replace('model.layers.', ''), rank]));
const layer = (index: number, names: readonly string[], rank = 2) =>
  Object.fromEntries(names.map((name) => [`${index}.${/^[qkvo]_/.test(name) ? 'self_attn' : 'mlp'}.${name}`, rank]));

it('takes the ends of paths between dots, not any part of a name', () => {
  expect(ranks({ target_modules: ['proj'] })).toEqual({});
  expect(Object.keys(ranks({ target_modules: ['self_attn.q_proj', 'down_proj'] })).length).toBe(24);
  expect(ranks({ target_modules: ['lm_head', 'embed_tokens'] })).toEqual({ 'model.embed_tokens': 2, lm_head: 2 });
});

it('matches a string as a regular expression with the whole path, Python groups and all', () => {
  expect(ranks({ target_modules: 'q_proj' })).toEqual({});
  expect(ranks({ target_modules: '(?P<a>.*)layers\\.[05]\\..*(q|v)_proj' })).toEqual({
    ...layer(0, ['q_proj', 'v_proj']),
    ...layer(5, ['q_proj', 'v_proj']),
  });
  expect(ranks({ target_modules: 'lm_head|model.embed_tokens' })).toEqual({ 'model.embed_tokens': 2, lm_head: 2 });
});

it('refuses an expression that is none, and one that would take for ever', () => {
  for (const field of ['target_modules', 'exclude_modules'])
    expect(() => parse({ target_modules: 'x', [field]: '(((' })).toThrow(/no regular expression/);
  expect(() => parse({ target_modules: ['q_proj'], rank_pattern: { '(((': 2 } })).toThrow(/no regular expression/);
  expect(() => parse({ target_modules: ['q_proj'], layers_pattern: '(((' })).toThrow(/no regular expression/);
  expect(() => ranks({ target_modules: '(([a-z._0-9]+)+)+X' })).toThrow(/takes too long/);
  expect(() => ranks({ target_modules: ['q_proj'], rank_pattern: { '(([a-z._0-9]+)+)+X': 2 } })).toThrow(/takes too long/);
  expect(ranks({ target_modules: '([a-z_]+\\.){2}1\\.mlp\\.(?:up|down)_proj' })).toEqual(layer(1, ['up_proj', 'down_proj']));
});

it('all-linear is every linear layer but the head', () => {
  const found = Object.keys(
    ranks({ target_modules: 'all-linear', modules_to_save: ['mlp'], exclude_modules: ['2.self_attn.o_proj'] }),
  );
  expect(found.length).toBe(12 * 4 - 1);
});

it('keeps to layers, except for a whole path, and finds their number by the name before it', () => {
  const fields = { target_modules: ['model.layers.1.mlp.up_proj', 'v_proj', 'lm_head'], layers_to_transform: [0, 11] };
  expect(ranks(fields)).toEqual({ ...layer(0, ['v_proj']), ...layer(1, ['up_proj']), ...layer(11, ['v_proj']), lm_head: 2 });
  expect(ranks({ ...fields, layers_pattern: 'layers' })).toEqual(ranks(fields));
  expect(ranks({ ...fields, layers_pattern: ['blocks'] })).toEqual({ ...layer(1, ['up_proj']), lm_head: 2 });
  expect(ranks({ target_modules: ['q_proj'], layers_to_transform: 5 })).toEqual(layer(5, ['q_proj']));
});

it('takes the first pattern that ends a path after a dot', () => {
  const fields = { target_modules: ['q_proj', 'down_proj'], layers_to_transform: [1] };
  expect(ranks({ ...fields, rank_pattern: { proj: 9, q_proj: 3 } })).toEqual({
    ...layer(1, ['q_proj'], 3),
    ...layer(1, ['down_proj']),
  });
  expect(ranks({ ...fields, rank_pattern: { '.*_proj': 4, q_proj: 3 } })).toEqual(layer(1, ['q_proj', 'down_proj'], 4));
  expect(ranks({ ...fields, rank_pattern: { '^model\\.layers\\.1.*': 7 } })).toEqual(layer(1, ['q_proj', 'down_proj'], 7));
  const [module] = adaptedTargets(
    parse({ target_modules: ['lm_head'], use_rslora: true, r: 9, alpha_pattern: { lm_head: 6 } }),
    spec,
  );
  expect(module!.scale).toBe(2);
});

it('trains modules whole whose path, or that of one around them, ends with a name', () => {
  const saved = (modules_to_save: string[]) =>
    savedWeights(parse({ target_modules: ['q_proj'], modules_to_save }), spec).map(({ name }) => name);
  expect(saved(['norm']).length).toBe(2 * 12 + 1);
  expect(saved(['layers.3.mlp'])).toEqual(['gate', 'up', 'down'].map((name) => `model.layers.3.mlp.${name}_proj.weight`));
  expect(saved(['lm_head'])).toEqual(['lm_head.weight']);
});

it('a recipe that names what is not there is refused by that name', () => {
  const check = (recipe: Record<string, unknown>) => () =>
    checkTargets({ ...defaultRecipe(), ...recipe, fanInFanOut: false, base: null } as never, spec);
  expect(check({ targetModules: ['q_prj'] })).toThrow("'q_proj'");
  expect(check({ targetModules: ['qq', 'down_porj'] })).toThrow(
    /'qq' is no .* model\. 'down_porj' is no .*; the nearest is 'down_proj'/,
  );
  expect(check({ targetModules: 'nothing.*' })).toThrow(
    "The expression 'nothing.*' in 'targetModules' matches the whole path of no linear layer or embedding of this model.",
  );
  // A name alone is no whole path; one that is nearly a name is a slip.
  expect(check({ targetModules: '.*self_atn\\.q_proj' })).toThrow(/'\.\*self_atn\\\.q_proj'.*the nearest is 'self_attn'/);
  expect(check({ targetModules: ['q_proj'], excludeModules: '.*_proj' })).toThrow(
    /'targetModules' q_proj with 'excludeModules' \.\*_proj/,
  );
  expect(check({ targetModules: ['q_proj'], layers: [1], layersPattern: ['blocks'] })).toThrow(/'layersPattern' blocks/);
  expect(check({ rankPattern: { dwn_proj: 4 } })).toThrow(
    "'dwn_proj' in 'rankPattern' means no module that gets an adapter; the nearest is 'down_proj'",
  );
  expect(check({ rankPattern: { lm_head: 4 } })).toThrow("'lm_head' in 'rankPattern'");
  expect(check({ modulesToSave: ['score'] })).toThrow("'score' in 'modulesToSave'");
  expect(check({})).not.toThrow();
});
