/** Mixes adapters into new ones, and cuts them to smaller ranks; each result is stored as a version. */
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type {
  AdapterVersion,
  JobSpec,
  Lineage,
  MixedAdapter,
  MixedVersion,
  MixOrigin,
  MixRequest,
  MixSettings,
  ModelRef,
  TruncateRequest,
} from '../contract.ts';
import { readManifest } from '../export/manifest.ts';
import { tidyAbandoned } from '../export/publish.ts';
import { logError, longestName, Problem, shown } from '../problem.ts';
import type { AdapterRegistry } from './adapters.ts';
import { type Asker, type HostContext, startReported } from './context.ts';
import { baseOf, modelAt, originOf, partName, recordedAt, weightedAdapter } from './job-inputs.ts';
import type { Library } from './library.ts';
import { requireAbsolute, requireName } from './require.ts';

type Place = Pick<MixRequest, 'projectId' | 'name' | 'out'>;

export class Mixes {
  readonly #context: HostContext;
  readonly #library: Library;
  readonly #adapters: AdapterRegistry;

  constructor(context: HostContext, library: Library, adapters: AdapterRegistry) {
    this.#context = context;
    this.#library = library;
    this.#adapters = adapters;
  }

  mix({ model, adapters, mix, ...place }: MixRequest, asker: Asker): Promise<MixedVersion> {
    return this.#make(adapters, mix, place, model, asker);
  }

  truncate({ model, adapter, rank, ...place }: TruncateRequest, asker: Asker): Promise<MixedVersion> {
    return this.#make([adapter], { method: 'svd', rank }, place, model ?? null, asker);
  }

  /** Returns what each mix of a project was made from, as its folder says. */
  origins(projectId: string): Readonly<Record<string, MixOrigin>> {
    const versions = this.#context.store.adapters.list(this.#library.project(projectId).id);
    return Object.fromEntries(
      versions.flatMap((version): [string, MixOrigin][] => {
        const lineage = version.runId === null ? lineageIn(version.path) : null;
        if (lineage?.mix === undefined || !lineage.adapters.every(({ weight }) => Number.isFinite(weight))) return [];
        const parents = lineage.adapters.map(({ name, weight, hash }) => {
          // Equal runs give equal numbers, so the name decides among versions of one hash.
          const alike = versions.filter((each) => each.hash === hash && each.id !== version.id);
          return { name, weight, adapterId: (alike.find((each) => each.name === name) ?? alike[0])?.id ?? null };
        });
        return [[version.id, { mix: lineage.mix, parents }]];
      }),
    );
  }

  /** Makes an adapter of others. Its version has no column for its parents; its folder names them in `lowrank.json`. */
  async #make(
    named: MixRequest['adapters'],
    mix: MixSettings,
    place: Place,
    modelRef: ModelRef | null,
    asker: Asker,
  ): Promise<MixedVersion> {
    const { store, dataDir } = this.#context;
    if (named.length === 0) throw new Problem('request-invalid', 'There is no adapter to mix.', 'Name one or more.');
    const id = randomUUID();
    const parts = named.map((ref) => weightedAdapter(store, ref));
    const parent = parts.find(({ version }) => version !== null)?.version ?? null;
    const project =
      place.projectId !== undefined
        ? this.#library.project(place.projectId)
        : (store.projects.get(parent?.projectId ?? '') ?? this.#library.looseProject());
    const model = modelRef !== null ? modelAt(store, modelRef) : parent && baseOf(store, parent);
    const { out = join(dataDir, 'adapters', id) } = place;
    requireAbsolute(out);
    const name =
      place.name !== undefined
        ? requireName(place.name, 'adapter version')
        : shown(place.out === undefined ? parts.map(partName).join(' + ') : basename(out), longestName);
    const spec: JobSpec = {
      kind: 'mix',
      ...{ model, mix, out },
      adapters: parts.map(({ version, path, weight }) => (version === null ? { path, weight } : recordedAt(version, weight))),
      origin: originOf(id, parts),
    };
    const made = (await startReported(this.#context, spec, null, { asker }).finished.catch((error: unknown) => {
      // Its process may have been killed before it could clean up. Nobody waits for that.
      void tidyAbandoned(out).catch(logError);
      throw error;
    })) as MixedAdapter;
    if (made.base === null) return { ...made, version: null };
    const modelPath = model?.path ?? made.base.path;
    const registered = store.models.list(project.id).find(({ path }) => path === modelPath);
    const { path, rank, alpha, targetModules, parameters, bytes, hash, configHash } = made;
    const version: AdapterVersion = {
      ...{ id, projectId: project.id, name, path },
      ...{ runId: null, runName: null, step: null, datasetName: null, evalLoss: null, tag: null },
      ...{ modelId: registered?.id ?? null, modelName: registered?.name ?? made.base.name, modelPath },
      ...{ rank, alpha, targetModules, parameters, bytes, hash, configHash },
      createdAt: Date.now(),
    };
    store.adapters.put(version);
    this.#adapters.tell(version);
    return { ...made, version };
  }
}

/** Returns what a folder records of its origin, or null where it records nothing, is a file, or cannot be read. */
function lineageIn(path: string): Lineage | null {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? (readManifest(path)?.lineage ?? null) : null;
  } catch (error) {
    logError(error);
    return null;
  }
}
