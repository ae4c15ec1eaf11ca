import type { RecipeInput, RowSettings } from '../../engine/recipe.ts';

/** Says how a person looks at a data set; what is left out is as it usually is. */
export interface Viewing extends Partial<Pick<RowSettings, 'thinking' | 'unroll' | 'foldSystem' | 'promptFormat'>> {
  readonly modelId?: string;
  readonly maxLength?: number;
  /** Says what a chat template prints, such as `2026-07-15`. */
  readonly day?: string;
}

/** Says what is changed about a viewing; undefined makes a setting what it usually is. */
export type ViewingChange = { readonly [K in keyof Viewing]?: Viewing[K] | undefined };

const rememberedKey = 'viewings';
/** Data sets whose viewing is remembered; the one that was changed longest ago is forgotten first. */
const mostRemembered = 200;

/** Returns what of a viewing is the recipe's, so that a new run trains what was seen. */
export function recipeOf({ maxLength, thinking, unroll, foldSystem, promptFormat }: Viewing): RecipeInput {
  const given = Object.entries({ maxLength, thinking, unroll, foldSystem, promptFormat });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** Remembers how each data set is looked at, from one start of the window to the next. */
export class Viewings {
  #all = $state.raw<Readonly<Record<string, Viewing>>>(remembered());

  of(datasetId: string): Viewing {
    return this.#all[datasetId] ?? {};
  }

  /** Returns the model that was chosen last for any data set. */
  get lastModelId(): string | null {
    return Object.values(this.#all).findLast(({ modelId }) => modelId !== undefined)?.modelId ?? null;
  }

  change(datasetId: string, change: ViewingChange): void {
    const { [datasetId]: before, ...others } = this.#all;
    const own = Object.entries({ ...before, ...change }).filter(([, value]) => value !== undefined);
    const all: Record<string, Viewing> = { ...others, [datasetId]: Object.fromEntries(own) };
    this.#all = Object.fromEntries(Object.entries(all).slice(-mostRemembered));
    window.localStorage.setItem(rememberedKey, JSON.stringify(this.#all));
  }
}

function remembered(): Readonly<Record<string, Viewing>> {
  try {
    const all: unknown = JSON.parse(window.localStorage.getItem(rememberedKey) ?? '{}');
    return typeof all === 'object' && all !== null ? (all as Record<string, Viewing>) : {};
  } catch {
    return {};
  }
}
