/**
 * What each request may carry. What comes over the socket is whatever a client wrote: it is checked here before a handler sees it, so a
 * wrong shape is said in a sentence, and a key that means nothing is refused instead of written or passed over.
 */
import type {
  AdapterWeight,
  ChatMessage,
  ColumnMapping,
  EngineRequests,
  ExportFormat,
  ExportRequest,
  GenerateRequest,
  ModelRef,
  Params,
  Quantization,
  Ref,
  TrainRequest,
} from '../contract.ts';
import { Problem } from '../problem.ts';
import type { RecipeInput } from '../recipe.ts';

/** Says what is wrong with a value that is called `at`, or null. */
interface Check<T> {
  (value: unknown, at: string): string | null;
  /** What passes; there for the compiler alone. */
  readonly accepts?: T;
}
type Accepted<C> = C extends Check<infer T> ? T : never;
type Fields = Readonly<Record<string, Check<unknown>>>;

function kind<T>(name: string, holds: (value: unknown) => boolean): Check<T> {
  return (value, at) => (holds(value) ? null : `${at} must be ${name}`);
}

const text = kind<string>('a text', (value) => typeof value === 'string');
const flag = kind<boolean>('true or false', (value) => typeof value === 'boolean');
const number = kind<number>('a number', (value) => typeof value === 'number' && Number.isFinite(value));
const nothing = kind<unknown>('left out', (value) => value === undefined || value === null || isEmpty(value));

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function integer(least: number): Check<number> {
  return kind(`a whole number from ${least}`, (value) => Number.isSafeInteger(value) && (value as number) >= least);
}

function between(least: number, most: number): Check<number> {
  const fits = (value: unknown): boolean => typeof value === 'number' && value >= least && value <= most;
  return kind(most === Infinity ? `a number from ${least}` : `a number from ${least} to ${most}`, fits);
}

function oneOf<const T extends string | null>(...values: readonly T[]): Check<T> {
  return kind(`one of ${values.join(', ')}`, (value) => (values as readonly unknown[]).includes(value));
}

function listOf<T>(item: Check<T>): Check<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return `${at} must be a list`;
    for (const [i, each] of value.entries()) {
      const wrong = item(each, `item ${i} of ${at}`);
      if (wrong !== null) return wrong;
    }
    return null;
  };
}

