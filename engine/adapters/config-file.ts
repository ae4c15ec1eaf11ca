/** Reads and writes adapter_config.json. A field that is not supported must have PEFT's default. */
import { Problem } from '../problem.ts';
import { isExpression } from '../recipe/module-expression.ts';
import { type AdapterConfig, fullConfig } from './config.ts';

/**
 * Lists the fields that change what an adapter computes and that are not supported. A value that is empty or off does not use
 * them.
 */
const unsupportedFields = [
  'use_qalora',
  'use_bdlora',
  'lora_bias',
  'target_parameters',
  'trainable_token_indices',
  'layer_replication',
  'alora_invocation_tokens',
  'invocation_string',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
  'megatron_config',
  'enable_lora',
] as const;
/**
 * Holds the other fields that PEFT writes and a reader may ignore: where an adapter came from, how it began, how it was
 * trained.
 */
const otherFields = new Set([
  ...['peft_type', 'task_type', 'peft_version', 'auto_mapping', 'base_model_name_or_path', 'revision', 'inference_mode'],
  ...['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern'],
  ...[
    'rank_pattern',
    'alpha_pattern',
    'bias',
    'fan_in_fan_out',
    'modules_to_save',
    'init_lora_weights',
    'use_rslora',
    'use_dora',
    'ensure_weight_tying',
    'merge_weights',
  ],
  ...['loftq_config', 'eva_config', 'corda_config', 'lora_ga_config', 'velora_config', 'qalora_group_size', 'megatron_core'],
  ...['runtime_config', 'loraplus_lr_ratio', 'loraplus_lr_embedding', 'unsloth_version', 'unsloth_fixed'],
]);
/** Matches initializations that also change the base weights, so that the adapter means nothing without the changed base. */
const unsupportedInitialization = /^(pissa|olora|corda|loftq|lora_ga)/i;

function isUsed(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return false;
  return typeof value === 'object' ? Object.values(value).some(isUsed) : true;
}

const mostPatterns = 10_000;

/**
 * Writes a value of a config for use in a sentence. It shortens long lists and stops after `depth` levels of lists and objects.
 */
function readable(value: unknown, depth = 4): string {
  const most = 6;
  const list = (items: readonly string[]) =>
    items.length <= most ? items.join(', ') : `${items.slice(0, most).join(', ')} and ${items.length - most} more`;
  if (value === undefined) return 'missing';
  if (value === null) return 'empty';
  if (typeof value === 'string') return `'${value.length > 80 ? `${value.slice(0, 80)}…` : value}'`;
  if (typeof value === 'object' && depth === 0) return '…';
  if (Array.isArray(value))
    return value.length === 0
      ? 'an empty list'
      : list(value.map((item) => (Array.isArray(item) ? `(${readable(item, depth - 1)})` : readable(item, depth - 1))));
  if (typeof value === 'object') {
    const parts = Object.entries(value).map(([name, item]) => {
      const text = readable(item, depth - 1);
      return `${name} ${/, | and /.test(text) && typeof item === 'object' ? `(${text})` : text}`;
    });
    return parts.length === 0 ? 'an empty object' : `set (${list(parts)})`;
  }
  return String(value);
}

/** Gives the value in place of PEFT's types, so that no program takes a whole checkpoint for an adapter. */
const fullType = 'FULL';

/**
 * Parses the text of an adapter_config.json; `path` is for messages. A field that is not understood is refused with a
 * `Problem`.
 */
