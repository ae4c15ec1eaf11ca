/** Mixes are what PEFT's `add_weighted_adapter` computes, and what cannot be mixed is refused by name. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { MixMethod, MixSettings } from '../contract.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { fillUniform } from '../random.ts';
import { openSession } from '../runtime/session.ts';
import { LogitsRunner } from '../decoder/logits.ts';
import { adapterShape, tensorView, type AdaptedModule, type Adapter } from './adapter.ts';
import { parseAdapterConfig } from './config-file.ts';
import { addDeltas, type WeightedAdapter } from './delta.ts';
import { readAdapter, readFound, writeAdapter } from './folder.ts';
import { cutMatrix, cutProduct, type LowRank } from './low-rank.ts';
import { mixAdapters, type Mix, type MixedPart } from './mix.ts';
import { findPeftAdapterAlone } from './peft.ts';

const golden = join(import.meta.dirname, '../golden');
const folder = join(golden, 'mix');
const model = openModel(join(folder, 'model'));
const base = { spec: model.spec, name: 'base' };
const work = mkdtempSync(join(tmpdir(), 'lowrank-mix-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const read = (name: string): Adapter => readAdapter(join(folder, 'adapters', name), model);
const partsOf = (weights: Readonly<Record<string, number>>): MixedPart[] =>
  Object.entries(weights).map(([name, weight]) => ({ name, weight, adapter: read(name) }));

/** Returns the change s B A of a module, `[out, in]`. */
function changeOf(adapters: readonly WeightedAdapter[], { path, kind, inFeatures, outFeatures }: AdaptedModule): Float32Array {
  expect(kind).toBe('linear');
  const change = new Float32Array(inFeatures * outFeatures);
  addDeltas(change, path, adapters);
  return change;
}

function largest(one: Float32Array, other: Float32Array): number {
  expect(one.length).toBe(other.length);
  return one.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
}

/** Writes the adapter and reads it again, as every user of it does. */
function written({ adapter }: Pick<Mix, 'adapter'>): Adapter {
  const path = join(work, crypto.randomUUID());
  writeAdapter(path, adapter);
  return readAdapter(path, model);
}

interface Case {
  readonly method: string;
  readonly adapters: readonly string[];
  readonly weights: readonly number[];
  readonly density?: number;
  readonly svd_rank?: number;
  readonly majority_sign_method?: 'total' | 'frequency';
}
const cases = JSON.parse(readFileSync(join(folder, 'mixes.json'), 'utf8')) as Record<string, Case>;

it.each(Object.entries(cases))('%s is as in PEFT', async (name, of) => {
  const settings: MixSettings = {
    method: of.method.replaceAll('_', '-') as MixMethod,
    ...(of.svd_rank === undefined ? {} : { rank: of.svd_rank }),
    ...(of.density === undefined ? {} : { density: of.density }),
    ...(of.majority_sign_method === undefined ? {} : { majoritySign: of.majority_sign_method }),
  };
  const mix = await mixAdapters(
    of.adapters.map((adapter, i) => ({ name: adapter, adapter: read(adapter), weight: of.weights[i]! })),
    settings,
    base,
  );
  expect(mix.settings).toMatchObject(settings);
  expect(mix.notes).toEqual([]);
  const adapter = written(mix);
  if (of.svd_rank !== undefined) expect(adapter.config.rank).toBe(of.svd_rank);
  const path = join(folder, `${name}.safetensors`);
  const { tensors } = readSafetensors(path);
  expect(adapter.shape.modules).toHaveLength(tensors.size);
  for (const module of adapter.shape.modules) {
    const tensor = tensors.get(module.path) ?? tensors.get(`${module.path}.weight`);
    const expected = readSafetensorsFloat32(path, tensor!);
    expect(largest(changeOf([{ adapter, weight: 1 }], module), expected)).toBeLessThan(1e-5);
  }
});

/** Makes an adapter of random numbers, whose config has these fields. */
function random(fields: object, seed: number, spec = model.spec): Adapter {
  const text = JSON.stringify({ peft_type: 'LORA', r: 4, lora_alpha: 6, target_modules: ['q_proj'], ...fields });
  const config = parseAdapterConfig(text, 'adapter_config.json');
  const shape = adapterShape(config, spec);
  const parameters = new Float32Array(shape.length);
  fillUniform(parameters, 0.5, seed, 'mix');
  return { config, shape, parameters, initial: null };
}

