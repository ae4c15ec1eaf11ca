import type { Model, TargetPlan } from '../../engine/contract.ts';
import type { RecipeInput } from '../../engine/recipe.ts';
import { isolated } from '../ui/format.ts';
import { Collection } from './collection.svelte.ts';
import type { Asking, Engine } from './engine.ts';
import type { Notices } from './notices.svelte.ts';

/** Holds the models of the open project. */
export class ModelsState {
  readonly list: Collection<Model>;
  readonly #engine: Engine;
  readonly #notices: Notices;

  constructor(engine: Engine, notices: Notices) {
    this.#engine = engine;
    this.#notices = notices;
    this.list = new Collection((projectId) => engine.request('models.list', { projectId }));
  }

  async add(projectId: string, path: string, acceptFields: readonly string[], asking: Asking): Promise<Model> {
    const model = await this.#engine.request('models.add', { projectId, path, acceptFields }, asking);
    this.list.apply(model);
    return model;
  }

  targets(modelId: string, recipe: RecipeInput): Promise<TargetPlan> {
    return this.#engine.request('models.targets', { modelId, recipe });
  }

  /** Removes a model from the project; its files stay. */
  remove(model: Model): void {
    this.list.setHidden(model.id, true);
    this.#notices.undoable(
      `${isolated(model.name)} removed from the project`,
      () => this.list.setHidden(model.id, false),
      async () => {
        await this.#engine.request('models.remove', { id: model.id });
        this.list.drop(model.id);
      },
    );
  }
}