/** An object with exactly these keys; those of `optional` may be missing. */
function object<R extends Fields, O extends Fields = Record<never, never>>(
  required: R,
  optional?: O,
): Check<{ [K in keyof R]: Accepted<R[K]> } & { [K in keyof O]?: Accepted<O[K]> }> {
  const fields: Fields = { ...required, ...optional };
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${at} must be an object`;
    const given = value as Readonly<Record<string, unknown>>;
    const unknown = Object.keys(given).find((key) => !Object.hasOwn(fields, key));
    if (unknown !== undefined) return `${at} takes no '${unknown}'`;
    for (const [key, check] of Object.entries(fields)) {
      if (given[key] === undefined && !Object.hasOwn(required, key)) continue;
      const wrong = check(given[key], `'${key}' of ${at}`);
      if (wrong !== null) return wrong;
    }
    return null;
  };
}

/** The first whose own key is there decides what is said. */
function either<T extends readonly (readonly [key: string, check: Check<unknown>])[]>(
  ...kinds: T
): Check<Accepted<T[number][1]>> {
  return (value, at) => {
    const own = kinds.find(([key]) => typeof value === 'object' && value !== null && Object.hasOwn(value, key));
    if (own !== undefined) return own[1](value, at);
    return `${at} must have one of ${kinds.map(([key]) => `'${key}'`).join(', ')}`;
  };
}

const or = <T, E>(check: Check<T>, other: E): Check<T | E> => {
  return (value, at) => (value === other ? null : check(value, at));
};

const byId = object({ id: text });
const ref: Check<Ref> = either(['id', byId], ['path', object({ path: text })]);
const acceptFields = listOf(text);
const model: Check<ModelRef> = either(['id', byId], ['path', object({ path: text }, { acceptFields })]);
const texts = listOf(text);
/** Its fields are checked where a recipe is read. */
const recipe = kind<RecipeInput>('an object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value));
const weighted: Check<AdapterWeight> = object({ path: text, weight: number });
const ofProject = object({ projectId: text });
const split = oneOf('train', 'eval');

/** What else a template reads of a message passes. */
const message = kind<ChatMessage>(
  'a message with role and content',
  (value) =>
    typeof value === 'object' && value !== null && 'content' in value && typeof (value as { role?: unknown }).role === 'string',
);
const generateRequest: Check<GenerateRequest> = object({
  model,
  adapters: listOf(weighted),
  prompt: either(
    ['messages', object({ messages: listOf(message) })],
    ['text', object({ text })],
    ['tokens', object({ tokens: listOf(integer(0)) })],
  ),
  settings: object({
    maxTokens: integer(1),
    temperature: between(0, Infinity),
    topP: between(0, 1),
    topK: integer(0),
    seed: integer(0),
    ignoreStop: flag,
  }),
  streamId: text,
});

const trainRequest: Check<TrainRequest> = object(
  {
    model,
    data: either(['id', byId], ['paths', object({ paths: texts, evalPaths: texts })]),
    recipe,
  },
  {
    ...{ projectId: text, name: text, adapter: ref, out: text, skipBadRows: flag, resume: flag, attached: flag },
    device: oneOf('auto', 'cpu', 'cuda', 'dml', 'webgpu'),
  },
);

const weight = number;
const exportRequest: Check<ExportRequest> = object(
  {
    model,
    adapters: listOf(either(['id', object({ id: text }, { weight })], ['path', object({ path: text }, { weight })])),
    // The table of exports says which there are.
    format: text as Check<ExportFormat>,
    quantization: or(text as Check<Quantization>, null),
    ...{ out: text, proof: flag },
  },
  { projectId: text, data: texts, importance: texts, replace: flag },
);

const mapping: Check<ColumnMapping> = object({ question: or(text, null), answer: text, system: or(text, null) });

const shapes: { readonly [N in keyof EngineRequests]: Check<Params<EngineRequests, N>> } = {
  'machine.get': nothing,
  'machine.measure': object({ again: flag }),
  'machine.memory': nothing,
  'projects.list': nothing,
  'projects.create': object({ name: text }),
  'projects.rename': object({ id: text, name: text }),
  'models.list': ofProject,
  'models.add': object({ projectId: text, path: text }, { acceptFields }),
  'models.remove': byId,
  'models.targets': object({ modelId: text, recipe }),
  'datasets.list': ofProject,
  'datasets.add': object({ projectId: text, trainPaths: texts, evalPaths: texts }, { name: text, mapping }),
  'datasets.columns': object({ path: text }),
  'datasets.remove': byId,
  'datasets.rows': object({
    ...{ datasetId: text, modelId: text, split },
    ...{ offset: integer(0), limit: integer(0), maxLength: integer(1) },
  }),
  'datasets.report': object({ datasetId: text, modelId: text, split, maxLength: integer(1) }),
  'runs.list': object({}, { projectId: text }),
  'runs.get': byId,
  'runs.plan': object({ modelId: text, datasetId: text, recipe }),
  'runs.fit': object({ model, data: texts, recipe, budget: between(0, Infinity) }),
  'runs.start': trainRequest,
  'runs.pause': byId,
  'runs.stop': object({ id: text }, { force: flag }),
  'runs.resume': byId,
  'runs.update': object({ id: text }, { name: text, notes: text, tags: texts }),
  'runs.remove': byId,
  'runs.metrics': object({ id: text, afterStep: integer(-1) }),
  'runs.schedule': byId,
  'runs.samples': byId,
  'runs.log': byId,
  'runs.checkpoints': byId,
  'adapters.list': ofProject,
  'adapters.import': object({ projectId: text, path: text, modelId: text }),
  'adapters.update': object({ id: text }, { name: text, tag: or(oneOf('candidate', 'best', 'shipped'), null) }),
  'adapters.norms': byId,
  'generate.start': generateRequest,
  'generate.stop': object({ streamId: text }),
  'exports.choices': object({ adapterId: text }),
  'exports.list': ofProject,
  'exports.start': exportRequest,
  'exports.stop': byId,
  'exports.programs': nothing,
  'exports.install': object({ id: text, program: oneOf('ollama', 'lm-studio', 'jan') }),
  'exports.identify': object({ path: text }),
  'evaluate.start': object({ model, data: texts, adapter: or(text, null) }),
  'data.render': object({ model, data: texts }),
  'data.report': object({ model, data: texts, maxLength: integer(1) }),
  'inspect.path': object({ path: text }, { acceptFields }),
  'sample.start': nothing,
  'sample.get': nothing,
  'sample.stop': nothing,
};

/** Refuses what is no such request. */
export function checkRequest(name: keyof EngineRequests, params: unknown): void {
  const wrong = shapes[name](params, name);
  if (wrong !== null)
    throw new Problem(
      'request-invalid',
      `${wrong}.`,
      'Send it as the contract of the engine says; window, command line and engine must be of one version.',
    );
}