/** Three adapters that differ in all that a config can say of factors. */
const unlike = (): MixedPart[] => [
  { name: 'one', weight: 0.7, adapter: random({ use_rslora: true, target_modules: ['q_proj', 'k_proj'] }, 1) },
  {
    ...{ name: 'other', weight: -0.4 },
    adapter: random(
      { r: 3, rank_pattern: { q_proj: 2 }, alpha_pattern: { v_proj: 1 }, target_modules: ['q_proj', 'v_proj'] },
      2,
    ),
  },
  { name: 'third', weight: 2, adapter: random({ layers_to_transform: [1], target_modules: ['q_proj', 'o_proj'] }, 3) },
];

function placesOf(parts: readonly MixedPart[]): AdaptedModule[] {
  const modules = parts.flatMap(({ adapter }) => adapter.shape.modules);
  return [...new Map(modules.map((module) => [module.path, module])).values()];
}

it.each(['cat', 'svd'] as const)('%s of adapters that are unlike is the sum of their changes', async (method) => {
  const parts = unlike();
  // No module has a sum of a higher rank.
  const adapter = written(await mixAdapters(parts, method === 'cat' ? { method } : { method, rank: 10 }, base));
  const places = placesOf(parts);
  expect(adapter.shape.modules.map(({ path }) => path).toSorted()).toEqual(places.map(({ path }) => path).toSorted());
  for (const module of places)
    expect(largest(changeOf([{ adapter, weight: 1 }], module), changeOf(parts, module))).toBeLessThan(2e-6);
});

it('takes root and sign of weight times scale on each side where factors are added', async () => {
  const parts = [
    { name: 'one', weight: -0.7, adapter: random({ use_rslora: true }, 1) },
    { name: 'other', weight: 0.4, adapter: random({ lora_alpha: 1 }, 2) },
  ];
  const adapter = written(await mixAdapters(parts, { method: 'linear' }, base));
  expect(adapter.config).toMatchObject({ rank: 4, alpha: 4, rslora: false });
  for (const [i, { a, b }] of adapter.shape.modules.entries()) {
    const scales = [-0.7 * (6 / Math.sqrt(4)), 0.4 * (1 / 4)];
    const sum = (side: 'a' | 'b') =>
      tensorView(parts[0]!.adapter.parameters, parts[0]!.adapter.shape.modules[i]![side]).map((value, at) => {
        const [one, other] = scales.map((scale) => Math.sqrt(Math.abs(scale)) * (side === 'a' ? Math.sign(scale) : 1));
        const second = parts[1]!.adapter;
        return one! * value + other! * tensorView(second.parameters, second.shape.modules[i]![side])[at]!;
      });
    expect(largest(tensorView(adapter.parameters, a), sum('a'))).toBeLessThan(1e-6);
    expect(largest(tensorView(adapter.parameters, b), sum('b'))).toBeLessThan(1e-6);
  }
});

it('mixes embeddings and heads, tied or not', async () => {
  const fields = { target_modules: ['embed_tokens', 'lm_head', 'q_proj'] };
  const parts = [
    { name: 'one', weight: 1, adapter: random(fields, 1) },
    { name: 'other', weight: -2, adapter: random({ ...fields, r: 2 }, 2) },
  ];
  for (const settings of [
    { method: 'svd', rank: 6 },
    { method: 'magnitude-prune-svd', density: 1, rank: 6 },
  ] as const) {
    const adapter = written(await mixAdapters(parts, settings, base));
    for (const { path, inFeatures, outFeatures } of placesOf(parts)) {
      const [is, should] = [[{ adapter, weight: 1 }], parts].map((adapters) => {
        const change = new Float32Array(inFeatures * outFeatures);
        addDeltas(change, path, adapters);
        return change;
      });
      expect(largest(is!, should!)).toBeLessThan(5e-6);
    }
  }
});

it.each<MixSettings>([
  { method: 'linear' },
  { method: 'cat' },
  { method: 'svd' },
  ...(['ties', 'magnitude-prune', 'dare-linear'] as const).flatMap((method) => [
    { method, density: 1 },
    { method: `${method}-svd` as const, density: 1 },
  ]),
])('$method with the weights 1 and 0 and nothing pruned is the first adapter', async (settings) => {
  // Both have the same signs, so that no sign is outvoted.
  const [one, other] = [read('a'), read('a')];
  const parts = [
    { name: 'one', weight: 1, adapter: one },
    { name: 'other', weight: 0, adapter: other },
  ];
  // TIES takes the mean of the values that agree.
  const factor = settings.method === 'ties' ? 4 : settings.method === 'ties-svd' ? 2 : 1;
  const adapter = written(await mixAdapters(parts, settings, base));
  for (const module of one.shape.modules)
    expect(
      largest(changeOf([{ adapter, weight: factor }], module), changeOf([{ adapter: one, weight: 1 }], module)),
    ).toBeLessThan(2e-6);
});

