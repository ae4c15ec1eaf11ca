/** Adapters of PEFT that carry more than factors, are named otherwise, or are damaged: understood, or refused by the name of the tensor. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float32ToBfloat16 } from '../formats/float.ts';
import { SafetensorsWriter, type FloatType } from '../formats/safetensors.ts';
import { mergeAdapters } from '../export/merge.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { tensorView, type Adapter } from './adapter.ts';
import { openAdapted } from './adapted.ts';
import { parseAdapterConfig } from './config-file.ts';
import { readAdapter, writeAdapter } from './folder.ts';
import { readAdapterConfig } from './peft.ts';
import { problemOf } from '../testing/problem-of.ts';

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'peft-'));
afterAll(() => rmSync(work, { recursive: true }));

interface Written {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
  readonly type?: FloatType;
}

const of = (name: string) => {
  const model = openModel(join(golden, name, 'model'));
  const adapter = readAdapter(join(golden, name, 'adapter'), model);
  return { model, adapter, tensors: tensorsOf(adapter), config: configOf(name) };
};

function tensorsOf({ shape, parameters }: Adapter): Written[] {
  return shape.tensors.map((tensor) => ({ ...tensor, values: tensorView(parameters, tensor) }));
}

function configOf(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(golden, name, 'adapter/adapter_config.json'), 'utf8')) as Record<string, unknown>;
}

function folderOf(tensors: readonly Written[], config: Record<string, unknown>): string {
  const dir = mkdtempSync(join(work, 'adapter-'));
  writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(config));
  const plan = tensors.map(({ name, shape, type = 'F32' }) => ({ name, shape, type }));
  const writer = new SafetensorsWriter(join(dir, 'adapter_model.safetensors'), plan);
  for (const { values } of tensors) writer.write(values);
  writer.finish();
  return dir;
}

const noise = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898) / 8);

/** A copy of what the base has under a name, under PEFT's key for it. */
function copyOf(model: OpenModel, name: string, key = `base_model.model.${name}`): Written {
  return { name: key, shape: model.weights.shape(name), values: model.weights.read(name) };
}

const embedding = 'model.embed_tokens.weight';

const ofMany = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, 1]));
const nested = (depth: number): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
};

describe('copies of the base’s tensors', () => {
  it.each(['F32', 'F16', 'BF16'] as const)('that are the base’s in %s say nothing', (type) => {
    const { model, adapter, tensors, config } = of('lora-some-layers');
    const copies = [embedding, 'lm_head.weight'].map((name) => ({ ...copyOf(model, name), type }));
    const found = readAdapter(folderOf([...tensors, ...copies], config), model);
    expect(found.shape.tensors).toEqual(adapter.shape.tensors);
    expect(found.parameters).toEqual(adapter.parameters);
  });

  it('that differ take its place, and are written again', () => {
    const { model, tensors, config } = of('lora-some-layers');
    const values = noise(model.weights.read(embedding).length);
    const norm = copyOf(model, 'model.layers.0.input_layernorm.weight');
    const other = { ...norm, values: norm.values.map((value) => value + 1) };
    const dir = folderOf([...tensors, { ...copyOf(model, embedding), values }, copyOf(model, 'lm_head.weight'), other], config);
    const adapter = readAdapter(dir, model);
    const { weights } = mergeAdapters(model, [{ adapter, weight: 1 }]);
    expect(weights.read(embedding)).toEqual(values);
    expect(weights.read('model.layers.0.input_layernorm.weight')).toEqual(other.values);
    expect(weights.read('lm_head.weight')).toEqual(model.weights.read('lm_head.weight'));
    const again = join(work, 'written-again');
    writeAdapter(again, adapter);
    expect(readAdapter(again, model)).toEqual(adapter);
  });

  it('of an adapted embedding are what its factors are added to', () => {
    const { model, adapter, tensors, config } = of('lora-head-embed');
    const values = bfloat16ToFloat32(float32ToBfloat16(noise(model.weights.read(embedding).length)));
    const copy = { ...copyOf(model, embedding, 'base_model.model.model.embed_tokens.base_layer.weight'), values, type: 'BF16' };
    const found = readAdapter(folderOf([...tensors, copy as Written], config), model);
    const [own, base] = [found, adapter].map((one) =>
      mergeAdapters(model, [{ adapter: one, weight: 1 }]).weights.read(embedding),
    );
    const before = model.weights.read(embedding);
    own!.forEach((value, i) => expect(value - values[i]!).toBeCloseTo(base![i]! - before[i]!, 5));
  });

  it('of a tied embedding are its head too, one copy or two', () => {
    const { model, tensors, config } = of('lora-tied');
    const plain = { ...config, target_modules: ['v_proj'], modules_to_save: null };
    const factors = tensors.filter(({ name }) => name.includes('v_proj'));
    const values = noise(model.weights.read(embedding).length);
    const [one, two] = [embedding, 'lm_head.weight'].map((name) => ({
      ...copyOf(model, embedding),
      name: `base_model.model.${name}`,
      values,
    }));
    for (const copies of [[one!], [two!], [one!, two!]]) {
      const merged = mergeAdapters(model, [
        { adapter: readAdapter(folderOf([...factors, ...copies], plain), model), weight: 1 },
      ]);
      expect(merged.model.spec.tiedEmbeddings).toBe(true);
      expect(merged.weights.read('lm_head.weight')).toEqual(values);
      expect(merged.weights.read(embedding)).toEqual(values);
    }
    const parted = readAdapter(folderOf([...factors, one!, { ...two!, values: values.map((x) => -x) }], plain), model);
    const merged = mergeAdapters(model, [{ adapter: parted, weight: 1 }]);
    expect(merged.model.spec.tiedEmbeddings).toBe(false);
    expect(merged.weights.read('lm_head.weight')[5]).toBe(-values[5]!);
  });
});

