/**
 * Lists the names that PEFT, transformers and TRL give to the fields of a recipe, and the settings of these programs that a
 * recipe has no field for. Sources: PEFT's LoraConfig, transformers' TrainingArguments, TRL's SFTConfig. This file imports
 * nothing.
 */

export interface OtherName {
  /** Names the field of `fields.ts` with the same meaning. */
  readonly key: string;
  /**
   * Turns their value into that of the field; returns undefined for a value that a recipe cannot express. Left out: the values
   * are the same.
   */
  readonly read?: (value: unknown) => unknown;
  /** Holds further fields that a value decides: transformers' `constant` is a schedule without a warm-up. */
  readonly implies?: (value: unknown) => Readonly<Record<string, unknown>>;
}

/** Reads a list of names; PEFT's None means that nothing is named. */
const nameList = (value: unknown): unknown => (value === null ? [] : value);
const numbers = (value: unknown): unknown => value ?? {};
const names = (value: unknown): unknown => (value === null ? [] : typeof value === 'string' ? [value] : value);
const layers = (value: unknown): unknown => (value === null ? 'all' : typeof value === 'number' ? [value] : value);
const initialization = (value: unknown): unknown =>
  value === true || value === 'true' ? 'default' : value === false || value === 'false' ? undefined : value;
/** Reads a number of steps; transformers writes -1 when the epochs decide. */
const stepsOrNone = (value: unknown): unknown => (value === -1 ? 0 : value);
const schedules: Readonly<Record<string, string>> = {
  constant: 'constant',
  constant_with_warmup: 'constant',
  linear: 'linear',
  cosine: 'cosine',
};
const schedule = (value: unknown): unknown =>
  typeof value === 'string' && Object.hasOwn(schedules, value) ? schedules[value] : undefined;

/** Maps names to the field that means exactly the same. */
export const otherNames: Readonly<Record<string, OtherName>> = {
  r: { key: 'rank' },
  lora_alpha: { key: 'alpha' },
  lora_dropout: { key: 'dropout' },
  use_rslora: { key: 'rslora' },
  use_dora: { key: 'dora' },
  init_lora_weights: { key: 'initialization', read: initialization },
  target_modules: { key: 'targetModules' },
  exclude_modules: { key: 'excludeModules', read: nameList },
  layers_to_transform: { key: 'layers', read: layers },
  layers_pattern: { key: 'layersPattern', read: names },
  rank_pattern: { key: 'rankPattern', read: numbers },
  alpha_pattern: { key: 'alphaPattern', read: numbers },
  modules_to_save: { key: 'modulesToSave', read: nameList },
  learning_rate: { key: 'learningRate' },
  loraplus_lr_ratio: { key: 'loraplusLrRatio' },
  loraplus_lr_embedding: { key: 'loraplusLrEmbedding' },
  lr_scheduler_type: {
    key: 'schedule',
    read: schedule,
    implies: (value) => (value === 'constant' ? { warmupSteps: 0, warmupRatio: 0 } : {}),
  },
  warmup_steps: { key: 'warmupSteps' },
  warmup_ratio: { key: 'warmupRatio' },
  weight_decay: { key: 'weightDecay' },
  adam_beta1: { key: 'beta1' },
  adam_beta2: { key: 'beta2' },
  adam_epsilon: { key: 'epsilon' },
  max_grad_norm: { key: 'maxGradientNorm' },
  per_device_train_batch_size: { key: 'batchSize' },
  gradient_accumulation_steps: { key: 'gradientAccumulation' },
  num_train_epochs: { key: 'epochs' },
  max_steps: { key: 'maxSteps', read: stepsOrNone },
  max_length: { key: 'maxLength' },
  max_seq_length: { key: 'maxLength' },
  neftune_noise_alpha: { key: 'neftuneNoiseAlpha', read: (value) => value ?? 0 },
  gradient_checkpointing: { key: 'recompute', read: (value) => (typeof value === 'boolean' ? value : undefined) },
  eval_steps: { key: 'evalEvery' },
  save_steps: { key: 'saveEvery' },
  save_total_limit: { key: 'keepCheckpoints' },
};

const float32 = 'Training always computes in float32.';
const adamw = 'The optimizer is always AdamW; its settings are weightDecay, beta1, beta2 and epsilon.';
const fourBits = "A base in few bits is 'baseQuantization'.";
const device = 'The device is chosen outside of the recipe (--device).';
const everyStep = 'Every step is written to metrics.jsonl.';
const fromData = 'The format of the rows decides what is trained on.';
const byName = "Give 'evalEvery' or 'saveEvery' a number of steps, or 0 for the end alone.";

/** Lists settings of these programs that no field of a recipe corresponds to, each with what holds here instead. */
export const noCounterpart: Readonly<Record<string, string>> = {
  ...{ bf16: float32, fp16: float32, tf32: float32, half_precision_backend: float32, torch_dtype: float32, dtype: float32 },
  ...{ optim: adamw, optim_args: adamw, adafactor: adamw },
  ...{ load_in_4bit: fourBits, load_in_8bit: fourBits, quantization_config: fourBits, loftq_config: fourBits },
  ...{ use_cpu: device, no_cuda: device, device_map: device, ddp_find_unused_parameters: device, deepspeed: device },
  ...{ logging_steps: everyStep, logging_strategy: everyStep, report_to: everyStep },
  ...{ eval_strategy: byName, evaluation_strategy: byName, save_strategy: byName },
  ...{ completion_only_loss: fromData, assistant_only_loss: fromData, train_on_inputs: fromData, dataset_text_field: fromData },
  per_device_eval_batch_size: 'Rows are evaluated in batches of batchSize.',
  output_dir: 'The folder of a run is given outside of the recipe (--out).',
  task_type: 'Every run trains a causal language model.',
  peft_type: 'The kind of training is `method`.',
  fan_in_fan_out: 'The layout of the matrices is read from the model.',
  lora_bias: 'The factor B has no bias of its own.',
  group_by_length: 'Rows are taken in random order, or in that of the files (shuffle).',
  data_seed: 'One seed starts every random choice (seed).',
  torch_compile: 'The graph of a step is made and optimized here.',
  use_reentrant: 'Which blocks are computed again is `recompute`.',
  gradient_checkpointing_kwargs: 'Which blocks are computed again is `recompute`.',
  lr_scheduler_kwargs: 'The schedules have no further settings.',
  label_smoothing_factor: 'The loss is plain cross entropy.',
};
