/**
 * Which paths the page may name. To read: what a person chose in a dialog or dropped on the window since the studio was started, and what
 * the engine's store holds. To write: only what was chosen in a dialog for saving. The same spelling counts, nothing below or beside it.
 */
import type { DataRef, EngineRequests, ModelRef, Params, Ref } from '../engine/contract.ts';
import { Problem } from '../engine/problem.ts';

interface Named {
  readonly read?: readonly string[];
  readonly write?: readonly string[];
}
const none = (): Named => ({});
const pathOf = (ref: Ref | ModelRef | undefined): readonly string[] => (ref !== undefined && 'path' in ref ? [ref.path] : []);

const filesOf = (data: DataRef | undefined): readonly string[] =>
  data !== undefined && 'paths' in data ? [...data.paths, ...(data.evalPaths ?? [])] : [];

/** The paths in every request of the engine: complete by type, so that a new request compiles only when somebody has said which it has. */
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
  'adapters.list': none,
  'adapters.import': ({ path }) => ({ read: [path] }),
  'adapters.update': none,
  'adapters.norms': none,
  'generate.start': ({ model, adapters }) => ({ read: [...pathOf(model), ...adapters.map(({ path }) => path)] }),
  'generate.stop': none,
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
  'data.rows': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.render': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'data.report': ({ model, data }) => ({ read: [...pathOf(model), ...filesOf(data)] }),
  'inspect.path': ({ path }) => ({ read: [path] }),
  'sample.start': none,
  'sample.get': none,
  'sample.stop': none,
  // It tells of the store only, and names nothing to be opened.
  'paths.known': none,
  'notices.take': none,
};

export const isEngineRequest = (name: string): name is keyof EngineRequests => Object.hasOwn(pathsIn, name);

export class AllowedPaths {
  readonly #chosen = new Set<string>();
  readonly #chosenToWrite = new Set<string>();
  readonly #knownToStore: (paths: readonly string[]) => Promise<readonly string[]>;

  /** `knownToStore` returns those of the paths that the store of the engine holds. */
  constructor(knownToStore: (paths: readonly string[]) => Promise<readonly string[]>) {
    this.#knownToStore = knownToStore;
  }

  /** A person chose these in a dialog, or dropped them. They stay allowed until the studio ends, also for a page that loads again. */
  allow(paths: readonly string[]): void {
    for (const path of paths) this.#chosen.add(path);
  }

  /** A person chose this place to be written to, and was asked if something is there. */
  allowToWrite(path: string): void {
    this.#chosenToWrite.add(path);
  }

  /** Refuses a request whose parameters, which must have their shape, name another path. */
  async requireIn<N extends keyof EngineRequests>(name: N, params: Params<EngineRequests, N>): Promise<void> {
    const { read = [], write = [] } = pathsIn[name](params);
    for (const path of write) if (!this.#chosenToWrite.has(path)) throw refused(path, 'a place to write to');
    await this.requireToRead(read);
  }

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
