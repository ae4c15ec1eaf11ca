/** Keeps which screen is shown, and of what, in the address, so that a reloaded window shows the same thing. */
export interface Screens {
  'first-start': Record<never, never>;
  overview: Record<never, never>;
  models: { id?: string };
  datasets: { id?: string };
  runs: Record<never, never>;
  /** `recipe` is a recipe as JSON. */
  'new-run': { modelId?: string; datasetId?: string; fromRun?: string; adapterId?: string; recipe?: string };
  run: { id: string; tab?: string };
  /** Holds run ids, separated by commas. */
  compare: { runs?: string };
  /** `id` is that of an evaluation, or `new`; `from` is one whose questions are asked again with changes. */
  evaluate: { id?: string; from?: string };
  adapters: { id?: string };
  /** Names an adapter version, or else a model with the recipe, as JSON, of the adapter that is planned. */
  lesson: { id?: string; modelId?: string; datasetId?: string; recipe?: string };
  playground: { adapterId?: string };
  exports: { adapterId?: string; id?: string };
}
export type ScreenName = keyof Screens;
export type Place = { [N in ScreenName]: { readonly screen: N; readonly params: Screens[N] } }[ScreenName];

const names: readonly ScreenName[] = [
  'first-start',
  'overview',
  'models',
  'datasets',
  'runs',
  'new-run',
  'run',
  'compare',
  'evaluate',
  'adapters',
  'lesson',
  'playground',
  'exports',
];

export class Router {
  place: Place = $state.raw({ screen: 'overview', params: {} });

  constructor() {
    this.#read();
    window.addEventListener('hashchange', () => this.#read());
  }

  get screen(): ScreenName {
    return this.place.screen;
  }
  /** Returns the parameters of the present place, whichever screen it is. */
  get params(): { readonly [key: string]: string | undefined } {
    return this.place.params as Record<string, string | undefined>;
  }

  go<N extends ScreenName>(
    screen: N,
    ...args: Record<never, never> extends Screens[N] ? [params?: Screens[N]] : [params: Screens[N]]
  ): void {
    window.location.hash = addressOf(screen, args[0] ?? {});
    this.#read();
  }

  /** Changes the parameters of the present place, so that coming back to it shows what it shows now. */
  keep(params: Screens[ScreenName]): void {
    window.history.replaceState(null, '', addressOf(this.screen, params));
    this.#read();
  }

  back(): void {
    window.history.back();
  }

  #read(): void {
    const [path = '', query = ''] = window.location.hash.replace(/^#\//, '').split('?');
    const screen = names.find((name) => name === path);
    if (screen === undefined) return;
    this.place = { screen, params: Object.fromEntries(new URLSearchParams(query)) } as Place;
  }
}

function addressOf(screen: ScreenName, params: Screens[ScreenName]): string {
  const given = Object.entries(params as Record<string, string | undefined>);
  const text = new URLSearchParams(given.filter((entry): entry is [string, string] => entry[1] !== undefined)).toString();
  return text === '' ? `#/${screen}` : `#/${screen}?${text}`;
}
