/**
 * Decides which paths the page may name. For reading, these are the paths that a person chose in a dialog or dropped on the
 * window since the studio was started, and those in the engine's store. For writing, these are only the paths chosen in a
 * dialog for saving. The spelling must be the same; nothing below or beside a path is allowed.
 */
import type { AskedMix, DataRef, EngineRequests, EvaluationRequest, ModelRef, Params, Ref } from '../engine/contract.ts';
import { Problem } from '../engine/problem.ts';

interface Named {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
}
const none = (): Named => ({});
const pathOf = (ref: Ref | ModelRef | undefined): readonly string[] => (ref !== undefined && 'path' in ref ? [ref.path] : []);

const filesOf = (data: DataRef | undefined): readonly string[] => {
  if (data === undefined || 'versionId' in data) return [];
  return 'mix' in data ? filesOfMix(data.mix) : [...data.paths, ...(data.evalPaths ?? [])];
};
const filesOfMix = ({ parts }: AskedMix): readonly string[] => parts.flatMap(({ data }) => filesOf(data));

const readByEvaluation = ({ model, data, train, validation, contestants, schemaFile }: EvaluationRequest): Named => ({
  read: [
    ...pathOf(model),
    ...[data, train?.data, validation?.data].flatMap(filesOf),
    ...contestants.flatMap(({ adapter }) => pathOf(adapter)),
    ...(schemaFile === undefined ? [] : [schemaFile]),
  ],
});

/**
 * Lists the paths in every request of the engine. The type makes the list complete: a new request compiles only once its paths
 * are listed.
 */
const pathsIn: { readonly [N in keyof EngineRequests]: (params: Params<EngineRequests, N>) => Named } = {
  'machine.get': none,
  'machine.measure': none,
  'machine.memory': none,
  'projects.list': none,
  'projects.create': none,
  'projects.rename': none,
  'models.list': none,
  'models.add': ({ path }) => ({ read: [path] }),
  'models.remove': none,
  'models.targets': none,
  'datasets.list': none,
  'datasets.add': ({ data }) => ({ read: filesOf(data) }),
  'datasets.addVersion': none,
  'datasets.change': none,
  'datasets.mix': ({ mix }) => ({ read: filesOfMix(mix) }),
  'datasets.remix': ({ mix }) => ({ read: filesOfMix(mix) }),
  'datasets.undo': none,
  'datasets.versions': none,
  'datasets.use': none,
  'datasets.rename': none,
  'datasets.map': none,
  'datasets.relocate': ({ to }) => ({ read: [to] }),
  'datasets.keep': (kept) => ({ read: 'paths' in kept ? kept.paths : [] }),
  'datasets.columns': ({ path }) => ({ read: [path] }),
  'datasets.remove': none,
  'runs.list': none,
  'runs.get': none,
  'runs.plan': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'runs.fit': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'runs.start': ({ model, data, adapter, out }) => ({
    read: [...pathOf(model), ...filesOf(data), ...pathOf(adapter)],
    write: out === undefined ? [] : [out],
  }),
  'runs.pause': none,
  'runs.stop': none,
  'runs.resume': none,
  'runs.queue': none,
  'runs.move': none,
  'runs.update': none,
  'runs.remove': none,
  'runs.metrics': none,
  'runs.schedule': none,
  'runs.samples': none,
  'runs.log': none,
  'runs.checkpoints': none,
  'runs.worst': none,
  'adapters.list': none,
  'adapters.import': ({ path }) => ({ read: [path] }),
  'adapters.update': none,
  'adapters.updates': none,
  'adapters.matrix': none,
  'adapters.mixes': none,
  'adapters.mix': ({ model, adapters, out }) => ({
    read: [...pathOf(model), ...adapters.flatMap(pathOf)],
    write: out === undefined ? [] : [out],
  }),
  'adapters.truncate': ({ model, adapter, out }) => ({
    read: [...pathOf(model), ...pathOf(adapter)],
    write: out === undefined ? [] : [out],
  }),
  'generate.start': ({ model, adapters }) => ({ read: [...pathOf(model), ...adapters.map(({ path }) => path)] }),
  'serve.start': ({ model, adapters }) => ({ read: [...pathOf(model), ...adapters.map(({ path }) => path)] }),
  'serve.stop': none,
  'serve.state': none,
  'exports.choices': none,
  'exports.list': none,
  'exports.start': ({ model, adapters, data, importance, out }) => ({
    read: [...pathOf(model), ...adapters.flatMap(pathOf), ...filesOf(data), ...filesOf(importance)],
    write: [out],
  }),
  'exports.stop': none,
  'exports.programs': none,
  'exports.install': none,
  'exports.identify': ({ path }) => ({ read: [path] }),
  'evaluate.start': ({ model, data, adapter }) => ({
    read: [...pathOf(model), ...filesOf(data), ...(adapter === null ? [] : [adapter])],
  }),
  'evaluators.list': none,
  'evaluations.list': none,
  'evaluations.get': none,
  'evaluations.rows': none,
  'evaluations.report': none,
  'evaluations.text': none,
  'evaluations.plan': readByEvaluation,
  'evaluations.start': readByEvaluation,
  'evaluations.stop': none,
  'evaluations.resume': none,
  'evaluations.rename': none,
  'evaluations.remove': none,
  'data.rows': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.row': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.pack': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.losses': ({ model, data, adapter }) => ({
    read: [...pathOf(model), ...filesOf(data), ...(adapter === null ? [] : [adapter])],
  }),
  'data.find': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.render': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.report': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.record': ({ data }) => ({ read: filesOf(data) }),
  'data.place': ({ data, in: other }) => ({ read: [...filesOf(data), ...filesOf(other)] }),
  'data.occurrences': ({ data }) => ({ read: filesOf(data) }),
  'data.values': ({ data }) => ({ read: filesOf(data) }),
  'data.write': ({ data, out }) => ({ read: filesOf(data), write: [out] }),
  'inspect.path': ({ path }) => ({ read: [path] }),
  'sample.list': none,
  'sample.start': none,
  'sample.get': none,
  'sample.stop': none,
  'sample.compare': none,
  // It asks the store alone, and opens nothing.
  'paths.known': none,
  'notices.take': none,
};