describe('a vocabulary changed in training', () => {
  const resized = (model: OpenModel, rows: number, name = embedding): Written => {
    const [, width] = model.weights.shape(embedding) as [number, number];
    return { name: `base_model.model.${name}`, shape: [rows, width], values: noise(rows * width) };
  };

  it.each([90, 104])('to %d tokens is that of the merged model', (rows) => {
    const { model, tensors, config } = of('lora-some-layers');
    const [embed, head] = [resized(model, rows), resized(model, rows, 'lm_head.weight')];
    const path = folderOf([...tensors, embed, head], config);
    const { model: grown, adapters, notes } = openAdapted(model, [{ path, weight: 1 }]);
    expect(notes.join()).toContain(`${rows} tokens instead of the model's 97`);
    expect(grown.spec.vocabularySize).toBe(rows);
    const { weights } = mergeAdapters(grown, adapters);
    expect(weights.read(embedding)).toEqual(embed.values);
    expect(weights.read('lm_head.weight')).toEqual(head.values);
  });

  it('and trained whole in modules_to_save counts as well', () => {
    const { model, tensors, config } = of('lora-saved-head');
    const kept = tensors.filter(({ name }) => !name.includes('lm_head'));
    const both = [resized(model, 99), resized(model, 99, 'lm_head.weight')];
    const path = folderOf([...kept, ...both], { ...config, modules_to_save: ['embed_tokens', 'lm_head'] });
    const { model: grown, adapters } = openAdapted(model, [{ path, weight: 1 }]);
    expect(mergeAdapters(grown, adapters).weights.read('lm_head.weight')).toEqual(both[1]!.values);
  });

  it('without its other half is refused with the numbers', () => {
    const { model, tensors, config } = of('lora-some-layers');
    const path = folderOf([...tensors, resized(model, 104)], config);
    expect(problemOf(() => openAdapted(model, [{ path, weight: 1 }])).message).toMatch(
      /model's 97 tokens.*the embedding has 104 rows, the head none of its own, so 97/,
    );
  });

  it.each([
    ['embed_tokens', 'embedding has 104 rows, the head none of its own, so 97'],
    ['lm_head', 'embedding has none of its own, so 97 rows, the head 104'],
  ])('trained whole in %s alone of a tied pair is refused: the other has no rows for it', (saved, said) => {
    const { model, tensors, config } = of('lora-tied-saved');
    const factors = tensors.filter(({ name }) => name.includes('lora_'));
    const whole = resized(model, 104, saved === 'lm_head' ? 'lm_head.weight' : embedding);
    const open = (keepsTied: boolean) => {
      const changed = { ...config, modules_to_save: [saved], ensure_weight_tying: keepsTied };
      return openAdapted(model, [{ path: folderOf([...factors, whole], changed), weight: 1 }]);
    };
    expect(problemOf(() => open(false))).toMatchObject({
      code: 'adapter-mismatch',
      message: expect.stringContaining(said) as string,
    });
    expect(open(true).model.spec).toMatchObject({ vocabularySize: 104, tiedEmbeddings: true });
  });

  it('is refused where only factors have it', () => {
    const { model, tensors, config } = of('lora-head-embed');
    const grown = tensors.map((tensor) =>
      tensor.name.endsWith('lora_embedding_A') ? { ...tensor, shape: [4, 104], values: noise(4 * 104) } : tensor,
    );
    const path = folderOf(grown, config);
    expect(problemOf(() => openAdapted(model, [{ path, weight: 1 }])).message).toMatch(
      /'.*embed_tokens\.lora_embedding_A' is \[4, 104\].*vocabulary of 104 tokens, and this model has 97/,
    );
  });

  it('is refused for two adapters that have different ones', () => {
    const { model, tensors, config } = of('lora-some-layers');
    const given = [98, 104].map((rows) => ({
      path: folderOf([...tensors, resized(model, rows), resized(model, rows, 'lm_head.weight')], config),
      weight: 0.5,
    }));
    expect(problemOf(() => openAdapted(model, given)).message).toContain('vocabularies of 98 and 104 tokens');
  });
});

