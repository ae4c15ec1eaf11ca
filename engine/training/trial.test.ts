/** What a device must pass, with the processor in the place of an accelerator: its graph is the accelerator's, lowered. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Problem } from '../problem.ts';
import { openSession, type OpenSession, type TensorValue } from '../runtime/session.ts';
import type { RecipeInput } from '../recipe.ts';
import { trialFor, trialKey, tryStep } from './trial.ts';

const golden = join(import.meta.dirname, '../golden');
const subject = (name: string, recipe: RecipeInput) => ({
  model: { path: join(golden, name, 'model') },
  adapterPath: null,
  recipe,
});

/** An accelerator that is the processor, and what it does otherwise. */
const pretended =
  (change: (results: Record<string, TensorValue>) => void = () => {}): OpenSession =>
  async (model, options) => {
    const session = await openSession(model, { ...options, provider: 'cpu' });
    if (options.provider === 'cpu') return session;
    return {
      release: () => session.release(),
      async run(feeds) {
        const results = await session.run(feeds);
        change(results);
        return results;
      },
    };
  };
const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-trial-'));
afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));
const folder = join(cacheDir, 'trial');
const tools = (own: OpenSession) => ({ openSession: own, threads: 2, folder });
async function problemOf(own: OpenSession): Promise<Problem> {
  const error: unknown = await tryStep(trialFor(null), 'webgpu', tools(own)).then(
    () => null,
    (error: unknown) => error,
  );
  if (error instanceof Problem) return error;
  throw new Error(`no problem but ${String(error)}`);
}

const makes: readonly (readonly [string, RecipeInput])[] = [
  ['llama-tied', {}],
  ['gpt2', { bias: 'all' }],
  ['gpt-neox', { dropout: 0.1 }],
  ['gemma', { dora: true }],
  ['gemma2', { neftuneNoiseAlpha: 5 }],
  ['gemma3', { baseQuantization: '4bit' }],
  ['phi', { method: 'full' }],
  ['phi3-longrope', { baseQuantization: '8bit', dora: true, dropout: 0.1 }],
  ['cohere2', { initialization: 'pissa' }],
  ['olmo2', { recompute: true }],
  ['starcoder2', { targetModules: ['embed_tokens', 'q_proj', 'lm_head'], dropout: 0.1 }],
  ['stablelm-parallel', { modulesToSave: ['lm_head'] }],
  ['smollm3', { layers: [2], targetModules: ['q_proj'] }],
];
test.each(makes)('a lowered step of %s with %j is the step', async (name, recipe) => {
  const difference = await tryStep(trialFor(subject(name, recipe)), 'webgpu', tools(pretended()));
  expect(difference).toBeLessThan(2e-5);
});

test('what a trial left that took its process down is removed by the next', async () => {
  mkdirSync(folder);
  writeFileSync(join(folder, 'weights.bin'), 'half');
  let left = true;
  await tryStep(
    trialFor(null),
    'webgpu',
    tools((model, options) => {
      left = existsSync(join(folder, 'weights.bin'));
      return pretended()(model, options);
    }),
  );
  expect(left).toBe(false);
  expect(existsSync(folder)).toBe(false);
});

test('a make is what changes the operators of a step, not its size', () => {
  const key = (recipe: RecipeInput, name = 'llama-tied') => trialKey(trialFor(subject(name, recipe)));
  const usual = key({});
  expect(key({ rank: 3, learningRate: 1, batchSize: 7, maxLength: 99 })).toBe(usual);
  for (const other of [{ dora: true }, { dropout: 0.1 }, { baseQuantization: '4bit' }, { method: 'full' }, { bias: 'all' }])
    expect(key(other), JSON.stringify(other)).not.toBe(usual);
  expect(key({}, 'gemma2')).not.toBe(usual);
});

describe('a device is refused', () => {
  test('whose loss is right and of whose gradients one is wrong', async () => {
    const { code, message } = await problemOf(
      pretended((results) => {
        const name = Object.keys(results).find((key) => key.startsWith('gradient.') && key.includes('q_proj.lora_A'));
        if (name !== undefined) (results[name]!.data as Float32Array).forEach((value, i, data) => (data[i] = value * 1.01));
      }),
    );
    expect(code).toBe('device-unavailable');
    expect(message).toMatch(/results are wrong: the gradient of .*q_proj\.lora_A.* by 1\.0 %/);
  });

  test('that gives what is no number', async () => {
    const { message } = await problemOf(pretended((results) => (results['token_loss']!.data as Float32Array).fill(NaN)));
    expect(message).toMatch(/results are wrong: the loss /);
  });

  test('that lacks an operator', async () => {
    const { message } = await problemOf((model, options) =>
      options.provider === 'cpu'
        ? openSession(model, options)
        : Promise.reject(new Error('This session contains graph nodes that are assigned to the default CPU EP')),
    );
    expect(message).toBe('It lacks operators that a training step needs.');
  });

  test('that is not there, in the words of the runtime', async () => {
    const { message } = await problemOf((model, options) =>
      options.provider === 'cpu' ? openSession(model, options) : Promise.reject(new Error('Failed to get a WebGPU adapter.')),
    );
    expect(message).toBe('It could not be used: Failed to get a WebGPU adapter.');
  });
});
