import { describe, expect, it } from 'vitest';
import { defaultRecipe } from '../recipe.ts';
import { checkRecipe } from './check.ts';
import { parseFieldText } from './field-text.ts';
import { recipeKeys } from './fields.ts';
import { noCounterpart, otherNames } from './other-names.ts';

const errorsOf = (input: Record<string, unknown>) => {
  const checked = checkRecipe(input);
  return 'errors' in checked ? checked.errors.map(({ message }) => message) : [];
};

describe('the names that a recipe takes', () => {
  it('are those of the fields, and the nearest is named for an unknown one', () => {
    expect(errorsOf({ learningrate: 1e-3 })[0]).toContain("the nearest is 'learningRate'");
    expect(errorsOf({ batch: 1 })[0]).toContain("no recipe field 'batch'");
  });

  it('guesses no field for a key that is like none', () => {
    for (const key of ['lr', 'batch', 'foo', 'curriculum', 'loss'])
      expect(errorsOf({ [key]: 1 })).toEqual([`There is no recipe field '${key}'.`]);
    expect(errorsOf({ rnak: 1 })[0]).toContain("the nearest is 'rank'");
    expect(errorsOf({ learning_rat: 1 })[0]).toContain("the nearest is 'learningRate'");
    expect(errorsOf({ constructor: 1, __proto: 1 })).toHaveLength(2);
  });

  it('says of a setting that other programs have and a recipe has not what holds instead', () => {
    expect(errorsOf({ bf16: true })).toEqual(["A recipe has no 'bf16'. Training always computes in float32."]);
    expect(errorsOf({ optim: 'sgd' })[0]).toContain('AdamW');
    for (const name of Object.keys(noCounterpart)) {
      expect(recipeKeys).not.toContain(name);
      expect(Object.keys(otherNames)).not.toContain(name);
    }
  });

  it('takes the names of PEFT, transformers and TRL for what means exactly the same', () => {
    const theirs = {
      ...{ r: 8, lora_alpha: 16, lora_dropout: 0.1, use_rslora: true, use_dora: true, init_lora_weights: true, bias: 'all' },
      ...{
        target_modules: ['q_proj'],
        exclude_modules: null,
        modules_to_save: null,
        layers_to_transform: 3,
        layers_pattern: 'layers',
      },
      ...{
        rank_pattern: { q_proj: 4 },
        alpha_pattern: null,
        learning_rate: 1e-3,
        num_train_epochs: 3,
        max_steps: -1,
        warmup_ratio: 0.1,
      },
      ...{ per_device_train_batch_size: 2, gradient_accumulation_steps: 4, lr_scheduler_type: 'constant_with_warmup', seed: 7 },
      ...{ weight_decay: 0.01, max_grad_norm: 0.5, max_seq_length: 512, eval_steps: 5, save_steps: 6, packing: false },
      ...{ gradient_checkpointing: true, adam_beta1: 0.8, adam_beta2: 0.95, adam_epsilon: 1e-6, neftune_noise_alpha: null },
    };
    const ours = {
      ...{ rank: 8, alpha: 16, dropout: 0.1, rslora: true, dora: true, initialization: 'default', bias: 'all' },
      ...{ targetModules: ['q_proj'], excludeModules: [], modulesToSave: [], layers: [3], layersPattern: ['layers'] },
      ...{ rankPattern: { q_proj: 4 }, alphaPattern: {}, learningRate: 1e-3, epochs: 3, maxSteps: 0, warmupRatio: 0.1 },
      ...{ batchSize: 2, gradientAccumulation: 4, schedule: 'constant', seed: 7 },
      ...{ weightDecay: 0.01, maxGradientNorm: 0.5, maxLength: 512, evalEvery: 5, saveEvery: 6, packing: false },
      ...{ recompute: true, beta1: 0.8, beta2: 0.95, epsilon: 1e-6, neftuneNoiseAlpha: 0 },
    };
    expect(checkRecipe(theirs)).toEqual(checkRecipe(ours));
    expect(checkRecipe(theirs)).toHaveProperty('recipe.rank', 8);
    for (const { key } of Object.values(otherNames)) expect(recipeKeys).toContain(key);
    expect(errorsOf({ learning_rate: 2 })).toEqual(["'learning_rate' is 2; it must be from 0 to 1."]);
    expect(parseFieldText('learning_rate', '2e-4')).toBe(2e-4);
    expect(parseFieldText('target_modules', 'q_proj,v_proj')).toEqual(['q_proj', 'v_proj']);
  });

  it('refuses two names for one field, and values that mean something else there', () => {
    expect(errorsOf({ rank: 8, r: 8 })).toEqual(["'rank' and 'r' are the same field; give one of them."]);
    expect(errorsOf({ max_length: 8, max_seq_length: 16 })).toHaveLength(1);
    expect(errorsOf({ init_lora_weights: false })[0]).toContain("'init_lora_weights' cannot be false");
    expect(errorsOf({ lr_scheduler_type: 'polynomial' })[0]).toContain('constant, linear, cosine');
    // Theirs has no warm-up, unlike a schedule 'constant' here.
    expect(checkRecipe({ lr_scheduler_type: 'constant' })).toMatchObject({ recipe: { schedule: 'constant', warmupSteps: 0 } });
    expect(errorsOf({ lr_scheduler_type: 'constant', warmup_steps: 5 })).toHaveLength(1);
    expect(errorsOf({ warmup_steps: 0, lr_scheduler_type: 'constant' })).toEqual([]);
  });

  it('still reads a recipe that names the one precision there was, and refuses another', () => {
    expect(checkRecipe({ precision: 'float32' })).toEqual({ recipe: defaultRecipe() });
    expect(errorsOf({ precision: 'float16' })).toEqual(["'precision' can only be float32: that is what is computed."]);
  });
});