describe('ensure_weight_tying', () => {
  it('says nothing where nothing is tied, or nothing tied is trained', () => {
    for (const name of ['lora-saved-head', 'lora-head-embed', 'lora-some-layers']) {
      const { model, adapter, tensors, config } = of(name);
      const found = readAdapter(folderOf(tensors, { ...config, ensure_weight_tying: true }), model);
      expect(found).toEqual(adapter);
    }
  });

  it('keeps an embedding that is trained whole one with its head', () => {
    const { model, tensors, config } = of('lora-tied-saved');
    const saved = config['modules_to_save'] as string[];
    const whole = tensors.filter(({ name }) => /embed_tokens|lm_head/.test(name));
    expect(whole.length).toBeGreaterThan(0);
    const factors = tensors.filter((tensor) => !whole.includes(tensor));
    const values = whole[0]!.values;
    const [one, two] = [embedding, 'lm_head.weight'].map((name) => ({ ...whole[0]!, name: `base_model.model.${name}` }));
    for (const stored of [[one!], [one!, two!]]) {
      const dir = folderOf([...factors, ...stored], { ...config, modules_to_save: saved, ensure_weight_tying: true });
      const adapter = readAdapter(dir, model);
      const merged = mergeAdapters(model, [{ adapter, weight: 1 }]);
      expect(merged.model.spec.tiedEmbeddings).toBe(true);
      expect(merged.weights.read('lm_head.weight')).toEqual(values);
      const again = mkdtempSync(join(work, 'tied-'));
      writeAdapter(again, adapter);
      expect(readAdapter(again, model)).toEqual(adapter);
    }
  });

  it('is refused by name for factors of what is tied', () => {
    const { model, tensors, config } = of('lora-tied');
    const dir = folderOf(tensors, { ...config, ensure_weight_tying: true });
    expect(problemOf(() => readAdapter(dir, model))).toMatchObject({
      code: 'model-unsupported',
      message: expect.stringMatching(/'ensure_weight_tying' with an adapter of '(model\.embed_tokens|lm_head)'/) as string,
    });
  });
});

