/** Manages projects and the models in them. */
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import type { AcceptFields, Inspection, Model, ModelInfo, Project } from '../contract.ts';
import { modelFolderOf } from '../models/hub-folder.ts';
import { logError, Problem } from '../problem.ts';
import { embeddedModelPath } from '../resources.ts';
import { type Asker, found, type HostContext, runReader } from './context.ts';
import { requireAbsolute, requireName } from './require.ts';

export class Library {
  readonly #context: HostContext;
  /** Holds the projects whose embedded model is still being read. */
  readonly #preparing = new Map<string, Promise<unknown>>();

  constructor(context: HostContext) {
    this.#context = context;
  }

  createProject(name: string): Project {
    const project: Project = { id: randomUUID(), name: requireName(name, 'project'), createdAt: Date.now() };
    this.#context.store.projects.insert(project);
    this.#context.emit('list.changed', { projectId: project.id, list: 'projects' });
    const preparing = this.addModel(project.id, embeddedModelPath(), { embedded: true })
      // The project works without it; adding a model by hand reports what is wrong.
      .catch((error: unknown) => logError(new Error('The embedded model was not added.', { cause: error })))
      .finally(() => this.#preparing.delete(project.id));
    this.#preparing.set(project.id, preparing);
    return project;
  }

  renameProject(id: string, name: string): Project {
    const project = { ...this.project(id), name: requireName(name, 'project') };
    this.#context.store.projects.rename(id, project.name);
    this.#context.emit('list.changed', { projectId: id, list: 'projects' });
    return project;
  }

  project(id: string): Project {
    return found(this.#context.store.projects.get(id), 'project', id);
  }

  /** Returns the project for runs and exports that name a model by its path alone, and makes it if it does not exist yet. */
  looseProject(): Project {
    const name = 'Command line';
    return this.#context.store.projects.byName(name) ?? this.createProject(name);
  }

  async models(projectId: string): Promise<readonly Model[]> {
    this.project(projectId);
    await this.#preparing.get(projectId);
    return this.#context.store.models.list(projectId);
  }

  async addModel(
    projectId: string,
    chosen: string,
    { embedded = false, acceptFields = [], asker }: { embedded?: boolean; asker?: Asker | undefined } & AcceptFields = {},
  ): Promise<Model> {
    this.project(projectId);
    requireAbsolute(chosen);
    const place = resolve(chosen);
    // A person may have chosen any of its files.
    const path = modelFolderOf(place) ?? place;
    const info = await this.#inspectModel(path, acceptFields, asker);
    const model = this.#context.store.models.put({
      ...info,
      id: randomUUID(),
      projectId,
      path,
      embedded: embedded || path === embeddedModelPath(),
      createdAt: Date.now(),
    });
    this.#context.emit('list.changed', { projectId, list: 'models' });
    return model;
  }

  async #inspectModel(path: string, acceptFields: readonly string[], asker: Asker | undefined): Promise<ModelInfo> {
    const inspection = await runReader<Inspection>(this.#context, { kind: 'inspect', path, acceptFields }, path, { asker });
    if (inspection.kind !== 'model' || inspection.model === undefined)
      throw new Problem(
        'format-unknown',
        `${path} is ${inspection.kind === 'adapter' ? 'an adapter' : 'a data set'}, not a model.`,
        'Choose a folder with config.json and safetensors files, or a GGUF file.',
      );
    return inspection.model;
  }

  removeModel(id: string): void {
    const model = found(this.#context.store.models.get(id), 'model', id);
    this.#context.store.models.remove(id);
    this.#context.emit('list.changed', { projectId: model.projectId, list: 'models' });
  }
}
