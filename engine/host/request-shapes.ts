/**
 * Checks what each request carries. Whatever comes over the socket or from the page is checked here, by the engine and by the
 * shell, before a handler sees it. A wrong shape is reported in a sentence, and an unknown key is refused instead of stored or
 * ignored.
 */
import type {
  AdapterWeight,
  AllRequests,
  AskedChange,
  ChatMessage,
  AskedMix,
  AskedPart,
  ChatPrompt,
  ColumnMapping,
  Contestant,
  DataChange,
  DataFiles,
  DataRef,
  EndpointRef,
  EvaluationRequest,
  EvaluatorChoice,
  MixedData,
  ExportFormat,
  ExportRequest,
  GenerateRequest,
  GenerateSettings,
  JsonSchema,
  MappedText,
  MenuCommand,
  MixMethod,
  MixSettings,
  ModelRef,
  PairCell,
  Params,
  PastedText,
  Quantization,
  Ref,
  RequestName,
  RowsRef,
  ShotsChoice,
  SourceRow,
  TrainRequest,
} from '../contract.ts';
import { mostRepeat } from '../mixing.ts';
import { Problem } from '../problem.ts';
import type { RecipeInput, RowSettings } from '../recipe.ts';

/** Checks a value that is called `at`; returns what is wrong with it, or null. */
interface Check<T> {
  (value: unknown, at: string): string | null;
  /** Holds the type that passes; it exists for the compiler alone. */
  readonly accepts?: T;
}
type Accepted<C> = C extends Check<infer T> ? T : never;
/** Checks a key that may be missing. */
interface Optional<T> {
  readonly optional: Check<T>;
}
/** Holds a check for every key of a type, so that a key added to the contract does not compile until it is checked. */
type Fields<T> = {
  readonly [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? Optional<Exclude<T[K], undefined>> : Check<T[K]>;
};
type ParamsOf<N extends RequestName> = Params<AllRequests, N>;

function kind<T>(name: string, holds: (value: unknown) => boolean): Check<T> {
  return (value, at) => (holds(value) ? null : `${at} must be ${name}`);
}

const text = kind<string>('a text', (value) => typeof value === 'string');
const flag = kind<boolean>('true or false', (value) => typeof value === 'boolean');
const notEmpty = kind<string>('a text that is not empty', (value) => typeof value === 'string' && value !== '');
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

const optional = <T>(check: Check<T>): Optional<T> => ({ optional: check });

/** Checks an object that has these keys and no others. */
function object<T>(fields: Fields<T>): Check<T> {
  const checks = new Map(Object.entries<Check<unknown> | Optional<unknown>>(fields));
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${at} must be an object`;
    const given = value as Readonly<Record<string, unknown>>;
    const unknown = Object.keys(given).find((key) => !checks.has(key));
    if (unknown !== undefined) return `${at} takes no '${unknown}'`;
    for (const [key, check] of checks) {
      if ('optional' in check && given[key] === undefined) continue;
      const wrong = ('optional' in check ? check.optional : check)(given[key], `'${key}' of ${at}`);
      if (wrong !== null) return wrong;
    }
    return null;
  };
}

/** Checks a value by the first of these checks whose key it has. */
function either<T extends readonly (readonly [key: string, check: Check<unknown>])[]>(
  ...kinds: T
): Check<Accepted<T[number][1]>> {
  return (value, at) => {
    const own = kinds.find(([key]) => typeof value === 'object' && value !== null && Object.hasOwn(value, key));
    if (own !== undefined) return own[1](value, at);
    return `${at} must have one of ${kinds.map(([key]) => `'${key}'`).join(', ')}`;
  };
}

/** Checks an object whose `kind` decides which other keys it has. */
function ofKind<T extends { readonly kind: string }>(kinds: {
  readonly [K in T['kind']]: Check<Extract<T, { readonly kind: K }>>;
}): Check<T> {
  return (value, at) => {
    const named = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
    const own = typeof named === 'string' && Object.hasOwn(kinds, named) ? kinds[named as T['kind']] : undefined;
    return own === undefined ? `'kind' of ${at} must be one of ${Object.keys(kinds).join(', ')}` : own(value, at);
  };
}

const or = <T, E>(check: Check<T>, other: E): Check<T | E> => {
  return (value, at) => (value === other ? null : check(value, at));
};

const ofId = object<{ readonly id: string }>({ id: text });
const ref: Check<Ref> = either(['id', ofId], ['path', object<{ readonly path: string }>({ path: text })]);
const texts = listOf(text);
const withOptions = object<Exclude<EvaluatorChoice, string>>({
  name: text,
  options: kind('an object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value)),
});
const evaluatorChoice: Check<EvaluatorChoice> = (value, at) => (typeof value === 'string' ? null : withOptions(value, at));
const acceptFields = optional(texts);
const model: Check<ModelRef> = either(
  ['id', ofId],
  ['path', object<Extract<ModelRef, { path: string }>>({ path: text, acceptFields })],
);
/** Checks a recipe only for being an object; its fields are checked where it is read. */
const recipe = kind<RecipeInput>('an object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value));
const templated = object<{ readonly template: string }>({ template: text });
const constant = object<{ readonly constant: string }>({ constant: text });
const mapped: Check<MappedText> = (value, at) =>
  typeof value === 'string' ? null : either(['template', templated], ['constant', constant])(value, at);
const mapping = object<ColumnMapping>({ question: or(mapped, null), answer: mapped, system: or(mapped, null) });
const sourceRow = object<SourceRow>({ row: integer(0), hash: text });
type ChangeOf<T extends { readonly kind: string }, K extends T['kind']> = Extract<T, { readonly kind: K }>;
/** Checks a share, which is above 0 and below 1, because each side must have rows. */
const fraction = kind<number>('a number above 0 and below 1', (value) => typeof value === 'number' && value > 0 && value < 1);
const splitChange = object<ChangeOf<DataChange, 'split'>>({
  ...{ kind: oneOf('split'), fraction, seed: integer(0), by: optional(text) },
});
const deduplicate = object<ChangeOf<DataChange, 'deduplicate'>>({ kind: oneOf('deduplicate') });
const record = kind<Readonly<Record<string, unknown>>>(
  'an object',
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
);
const replaceChange = object<ChangeOf<DataChange, 'replace'>>({
  ...{ kind: oneOf('replace'), with: text, column: optional(text) },
  find: notEmpty,
});
const balanceChange = object<ChangeOf<DataChange, 'balance'>>({
  ...{ kind: oneOf('balance'), column: notEmpty, most: integer(1), seed: optional(integer(0)) },
});
const change = ofKind<DataChange>({
  split: splitChange,
  deduplicate,
  balance: balanceChange,
  replace: replaceChange,
  edit: object<ChangeOf<DataChange, 'edit'>>({ kind: oneOf('edit'), path: text, row: sourceRow, value: record }),
  exclude: object<ChangeOf<DataChange, 'exclude'>>({
    kind: oneOf('exclude'),
    files: listOf(object({ path: text, rows: listOf(sourceRow) })),
  }),
});
const askedChange = ofKind<AskedChange>({
  split: splitChange,
  deduplicate,
  balance: balanceChange,
  replace: replaceChange,
  edit: object<ChangeOf<AskedChange, 'edit'>>({
    ...{ kind: oneOf('edit'), split: oneOf('train', 'eval'), row: integer(0), value: record },
  }),
  exclude: object<ChangeOf<AskedChange, 'exclude'>>({
    ...{ kind: oneOf('exclude'), split: oneOf('train', 'eval'), rows: listOf(integer(0)) },
  }),
});
const dataFiles = object<DataFiles>({
  ...{ paths: texts, evalPaths: optional(texts), mapping: optional(mapping), changes: optional(listOf(change)) },
});
const version = object<{ readonly versionId: string }>({ versionId: text });
const mix = object<AskedMix>({
  parts: listOf(
    object<AskedPart>({
      ...{ name: optional(text), repeat: between(0, mostRepeat), most: optional(integer(1)) },
      data: either(['versionId', version], ['paths', dataFiles]),
    }),
  ),
  seed: integer(0),
});
const data: Check<DataRef> = either(
  ['versionId', version],
  ['paths', dataFiles],
  ['mix', object<MixedData>({ mix, changes: optional(listOf(change)) })],
);
const rowSettings = optional(
  object<Partial<RowSettings>>({
    addEosToken: optional(flag),
    thinking: optional(oneOf('row', 'on', 'off')),
    unroll: optional(oneOf('all', 'last', 'off')),
    foldSystem: optional(flag),
    media: optional(oneOf('refuse', 'drop')),
    promptFormat: optional(oneOf('chat', 'text')),
    longDocuments: optional(oneOf('split', 'cut')),
    documentOverlap: optional(integer(0)),
  }),
);
const ofProject = object<{ projectId: string }>({ projectId: text });
const rows = { data, split: optional(oneOf('train', 'eval')) };
const viewing = { rowSettings, day: optional(text) };

/** Checks a chat message. Further fields pass, because a template may read them. */
const message = kind<ChatMessage>(
  'a message with role and content',
  (value) =>
    typeof value === 'object' && value !== null && 'content' in value && typeof (value as { role?: unknown }).role === 'string',
);
const jsonSchema = kind<JsonSchema>(
  'a JSON Schema',
  (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null && !Array.isArray(value)),
);
/** Checks the definition of a tool. Its fields are the template's affair. */
const tool = kind<Readonly<Record<string, unknown>>>('an object', (value) => typeof value === 'object' && value !== null);
type Prompt = GenerateRequest['prompt'];
const adapterWeights = listOf(object<AdapterWeight>({ path: text, weight: number }));
const generateRequest = object<GenerateRequest>({
  model,
  adapters: adapterWeights,
  prompt: either(
    ['messages', object<ChatPrompt>({ messages: listOf(message), tools: optional(listOf(tool)) })],
    ['text', object<Extract<Prompt, { text: unknown }>>({ text })],
    ['tokens', object<Extract<Prompt, { tokens: unknown }>>({ tokens: listOf(integer(0)) })],
  ),
  settings: object<GenerateSettings>({
    maxTokens: integer(1),
    temperature: between(0, Infinity),
    topP: between(0, 1),
    topK: integer(0),
    seed: integer(0),
    ignoreStop: flag,
    stop: optional(texts),
  }),
  schema: optional(jsonSchema),
  streamId: text,
});

const anything = kind<unknown>('JSON', (value) => value !== undefined);
const rowsRef = object<RowsRef>(rows);
const contestant = object<Contestant>({
  name: optional(notEmpty),
  adapter: optional(ref),
  endpoint: optional(object<EndpointRef>({ url: text, model: text, keyVariable: optional(text) })),
  shots: optional(object<ShotsChoice>({ count: or(integer(1), 'auto' as const), rule: optional(oneOf('seed', 'nearest')) })),
  schema: optional(flag),
  constrained: optional(flag),
});
const evaluationRequest = object<EvaluationRequest>({
  ...{ model, ...rows, rowSettings, projectId: optional(text), name: optional(text) },
  ...{ train: optional(rowsRef), validation: optional(rowsRef) },
  contestants: listOf(contestant),
  evaluators: listOf(evaluatorChoice),
  ...{ schema: optional(anything), schemaFile: optional(text) },
  ...{ seed: optional(integer(0)), maxTokens: optional(integer(1)), mostRows: optional(integer(1)) },
  ...{ learningRows: optional(integer(1)), general: optional(flag), attached: optional(flag) },
});
const pairCell = object<PairCell>({
  ...{ a: text, b: text, cell: oneOf('both', 'only-a', 'only-b', 'neither') },
  measure: text as Check<PairCell['measure']>,
});

const trainRequest = object<TrainRequest>({
  projectId: optional(text),
  name: optional(text),
  model,
  data,
  adapter: optional(ref),
  recipe,
  out: optional(text),
  device: optional(oneOf('auto', 'cpu', 'cuda', 'dml', 'webgpu')),
  skipBadRows: optional(flag),
  resume: optional(flag),
  attached: optional(flag),
});

type ExportedAdapter = ExportRequest['adapters'][number];
const weight = optional(number);
const weightedAdapters = listOf(
  either(
    ['id', object<Extract<ExportedAdapter, { id: string }>>({ id: text, weight })],
    ['path', object<Extract<ExportedAdapter, { path: string }>>({ path: text, weight })],
  ),
);
const exportRequest = object<ExportRequest>({
  projectId: optional(text),
  model,
  adapters: weightedAdapters,
  // The table of exports lists the valid names.
  format: text as Check<ExportFormat>,
  quantization: or(text as Check<Quantization>, null),
  out: text,
  proof: flag,
  replace: optional(flag),
  data: optional(data),
  importance: optional(data),
  rowSettings,
});

const mixPlace = { projectId: optional(text), name: optional(text), out: optional(text) };

/** Checks the keys of a menu command, because other texts make the menu of the system throw. */
const shortcut = kind<string>('keys such as Mod+Shift+N', (value) => {
  return (
    typeof value === 'string' &&
    /^(Mod\+|Shift\+|Alt\+)*([A-Z0-9.,;/=-]|Arrow(Up|Down|Left|Right)|Enter|Escape|Space|F\d{1,2})$/.test(value)
  );
});

const shapes: { readonly [N in RequestName]: Check<ParamsOf<N>> } = {
  'machine.get': nothing,
  'machine.measure': object<ParamsOf<'machine.measure'>>({ again: flag }),
  'machine.memory': nothing,
  'projects.list': nothing,
  'projects.create': object<ParamsOf<'projects.create'>>({ name: text }),
  'projects.rename': object<ParamsOf<'projects.rename'>>({ id: text, name: text }),
  'models.list': ofProject,
  'models.add': object<ParamsOf<'models.add'>>({ projectId: text, path: text, acceptFields }),
  'models.remove': ofId,
  'models.targets': object<ParamsOf<'models.targets'>>({ modelId: text, recipe }),
  'datasets.list': ofProject,
  'datasets.add': object<ParamsOf<'datasets.add'>>({ projectId: text, name: optional(text), data: dataFiles }),
  'datasets.addVersion': ofId,
  'datasets.change': object<ParamsOf<'datasets.change'>>({ id: text, change: askedChange }),
  'datasets.mix': object<ParamsOf<'datasets.mix'>>({ projectId: text, name: optional(text), mix }),
  'datasets.remix': object<ParamsOf<'datasets.remix'>>({ id: text, mix }),
  'datasets.undo': ofId,
  'datasets.versions': ofId,
  'datasets.use': object<ParamsOf<'datasets.use'>>({ id: text, versionId: text }),
  'datasets.rename': object<ParamsOf<'datasets.rename'>>({ id: text, name: text }),
  'datasets.map': object<ParamsOf<'datasets.map'>>({ id: text, mapping: or(mapping, null) }),
  'datasets.relocate': object<ParamsOf<'datasets.relocate'>>({
    ...{ id: text, from: text, to: text, evenIfChanged: optional(flag) },
  }),
  'datasets.keep': either(
    ['text', object<PastedText>({ projectId: text, text, format: oneOf('json', 'csv', 'text') })],
    ['paths', object<Extract<ParamsOf<'datasets.keep'>, { paths: unknown }>>({ projectId: text, paths: texts })],
  ),
  'datasets.columns': object<ParamsOf<'datasets.columns'>>({ path: text }),
  'datasets.remove': ofId,
  'runs.list': object<ParamsOf<'runs.list'>>({ projectId: optional(text) }),
  'runs.get': ofId,
  'runs.plan': object<ParamsOf<'runs.plan'>>({ model, data, recipe }),
  'runs.fit': object<ParamsOf<'runs.fit'>>({ model, data, recipe, budget: between(0, Infinity) }),
  'runs.start': trainRequest,
  'runs.pause': ofId,
  'runs.stop': object<ParamsOf<'runs.stop'>>({ id: text, force: optional(flag) }),
  'runs.resume': ofId,
  'runs.queue': nothing,
  'runs.move': object<ParamsOf<'runs.move'>>({ id: text, place: integer(1) }),
  'runs.update': object<ParamsOf<'runs.update'>>({
    id: text,
    name: optional(text),
    notes: optional(text),
    tags: optional(texts),
  }),
  'runs.remove': ofId,
  'runs.metrics': object<ParamsOf<'runs.metrics'>>({ id: text, afterStep: integer(-1) }),
  'runs.schedule': ofId,
  'runs.samples': ofId,
  'runs.log': ofId,
  'runs.checkpoints': ofId,
  'runs.worst': ofId,
  'adapters.list': ofProject,
  'adapters.import': object<ParamsOf<'adapters.import'>>({ projectId: text, path: text, modelId: text }),
  'adapters.update': object<ParamsOf<'adapters.update'>>({
    id: text,
    name: optional(text),
    tag: optional(or(oneOf('candidate', 'best', 'shipped'), null)),
  }),
  'adapters.updates': ofId,
  'adapters.matrix': object<ParamsOf<'adapters.matrix'>>({ id: text, path: text }),
  'adapters.mixes': ofProject,
  'adapters.mix': object<ParamsOf<'adapters.mix'>>({
    ...mixPlace,
    model,
    adapters: weightedAdapters,
    mix: object<MixSettings>({
      // The table of methods lists the valid names.
      method: text as Check<MixMethod>,
      rank: optional(integer(1)),
      density: optional(number),
      majoritySign: optional(oneOf('total', 'frequency')),
      seed: optional(integer(0)),
    }),
  }),
  'adapters.truncate': object<ParamsOf<'adapters.truncate'>>({
    ...mixPlace,
    model: optional(model),
    adapter: ref,
    rank: integer(1),
  }),
  'generate.start': generateRequest,
  'serve.start': object<ParamsOf<'serve.start'>>({ model, adapters: adapterWeights, port: optional(integer(1024)) }),
  'serve.stop': nothing,
  'serve.state': nothing,
  'exports.choices': object<ParamsOf<'exports.choices'>>({ adapterId: text }),
  'exports.list': ofProject,
  'exports.start': exportRequest,
  'exports.stop': ofId,
  'exports.programs': nothing,
  'exports.install': object<ParamsOf<'exports.install'>>({ id: text, program: oneOf('ollama', 'lm-studio', 'jan') }),
  'exports.identify': object<ParamsOf<'exports.identify'>>({ path: text }),
  'evaluate.start': object<ParamsOf<'evaluate.start'>>({
    ...{ model, ...rows, adapter: or(text, null), rowSettings },
    evaluators: optional(listOf(evaluatorChoice)),
    shots: optional(listOf(listOf(message))),
    maxTokens: optional(integer(1)),
  }),
  'evaluators.list': nothing,
  'evaluations.list': ofProject,
  'evaluations.get': ofId,
  'evaluations.rows': object<ParamsOf<'evaluations.rows'>>({
    ...{ id: text, offset: integer(0), limit: integer(0) },
    ...{ cell: optional(pairCell), contestants: optional(texts) },
  }),
  'evaluations.report': ofId,
  'evaluations.text': object<ParamsOf<'evaluations.text'>>({ id: text, format: oneOf('markdown', 'csv') }),
  'evaluations.plan': evaluationRequest,
  'evaluations.start': evaluationRequest,
  'evaluations.stop': ofId,
  'evaluations.resume': ofId,
  'evaluations.rename': object<ParamsOf<'evaluations.rename'>>({ id: text, name: text }),
  'evaluations.remove': ofId,
  'data.rows': object<ParamsOf<'data.rows'>>({
    ...{ model, ...rows, ...viewing },
    ...{ offset: integer(0), limit: integer(0), maxLength: integer(1) },
  }),
  'data.row': object<ParamsOf<'data.row'>>({ model, ...rows, ...viewing, row: integer(0), maxLength: integer(1) }),
  'data.pack': object<ParamsOf<'data.pack'>>({ model, ...rows, row: integer(0), recipe }),
  'data.losses': object<ParamsOf<'data.losses'>>({
    ...{ model, ...rows, ...viewing },
    ...{ adapter: or(text, null), row: integer(0), maxLength: integer(1) },
  }),
  'data.find': object<ParamsOf<'data.find'>>({ model, ...rows, text, from: integer(0) }),
  'data.render': object<ParamsOf<'data.render'>>({ model, ...rows, ...viewing, offset: integer(0) }),
  'data.report': object<ParamsOf<'data.report'>>({ model, ...rows, ...viewing, maxLength: integer(1) }),
  'data.record': object<ParamsOf<'data.record'>>({ ...rows, row: integer(0) }),
  'data.place': object<ParamsOf<'data.place'>>({ ...rows, row: integer(0), in: data }),
  'data.occurrences': object<ParamsOf<'data.occurrences'>>({ data, find: notEmpty, column: optional(text) }),
  'data.values': object<ParamsOf<'data.values'>>({ data, column: notEmpty }),
  'data.write': object<ParamsOf<'data.write'>>({ ...rows, out: text, replace: optional(flag), skipBadRows: optional(flag) }),
  'inspect.path': object<ParamsOf<'inspect.path'>>({ path: text, acceptFields }),
  'sample.list': nothing,
  'sample.start': object<ParamsOf<'sample.start'>>({ sample: oneOf('json-orders', 'house-voice', 'brief-answers') }),
  'sample.get': nothing,
  'sample.stop': nothing,
  'sample.compare': nothing,
  'paths.known': object<ParamsOf<'paths.known'>>({ paths: texts }),
  'notices.take': nothing,
  'shell.chooseFiles': object<ParamsOf<'shell.chooseFiles'>>({
    title: text,
    kind: oneOf('model', 'data', 'folder', 'adapter'),
  }),
  'shell.chooseSavePath': object<ParamsOf<'shell.chooseSavePath'>>({ title: text, suggested: text, directory: flag }),
  'shell.showInFolder': object<ParamsOf<'shell.showInFolder'>>({ path: text }),
  'shell.saveFile': object<ParamsOf<'shell.saveFile'>>({
    ...{ title: text, suggested: text, content: text },
    encoding: oneOf('utf8', 'base64'),
  }),
  'shell.copyText': object<ParamsOf<'shell.copyText'>>({ text }),
  'shell.copyPicture': object<ParamsOf<'shell.copyPicture'>>({ picture: text }),
  'shell.setTheme': object<ParamsOf<'shell.setTheme'>>({ theme: oneOf('system', 'light', 'dark') }),
  'shell.setMenu': object<ParamsOf<'shell.setMenu'>>({
    commands: listOf(
      object<MenuCommand>({
        id: text,
        title: text,
        menu: oneOf('File', 'Go', 'Run', 'View'),
        shortcut: or(shortcut, null),
        enabled: flag,
      }),
    ),
  }),
  'shell.notify': object<ParamsOf<'shell.notify'>>({ title: text, body: text, command: text }),
  'shell.info': nothing,
};

/** Throws a `Problem` when `params` are not those of such a request. */
export function checkRequest(name: RequestName, params: unknown): void {
  const wrong = shapes[name](params, name);
  if (wrong !== null)
    throw new Problem(
      'request-invalid',
      `${wrong}.`,
      'Send it as the contract of the engine says; window, command line and engine must be of one version.',
    );
}