describe('a config', () => {
  const plain = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['q_proj'] };
  const parse = (fields: Record<string, unknown>) => parseAdapterConfig(JSON.stringify({ ...plain, ...fields }), 'a.json');

  // As PEFT 0.21 writes them, and fields of older versions and other programs at what means nothing.
  it.each([
    { trainable_token_indices: null, target_parameters: null, layer_replication: null, alora_invocation_tokens: null },
    { arrow_config: null, kasa_config: null, monteclora_config: null, use_bdlora: null, megatron_config: null },
    { megatron_core: 'megatron.core', qalora_group_size: 16, use_qalora: false, lora_bias: false, loftq_config: {} },
    { trainable_token_indices: { embed_tokens: [] }, target_parameters: [], layer_replication: [] },
    { eva_config: { rho: 2, tau: 0.99 }, corda_config: { corda_method: 'ipm' }, lora_ga_config: { direction: 'ArB2r' } },
    { velora_config: { num_groups: 64 }, runtime_config: { ephemeral_gpu_offload: false }, merge_weights: false },
    { init_lora_weights: 'eva', enable_lora: null, invocation_string: null },
    { init_lora_weights: 'mica' },
  ])('is read the same with %o', (fields) => {
    expect(parse(fields)).toEqual(parse({}));
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ trainable_token_indices: { embed_tokens: [5, 6] } }, /'trainable_token_indices' is set \(embed_tokens \(5, 6\)\)/],
    [{ trainable_token_indices: [1, 2, 3, 4, 5, 6, 7, 8] }, /is 1, 2, 3, 4, 5, 6 and 2 more/],
    [{ target_parameters: ['experts.down_proj'] }, /'target_parameters' is 'experts.down_proj'/],
    [
      {
        layer_replication: [
          [0, 4],
          [2, 5],
        ],
      },
      /'layer_replication' is \(0, 4\), \(2, 5\)/,
    ],
    [{ arrow_config: { top_k: 3, use_gks: false } }, /'arrow_config' is set \(top_k 3, use_gks false\)/],
    [{ use_bdlora: { nblocks: 2, target_modules_bd_a: null } }, /'use_bdlora' is set \(nblocks 2, target_modules_bd_a empty\)/],
    [{ kasa_config: { beta: 1e-4 } }, /'kasa_config' is set/],
    [{ monteclora_config: { num_samples: 8 } }, /'monteclora_config' is set/],
    [{ megatron_config: { hidden_size: 8 } }, /'megatron_config' is set/],
    [{ alora_invocation_tokens: [1, 2] }, /'alora_invocation_tokens' is 1, 2/],
    [{ use_qalora: true }, /'use_qalora' is true/],
    [{ lora_bias: true }, /'lora_bias' is true/],
    [{ init_lora_weights: 'pissa_niter_4' }, /'init_lora_weights' is 'pissa_niter_4'/],
    [{ bias: 'some' }, /'bias' is 'some'/],
    [{ peft_type: 'IA3' }, /'peft_type' is 'IA3'/],
    [{ r: undefined }, /'r', the rank, is missing/],
    [{ r: 0 }, /'r' is no rank: 0/],
    [{ r: '4' }, /'r' is no rank: '4'/],
    [{ lora_alpha: '16' }, /'lora_alpha' is no number: '16'/],
    [{ lora_alpha: undefined }, /'lora_alpha' is missing/],
    [{ target_modules: '(' }, /no regular expression/],
    [{ target_modules: { q_proj: 1 } }, /'target_modules' must be a list of names/],
    [{ target_modules: [] }, /'target_modules' names nothing/],
    [{ rank_pattern: [1, 2] }, /'rank_pattern' must give numbers by name/],
    [{ rank_pattern: ofMany(10_001) }, /'rank_pattern' has 10001 names, and 10000 are the most/],
    [{ target_modules: 'x'.repeat(10_001) }, /no regular expression/],
    [{ trainable_token_indices: nested(2000) }, /'trainable_token_indices' is \(+…/],
  ])('with %o is refused by name', (fields, message) => {
    const problem = problemOf(() => parse(fields));
    expect(problem.message).toMatch(message);
    expect(problem.message).not.toMatch(/\[object|[[{]"/);
  });

  it('with a path of Windows is read, and one with single backslashes is told', () => {
    expect(parse({ base_model_name_or_path: 'C:\\models\\base' }).base).toBe('C:\\models\\base');
    const text = '{\n"base_model_name_or_path": "C:\\models\\base",\n"r": 4}';
    expect(problemOf(() => parseAdapterConfig(text, 'a.json'))).toMatchObject({
      code: 'config-invalid',
      message: 'a.json is not JSON: line 2 has a single backslash, as in a path of Windows.',
    });
    expect(parseAdapterConfig(`\uFEFF${JSON.stringify(plain)}`, 'a.json').rank).toBe(4);
  });

  it('that Git LFS has not fetched is told', () => {
    const dir = mkdtempSync(join(work, 'pointer-'));
    writeFileSync(join(dir, 'adapter_config.json'), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n');
    expect(problemOf(() => readAdapterConfig(dir)).message).toMatch(/adapter_config\.json' is a pointer of Git LFS/);
  });

  it('takes all-linear and regular expressions as PEFT does', () => {
    expect(parse({ target_modules: 'all-linear' }).targetModules).toBe('all-linear');
    expect(parse({ target_modules: '.*\\.(?:q|v)_proj' }).targetModules).toBe('.*\\.(?:q|v)_proj');
  });
});

describe('a file', () => {
  const { model, adapter, tensors, config } = of('lora-some-layers');
  const refusal = (changed: readonly Written[], fields: Record<string, unknown> = config) =>
    problemOf(() => readAdapter(folderOf(changed, fields), model));
  const first = tensors[0]!;

  it.each([
    ['lora_A', 'lora_B'],
    ['lora_B', 'lora_A'],
  ])('with a %s alone is refused', (there, lacking) => {
    const half = tensors.filter(({ name }) => !(name.includes('layers.0.self_attn.q_proj') && name.includes(lacking)));
    const whole =
      half.length < tensors.length ? half : tensors.filter(({ name }) => name !== first.name.replace(/lora_[AB]/, lacking));
    const { code, message } = refusal(whole);
    expect(code).toBe('adapter-mismatch');
    expect(message).toMatch(
      new RegExp(`has '.*${there}\\.weight' but not the other factor of the pair, '.*${lacking}\\.weight'`),
    );
  });

  it('of another rank than its config is refused', () => {
    expect(refusal(tensors, { ...config, r: 2 }).message).toMatch(
      /is \[4, 32\].*its rank is 4, and adapter_config\.json says 2/,
    );
  });

  it('with keys twice is refused with both', () => {
    const twice = { ...first, name: first.name.replace('.weight', '.default.weight') };
    expect(refusal([...tensors, twice]).message).toContain(`as '${first.name}' and as '${twice.name}'`);
  });

  it('with tensors that are not understood lists them', () => {
    const more = ['base_model.model.model.vision_tower.blocks.0.lora_A.weight', 'base_model.model.score.weight'];
    const unknown = more.flatMap((name) => [name, name.replace('lora_A', 'lora_B')]);
    const { message } = refusal([
      ...tensors,
      ...[...new Set(unknown)].map((name) => ({ name, shape: [1, 2], values: noise(2) })),
    ]);
    for (const name of more) expect(message).toContain(`'${name}' [1, 2]`);
    const bias = { name: first.name.replace('lora_A.weight', 'lora_B.bias'), shape: [2], values: noise(2) };
    expect(refusal([...tensors, bias]).message).toContain(`'${bias.name}' [2]`);
  });

  it.each([
    ['torch.compile', (name: string) => name.replace('base_model.model.', 'base_model.model._orig_mod.')],
    ['torch.compile of blocks', (name: string) => name.replace(/(layers\.\d+)\./, '$1._orig_mod.')],
    ['DistributedDataParallel', (name: string) => `module.${name}`],
    ['FSDP', (name: string) => name.replace('base_model.model.', '_fsdp_wrapped_module.base_model.model.')],
    ['no prefix', (name: string) => name.replace('base_model.model.', '')],
    ['transformers 4.52', (name: string) => name.replace('model.model.', 'model.model.language_model.')],
    [
      'transformers before it',
      (name: string) => name.replace('base_model.model.model.', 'base_model.model.language_model.model.'),
    ],
  ])('with the names of %s is the same adapter', (_, renamed) => {
    const dir = folderOf(
      tensors.map((tensor) => ({ ...tensor, name: renamed(tensor.name) })),
      config,
    );
    expect(readAdapter(dir, model)).toEqual(adapter);
  });

  it.each([
    ['expression', '.*language_model\\.model\\.layers\\.1\\..*q_proj'],
    ['list', ['language_model.model.layers.1.self_attn.q_proj']],
  ])('with the older names in the %s of its config means the same modules', (_, target_modules) => {
    const path = 'model.layers.1.self_attn.q_proj';
    const both = ['lora_A', 'lora_B'].map((part): Written => {
      const shape = part === 'lora_A' ? [4, 32] : [32, 4];
      return { name: `base_model.model.language_model.${path}.${part}.weight`, shape, values: noise(128) };
    });
    const found = readAdapter(folderOf(both, { ...config, target_modules, layers_to_transform: null }), model);
    expect(found.shape.modules.map((module) => module.path)).toEqual([path]);
    const again = mkdtempSync(join(work, 'renamed-'));
    writeAdapter(again, found);
    expect(readAdapter(again, model).parameters).toEqual(found.parameters);
  });

  it('of a model alone, or of older wrappers, fits the text part of a model that also sees', () => {
    const inside = (path: string): string => path.replace(/^model\./, 'model.language_model.');
    const { modules } = model.spec;
    const [token_embd, blocks, output_norm] = [modules.token_embd, modules.blocks, modules.output_norm].map(inside);
    const spec = {
      ...model.spec,
      modules: { ...modules, token_embd: token_embd!, blocks: blocks!, output_norm: output_norm! },
    };
    for (const place of ['model.', 'language_model.model.', 'model.language_model.']) {
      const named = tensors.map((tensor) => {
        return { ...tensor, name: tensor.name.replace('base_model.model.model.', `base_model.model.${place}`) };
      });
      const found = readAdapter(folderOf(named, config), { spec, weights: model.weights });
      expect(found.parameters).toEqual(adapter.parameters);
      expect(found.shape.modules[0]!.path).toMatch(/^model\.language_model\.layers\./);
    }
  });
});