export function parseAdapterConfig(text: string, path: string): AdapterConfig {
  const invalid = (what: string) =>
    new Problem(
      'config-invalid',
      `${path}: ${what}.`,
      'The file must be the adapter_config.json of a LoRA adapter, as PEFT writes it.',
    );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    const escape = /(?<!\\)(?:\\\\)*\\(?!["\\/bfnrtu])/.exec(text);
    throw new Problem(
      'config-invalid',
      escape === null
        ? `${path} is not JSON.`
        : `${path} is not JSON: line ${text.slice(0, escape.index).split('\n').length} has a single backslash, as in a path of Windows.`,
      escape === null ? 'The file is damaged; copy the adapter again.' : 'Write every backslash of the path twice.',
      { cause },
    );
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid('it holds no JSON object');
  const fields = parsed as Readonly<Record<string, unknown>>;

  const refuse = (field: string) =>
    new Problem(
      'model-unsupported',
      `${path}: '${field}' is ${readable(fields[field])}, which is not supported.`,
      'Adapters without this setting can be used.',
    );
  if (fields['peft_type'] === fullType)
    return fullConfig(typeof fields['base_model_name_or_path'] === 'string' ? fields['base_model_name_or_path'] : null);
  if (fields['peft_type'] !== undefined && fields['peft_type'] !== 'LORA') throw refuse('peft_type');
  for (const field of unsupportedFields) if (isUsed(fields[field])) throw refuse(field);
  for (const field of Object.keys(fields))
    if (!otherFields.has(field) && isUsed(fields[field]))
      throw new Problem(
        'field-unknown',
        `${path} has the field '${field}', whose meaning is not known here.`,
        'The adapter may compute something this version does not know. If you know that the field changes nothing, delete it from the file.',
        { field },
      );
  const initialization = fields['init_lora_weights'];
  if (typeof initialization === 'string' && unsupportedInitialization.test(initialization)) throw refuse('init_lora_weights');

  const names = (field: string): string[] => {
    const value = fields[field];
    if (value === undefined || value === null || value === '') return [];
    const list = typeof value === 'string' ? [value] : value;
    if (!isListOf(list, (name) => typeof name === 'string' && name !== '')) throw invalid(`'${field}' must be a list of names`);
    return list as string[];
  };
  const expression = (field: string, text: string): string => {
    if (!isExpression(text)) throw invalid(`'${field}' has what is no regular expression: ${text}`);
    return text;
  };
  const targets = (field: string): string | string[] =>
    typeof fields[field] === 'string' && fields[field] !== '' ? expression(field, fields[field]) : names(field);
  const numbers = (field: string): Record<string, number> => {
    const value = fields[field] ?? {};
    const isByName = typeof value === 'object' && !(Array.isArray(value) && value.length > 0);
    if (!isByName || !Object.values(value).every((number) => typeof number === 'number' && number > 0))
      throw invalid(`'${field}' must give numbers by name`);
    // Each expression is matched against every module.
    const entries = Object.keys(value);
    if (entries.length > mostPatterns)
      throw invalid(`'${field}' has ${entries.length} names, and ${mostPatterns} are the most`);
    for (const name of entries) expression(field, name);
    return value as Record<string, number>;
  };
  const flag = (field: string): boolean => {
    const value = fields[field] ?? false;
    if (typeof value !== 'boolean') throw invalid(`'${field}' must be true or false`);
    return value;
  };

  const { r: rank, lora_alpha: alpha, layers_to_transform: layers, base_model_name_or_path: base } = fields;
  if (!Number.isInteger(rank) || (rank as number) < 1 || (rank as number) > 65536)
    throw invalid(rank === undefined ? `'r', the rank, is missing` : `'r' is no rank: ${readable(rank)}`);
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    throw invalid(alpha === undefined ? `'lora_alpha' is missing` : `'lora_alpha' is no number: ${readable(alpha)}`);
  const bias = fields['bias'] ?? 'none';
  if (bias !== 'none' && bias !== 'lora_only' && bias !== 'all') throw refuse('bias');
  const dropout = fields['lora_dropout'] ?? 0;
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout < 1))
    throw invalid(`'lora_dropout' is no share: ${readable(dropout)}`);
  const layerList = layers === undefined || layers === null ? [] : typeof layers === 'number' ? [layers] : layers;
  if (!isListOf(layerList, (layer) => Number.isInteger(layer)))
    throw invalid(`'layers_to_transform' must be a list of layer numbers`);
  const targetModules = targets('target_modules');
  if (targetModules.length === 0) throw invalid(`'target_modules' names nothing`);
  return {
    method: 'lora',
    rank: rank as number,
    alpha,
    rslora: flag('use_rslora'),
    dora: flag('use_dora'),
    targetModules: typeof targetModules === 'string' && /^all-linear$/i.test(targetModules) ? 'all-linear' : targetModules,
    excludeModules: targets('exclude_modules'),
    layers: layerList.length === 0 ? 'all' : (layerList as number[]),
    layersPattern: names('layers_pattern').map((name) => expression('layers_pattern', name)),
    rankPattern: numbers('rank_pattern'),
    alphaPattern: numbers('alpha_pattern'),
    modulesToSave: names('modules_to_save'),
    bias,
    dropout,
    fanInFanOut: flag('fan_in_fan_out'),
    base: typeof base === 'string' ? base : null,
    keepsTied: flag('ensure_weight_tying'),
    copies: [],
  };
}

function isListOf(value: unknown, fits: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(fits);
}

/** Writes the text of adapter_config.json with every field that PEFT needs to load the adapter. */
export function formatAdapterConfig(config: AdapterConfig): string {
  if (config.method === 'full')
    return JSON.stringify({ peft_type: fullType, base_model_name_or_path: config.base }, null, 2) + '\n';
  const some = (names: string | readonly string[]) => (names.length === 0 ? null : names);
  const fields = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: config.base,
    revision: null,
    inference_mode: true,
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    target_modules: config.targetModules,
    exclude_modules: some(config.excludeModules),
    layers_to_transform: config.layers === 'all' ? null : config.layers,
    layers_pattern: some(config.layersPattern),
    rank_pattern: config.rankPattern,
    alpha_pattern: config.alphaPattern,
    bias: config.bias,
    fan_in_fan_out: config.fanInFanOut,
    modules_to_save: some(config.modulesToSave),
    init_lora_weights: true,
    use_rslora: config.rslora,
    use_dora: config.dora,
    // Versions of PEFT that do not know the field refuse the file for it.
    ...(config.keepsTied ? { ensure_weight_tying: true } : {}),
  };
  return JSON.stringify(fields, null, 2) + '\n';
}