export const isEngineRequest = (name: string): name is keyof EngineRequests => Object.hasOwn(pathsIn, name);

/** Keeps which paths the page may name; both sets start empty. */
export class AllowedPaths {
  readonly #chosen = new Set<string>();
  readonly #chosenToWrite = new Set<string>();
  readonly #knownToStore: (paths: readonly string[]) => Promise<readonly string[]>;

  /** `knownToStore` returns which of the paths the engine's store holds. */
  constructor(knownToStore: (paths: readonly string[]) => Promise<readonly string[]>) {
    this.#knownToStore = knownToStore;
  }

  /**
   * Allows paths that a person chose in a dialog or dropped. They stay allowed until the studio ends, also for a page that
   * loads again.
   */
  allow(paths: readonly string[]): void {
    for (const path of paths) this.#chosen.add(path);
  }

  /** Allows writing to a place that a person chose, who was asked whether an existing file may be replaced. */
  allowToWrite(path: string): void {
    this.#chosenToWrite.add(path);
  }

  /** Refuses a request that names a path which is not allowed. Its parameters must already have their shape. */
  async requireIn<N extends keyof EngineRequests>(name: N, params: Params<EngineRequests, N>): Promise<void> {
    const { read = [], write = [] } = pathsIn[name](params);
    for (const path of write) if (!this.#chosenToWrite.has(path)) throw refused(path, 'a place to write to');
    await this.requireToRead(read);
  }

  /** Refuses paths that were neither chosen nor are in the engine's store. */
  async requireToRead(paths: readonly string[]): Promise<void> {
    const unchosen = paths.filter((path) => !this.#chosen.has(path));
    if (unchosen.length === 0) return;
    const known = new Set(await this.#knownToStore(unchosen));
    const other = unchosen.find((path) => !known.has(path));
    if (other !== undefined) throw refused(other, 'a file or folder');
  }
}

function refused(path: string, what: string): Problem {
  return new Problem(
    'not-allowed',
    `The window named ${what} that nobody chose in it: ${path.slice(0, 300)}.`,
    'Choose it in a dialog or drop it on the window; the command line takes any path.',
  );
}
