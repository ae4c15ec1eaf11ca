/** Keeps which screen is shown, and of what, in the address, so that a reloaded window shows the same thing. */
export interface Screens {
  'first-start': Record<never, never>;
  overview: Record<never, never>;
  models: { id?: string };
  datasets: { id?: string };
  runs: Record<never, never>;
  'new-run': { modelId?: string; datasetId?: string; fromRun?: string; adapterId?: string };
  run: { id: string; tab?: string };
  /** Holds run ids, separated by commas. */
  compare: { runs?: string };
  adapters: { id?: string };
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
  'adapters',
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
    const params = (args[0] ?? {}) as Record<string, string | undefined>;
    const query = new URLSearchParams(
      Object.entries(params).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
    const text = query.toString();
    window.location.hash = text === '' ? `#/${screen}` : `#/${screen}?${text}`;
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