it('a mix with cat has the logits of the base with both adapters', async () => {
  const parts = partsOf({ a: 0.7, c: -0.4 });
  const { adapter } = await mixAdapters(parts, { method: 'cat' }, base);
  const ids = Int32Array.from([5, 17, 3, 60, 41, 2]);
  const logits = async (adapters: readonly WeightedAdapter[]): Promise<Float32Array> => {
    const runner = await LogitsRunner.open(model, adapters, { threads: 1, cacheDir: join(work, 'cache'), openSession });
    try {
      return (await runner.run(ids, [...ids.keys()], runner.feeds(adapters))).slice();
    } finally {
      await runner.release();
    }
  };
  const [mixed, both, alone] = [await logits([{ adapter, weight: 1 }]), await logits(parts), await logits([])];
  expect(largest(mixed, both)).toBeLessThan(2e-5);
  expect(largest(mixed, alone)).toBeGreaterThan(1e-2);
});

it('DARE keeps this share of the values, scaled up, and draws them by the seed alone', async () => {
  const adapter = random({ r: 32 }, 1);
  const part = { name: 'one', weight: 1, adapter };
  const settings = { method: 'dare-linear', density: 0.3, seed: 5 } as const;
  const [first, again] = [await mixAdapters([part], settings, base), await mixAdapters([part], settings, base)];
  expect(again.adapter.parameters).toEqual(first.adapter.parameters);
  expect((await mixAdapters([part], { ...settings, seed: 6 }, base)).adapter.parameters).not.toEqual(first.adapter.parameters);
  const root = Math.sqrt(6 / 32);
  let kept = 0;
  first.adapter.parameters.forEach((value, i) => {
    if (value === 0) return;
    kept++;
    expect(value).toBeCloseTo((root * adapter.parameters[i]!) / 0.3, 5);
  });
  expect(kept / adapter.parameters.length).toBeCloseTo(0.3, 1);
  // The two adapters of a mix are drawn apart: of equal ones, some values are kept once and some twice.
  const twice = await mixAdapters([part, { ...part, name: 'other' }], settings, base);
  expect(twice.adapter.parameters.filter((value) => value !== 0).length / twice.adapter.parameters.length).toBeCloseTo(0.51, 1);
});

it('says by matrix what a smaller rank loses, which is what is missing', async () => {
  const part = { name: 'c', weight: 1, adapter: read('c') };
  const mix = await mixAdapters([part], { method: 'svd', rank: 2 }, base);
  const adapter = written(mix);
  expect(adapter.config).toMatchObject({ rank: 2, alpha: 2 });
  const norm = (values: Float32Array) => Math.hypot(...values);
  for (const [i, module] of adapter.shape.modules.entries()) {
    const whole = changeOf([part], module);
    const lost = changeOf(
      [
        { adapter, weight: 1 },
        { ...part, weight: -1 },
      ],
      module,
    );
    expect(mix.matrices[i]).toMatchObject({ path: module.path, rank: 2 });
    expect(mix.matrices[i]!.lost).toBeCloseTo(norm(lost) / norm(whole), 5);
    // The kept part stands at right angles to what is lost, as the best approximation does.
    expect(norm(changeOf([{ adapter, weight: 1 }], module)) ** 2 + norm(lost) ** 2).toBeCloseTo(norm(whole) ** 2, 3);
  }
  const same = await mixAdapters([part], { method: 'svd', rank: 9 }, base);
  expect(same.matrices.every(({ rank, lost }) => rank === 6 && lost === 0)).toBe(true);
  expect(same.notes).toEqual(['No matrix needs the rank 9: the largest has 6.']);
});

it('a whole matrix is cut as exactly when it is too large to be decomposed whole', async () => {
  const values = new Float32Array(200 * 150);
  fillUniform(values, 1, 3, 'large');
  const cut = await cutMatrix(values, [200, 150], 6, 1);
  const exact = cutProduct(
    { rows: 200, columns: 150, values: Float64Array.from(values) },
    { rows: 150, columns: 150, values: Float64Array.from({ length: 150 * 150 }, (_, i) => (i % 151 === 0 ? 1 : 0)) },
    6,
  );
  expect(cut.lost).toBeCloseTo(exact.lost, 10);
  const whole = ({ a, b, rank }: LowRank) =>
    Float32Array.from({ length: 200 * 150 }, (_, at) => {
      const [row, column] = [Math.floor(at / 150), at % 150];
      let sum = 0;
      for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * 150 + column]!;
      return sum;
    });
  expect(largest(whole(cut), whole(exact))).toBeLessThan(5e-6);
});

