/**
 * Decides, by the rules of PEFT, which modules of a model a config adapts, which it trains whole, and which biases it trains.
 */
import { createContext, Script } from 'node:vm';
import { hubLayout } from '../models/families/index.ts';
import { linearLayers, modelTensors, type DecoderSpec, type ModelTensor } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import { nearestWord } from '../nearest-word.ts';
import { moduleExpression } from '../recipe/module-expression.ts';
import { scaleOf } from '../recipe/scale.ts';
import type { AdapterConfig } from './config.ts';

/** Describes a module that can be adapted. Its matrix is [out, in]; that of an embedding is [in, out], a row per token. */
export interface TargetModule {
  /** Gives the path of the module, such as `model.layers.3.self_attn.q_proj`. */
  readonly path: string;
  readonly kind: 'linear' | 'embedding';
  readonly inFeatures: number;
  readonly outFeatures: number;
}

export interface AdaptedTarget extends TargetModule {
  readonly rank: number;
  /** Gives the factor of B A: alpha / r, or alpha / sqrt(r) with rank-stabilized LoRA. */
  readonly scale: number;
}

/** Describes a tensor of the model that is trained itself. */
export interface TrainedWeight {
  /** Gives the name of the tensor, such as `lm_head.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
}

/** Lists every module that can be adapted, in the order of the computation. */
export function targetModules(spec: DecoderSpec): TargetModule[] {
  const { vocabularySize, hiddenSize, modules } = spec;
  return [
    { path: modules.token_embd, kind: 'embedding', inFeatures: vocabularySize, outFeatures: hiddenSize },
    ...linearLayers(spec).map((layer) => ({ ...layer, kind: 'linear' as const })),
    { path: modules.output, kind: 'linear', inFeatures: hiddenSize, outFeatures: vocabularySize },
  ];
}

const endsWith = (path: string, name: string): boolean => path === name || path.endsWith(`.${name}`);

/**
 * Says whether targets match a path. A list names whole paths or their last parts; a string is a regular expression for whole
 * paths.
 */
function matches(path: string, targets: string | readonly string[]): boolean {
  return typeof targets === 'string' ? isWhole(path, targets) : targets.some((target) => endsWith(path, target));
}

function isWhole(path: string, expression: string): boolean {
  return matchOf(new RegExp(`${moduleExpression(expression).source}$`), path) !== null;
}

/**
 * Gives the longest time an expression may take for one path. Only expressions that repeat groups can take forever, so only
 * they are watched.
 */
const matchMilliseconds = 500;
const match = new Script('expression.exec(path)');
const scope = createContext({});

function matchOf(expression: RegExp, path: string): RegExpExecArray | null {
  if (!/\)[*+{]/.test(expression.source)) return expression.exec(path);
  try {
    Object.assign(scope, { expression, path });
    return match.runInContext(scope, { timeout: matchMilliseconds }) as RegExpExecArray | null;
  } catch (cause) {
    throw new Problem(
      'config-invalid',
      `The expression ${expression.source} takes too long to say whether it means '${path}'.`,
      'Write it without repeated groups, or name the modules in a list.',
      { cause },
    );
  }
}

/** Returns the number that follows the first name of `layersPattern` in a path, or any name when that is empty. */
function layerOf(path: string, layersPattern: readonly string[]): number | null {
  const patterns =
    layersPattern.length === 0
      ? [/^.*?\.[^.]*\.(\d+)\./]
      : layersPattern.map((name) => new RegExp(`^(?:|.*?\\.)(?:${name})\\.(\\d+)\\.`));
  for (const pattern of patterns) {
    const found = matchOf(pattern, path);
    if (found) return Number(found[1]);
  }
  return null;
}

/** Finds the first key that, as a regular expression after a dot, matches the end of a path. */
export function decidingKey(pattern: Readonly<Record<string, number>>, path: string): string | undefined {
  return Object.keys(pattern).find((name) => isWhole(path, `(?:.*\\.)?(?:${name})`));
}

function ofPattern(pattern: Readonly<Record<string, number>>, path: string): number | undefined {
  const key = decidingKey(pattern, path);
  return key === undefined ? undefined : pattern[key];
}

function isAdapted({ path }: TargetModule, config: AdapterConfig, linears: ReadonlySet<string>): boolean {
  const { excludeModules, layers, layersPattern } = config;
  if (excludeModules.length > 0 && matches(path, excludeModules)) return false;
  // A module that is trained whole gets no adapter, and neither do the modules in it.
  if (config.modulesToSave.some((name) => `.${path}.`.includes(`.${name}.`))) return false;
  const chosen = config.targetModules;
  const isTarget = chosen === 'all-linear' ? linears.has(path) : matches(path, chosen);
  if (!isTarget || layers === 'all' || (Array.isArray(chosen) && chosen.includes(path))) return isTarget;
  const layer = layerOf(path, layersPattern);
  return layer !== null && layers.includes(layer);
}

/** Lists the modules that a config adapts, in the order of the model. */
export function adaptedTargets(config: AdapterConfig, spec: DecoderSpec): AdaptedTarget[] {
  const linears = new Set(linearLayers(spec).map(({ path }) => path));
  return targetModules(spec)
    .filter((module) => isAdapted(module, config, linears))
    .map((module) => ({ ...module, ...rankAndScale(config, module.path) }));
}

/** Returns the rank of a module by a config, and its scale. */
export function rankAndScale(config: AdapterConfig, path: string): Pick<AdaptedTarget, 'rank' | 'scale'> {
  const rank = ofPattern(config.rankPattern, path) ?? config.rank;
  const alpha = ofPattern(config.alphaPattern, path) ?? config.alpha;
  return { rank, scale: scaleOf({ rank, alpha, rslora: config.rslora }) };
}

/** Returns the last parts of these paths where they mean these modules and no others, otherwise the whole paths. */
export function targetsFor(paths: readonly string[], spec: DecoderSpec): readonly string[] {
  const names = [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
  const meant = targetModules(spec).filter(({ path }) => matches(path, names));
  return meant.length === paths.length ? names : paths;
}

/** Returns a pattern with the value of every module for which it is not the usual one. */
export function patternOf<Module extends { readonly path: string }>(
  modules: readonly Module[],
  valueOf: (module: Module) => number,
  usual: number,
): Record<string, number> {
  const others = modules.filter((module) => valueOf(module) !== usual);
  return Object.fromEntries(others.map((module) => [module.path.replaceAll('.', '\\.'), valueOf(module)]));
}

/**
 * Lists the tensors of the modules that `modules_to_save` names: their path, or that of a module around them, ends with a name.
 */
export function savedWeights({ modulesToSave }: AdapterConfig, spec: DecoderSpec): TrainedWeight[] {
  const isSaved = (name: string): boolean => {
    const parts = name.split('.').slice(0, -1);
    return parts.some((_, i) =>
      modulesToSave.some((end) =>
        parts
          .slice(0, i + 1)
          .join('.')
          .endsWith(end),
      ),
    );
  };
  const saved = wholeTensors(spec).filter(({ name }) => isSaved(name));
  requireHubForm(saved, spec);
  return saved.map(({ name, shape }) => ({ name, shape }));
}

/** Lists the tensors of the base of which an adapter's file holds a different version. */
export function copiedWeights(config: AdapterConfig, spec: DecoderSpec): TrainedWeight[] {
  if (config.copies.length === 0) return [];
  const saved = new Set(savedWeights(config, spec).map(({ name }) => name));
  const copied = wholeTensors(spec).filter(({ name }) => config.copies.includes(name) && !saved.has(name));
  requireHubForm(copied, spec);
  return copied.map(({ name, shape }) => ({ name, shape }));
}

/** Lists the tensors that can be trained whole. A tied head is one of them; trained, it separates from the embedding. */
export function wholeTensors(spec: DecoderSpec): ModelTensor[] {
  const { vocabularySize, hiddenSize, modules, tiedEmbeddings } = spec;
  const head: ModelTensor = {
    ...{ name: `${modules.output}.weight`, shape: [vocabularySize, hiddenSize] },
    ...{ role: 'output', kind: 'weight', layer: null },
  };
  return [...modelTensors(spec), ...(tiedEmbeddings ? [head] : [])];
}

function requireHubForm(tensors: readonly ModelTensor[], spec: DecoderSpec): void {
  const turned = tensors.find((tensor) => hubLayout(tensor, spec) !== null);
  if (turned !== undefined)
    throw new Problem(
      'model-unsupported',
      `'${turned.name}' cannot be trained whole beside an adapter: files of a ${spec.family} model keep it in another form.`,
      'Adapt it instead, or train every weight.',
    );
}

/** Lists the biases that are trained: those of adapted modules, or all that no saved module holds already. */
export function trainedBiases(config: AdapterConfig, spec: DecoderSpec): TrainedWeight[] {
  if (config.bias === 'none') return [];
  const adapted = new Set(adaptedTargets(config, spec).map(({ path }) => `${path}.bias`));
  const saved = new Set([...savedWeights(config, spec), ...copiedWeights(config, spec)].map(({ name }) => name));
  return modelTensors(spec)
    .filter(({ name, kind }) => kind === 'bias' && !saved.has(name) && (config.bias === 'all' || adapted.has(name)))
    .map(({ name, shape }) => ({ name, shape }));
}

/**
 * Refuses targets of a recipe that this model does not have. A config that came with an adapter may name modules that it lacks.
 */
export function checkTargets(config: AdapterConfig, spec: DecoderSpec): void {
  if (config.method === 'full') return;
  const all = targetModules(spec);
  const names = [...new Set(all.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))];
  const choose = `Choose among ${names.join(', ')}, or 'all-linear'.`;
  const { targetModules: targets, layers } = config;
  const unknown = Array.isArray(targets)
    ? targets.filter((target: string) => !all.some(({ path }) => endsWith(path, target)))
    : [];
  if (unknown.length > 0)
    throw new Problem(
      'recipe-invalid',
      unknown.map((name) => `'${name}' is no linear layer or embedding of this model${nearText(name, all)}.`).join(' '),
      choose,
    );
  const beyond =
    layers === 'all' ? undefined : layers.find((layer) => !Number.isInteger(layer) || layer < 0 || layer >= spec.blocks.length);
  if (beyond !== undefined)
    throw new Problem(
      'recipe-invalid',
      `Layer ${beyond} is not there: this model has ${spec.blocks.length} layers, counted from 0.`,
      `Choose layers from 0 to ${spec.blocks.length - 1}.`,
    );
  const adapted = adaptedTargets(config, spec);
  if (adapted.length === 0) throw new Problem('recipe-invalid', nothingAdapted(config, all), choose);
  for (const [field, pattern] of [
    ['rankPattern', config.rankPattern],
    ['alphaPattern', config.alphaPattern],
  ] as const)
    for (const name of Object.keys(pattern))
      if (!adapted.some(({ path }) => ofPattern({ [name]: 1 }, path) !== undefined))
        throw new Problem(
          'recipe-invalid',
          `'${name}' in '${field}' means no module that gets an adapter${nearText(name, adapted)}.`,
          choose,
        );
  for (const name of config.modulesToSave)
    if (savedWeights({ ...config, modulesToSave: [name] }, spec).length === 0) {
      const modules = modelTensors(spec).map((tensor) => ({ path: tensor.name.slice(0, tensor.name.lastIndexOf('.')) }));
      throw new Problem(
        'recipe-invalid',
        `'${name}' in 'modulesToSave' is no module of this model${nearText(name, modules)}.`,
        choose,
      );
    }
}

/** Returns `; the nearest is 'q_proj'` for each name in a pattern that looks like a misspelt module; empty where none does. */
function nearText(pattern: string, modules: readonly { readonly path: string }[]): string {
  const names = [...new Set(modules.flatMap(({ path }) => path.split('.')))].filter((name) => !/^\d+$/.test(name));
  const words = pattern.match(/\w+/g) ?? [];
  const near = words.flatMap((word) => (names.includes(word) ? [] : (nearestWord(word, names) ?? [])));
  return near.length === 0 ? '' : `; the nearest is '${[...new Set(near)].join("', '")}'`;
}

/** Explains which settings together leave no module to adapt. */
function nothingAdapted(config: AdapterConfig, all: readonly TargetModule[]): string {
  const { targetModules: targets, excludeModules, layers, layersPattern, modulesToSave } = config;
  if (typeof targets === 'string' && targets !== 'all-linear' && !all.some(({ path }) => matches(path, targets)))
    return `The expression '${targets}' in 'targetModules' matches the whole path of no linear layer or embedding of this model${nearText(targets, all)}.`;
  const written = (value: string | readonly string[]): string => (typeof value === 'string' ? value : value.join(', '));
  const settings = [
    `'targetModules' ${written(targets)}`,
    ...(excludeModules.length > 0 ? [`'excludeModules' ${written(excludeModules)}`] : []),
    ...(layers === 'all' ? [] : [`'layers' ${layers.join(', ')}`]),
    ...(layersPattern.length > 0 ? [`'layersPattern' ${written(layersPattern)}`] : []),
    ...(modulesToSave.length > 0 ? [`'modulesToSave' ${written(modulesToSave)}`] : []),
  ];
  return `No module of this model is left to adapt by ${settings.join(' with ')}.`;
}