it('an adapter whose base is not at hand is read as with it, and keeps what it trained whole when it is cut', async () => {
  for (const name of ['lora-patterns', 'lora-saved-head', 'lora-bias', 'lora-head-embed', 'lora-rslora', 'lora-some-layers']) {
    const [dir, at] = [join(golden, name, 'adapter'), openModel(join(golden, name, 'model'))];
    const [alone, own] = [readFound(dir, findPeftAdapterAlone(dir), null), readAdapter(dir, at)];
    expect(alone.shape.modules).toHaveLength(own.shape.modules.length);
    for (const adapter of [alone, own]) {
      const part = { name, weight: 1, adapter };
      const path = join(work, crypto.randomUUID());
      writeAdapter(path, (await mixAdapters([part], { method: 'svd', rank: 1 }, null)).adapter);
      const cut = readAdapter(path, at);
      expect(cut.shape.modules.every(({ rank }) => rank === 1)).toBe(true);
      for (const { names, tensor } of cut.shape.replaced) {
        const before = own.shape.replaced.find((each) => each.names[0] === names[0])!;
        expect(tensorView(cut.parameters, tensor)).toEqual(tensorView(own.parameters, before.tensor));
      }
      expect(cut.shape.replaced).toHaveLength(own.shape.replaced.length);
      const whole = await mixAdapters([part], { method: 'cat' }, null);
      writeAdapter(`${path}-whole`, whole.adapter);
      const again = readAdapter(`${path}-whole`, at);
      for (const module of own.shape.modules) {
        const [is, should] = [again, own].map((adapter) => {
          const change = new Float32Array(module.inFeatures * module.outFeatures);
          addDeltas(change, module.path, [{ adapter, weight: 1 }]);
          return change;
        });
        expect(largest(is!, should!)).toBeLessThan(1e-6);
      }
    }
  }
});

it.each([
  ['lora-dora', /magnitudes of its own \(DoRA\)/],
  ['lora-saved-head', /'saved' replaces 'lm_head\.weight', trained whole/],
  ['lora-bias', /'saved' replaces '[\w.]+\.bias'/],
])('%s cannot be mixed, and is refused by name', async (name, message) => {
  const at = openModel(join(golden, name, 'model'));
  const adapter = readAdapter(join(golden, name, 'adapter'), at);
  const parts = [
    { name: 'plain', weight: 1, adapter: random({ target_modules: ['q_proj', 'query_key_value', 'c_attn'] }, 1, at.spec) },
    { name: 'saved', weight: 0.5, adapter },
  ];
  const mixed = mixAdapters(parts, { method: 'cat' }, { spec: at.spec, name: null });
  await expect(mixed).rejects.toMatchObject({ code: 'model-unsupported', message: expect.stringMatching(message) as string });
  await expect(mixed).rejects.toMatchObject({ hint: expect.stringContaining('lowrank merge') as string });
});

it('refuses settings that say nothing or too little, and lists those that count for nothing', async () => {
  const parts = partsOf({ a: 1, c: 1 });
  const refused = (settings: MixSettings, message: RegExp) =>
    expect(mixAdapters(parts, settings, base)).rejects.toMatchObject({ message: expect.stringMatching(message) as string });
  await refused({ method: 'ties' }, /no density/);
  await refused({ method: 'ties', density: 0 }, /density 0/);
  await refused({ method: 'dare-ties', density: 1.5 }, /density 1.5/);
  await refused({ method: 'svd', rank: 0 }, /0 is no rank/);
  await refused({ method: 'toString' as MixMethod }, /'toString' is no method/);
  // Factors of different ranks cannot be added.
  await refused({ method: 'linear' }, /'a' has the rank 4 .* and 'c' has 6/);
  const { notes, settings } = await mixAdapters(parts, { method: 'cat', density: 0.5, majoritySign: 'total', seed: 1 }, base);
  expect(settings).toEqual({ method: 'cat' });
  expect(notes.map((note) => /takes no ([a-z ]+),/.exec(note)?.[1])).toEqual(['density', 'majority sign', 'seed']);
});
