import type { Engine } from './engine.ts';

export type Theme = 'system' | 'light' | 'dark';
const rememberedKey = 'theme';
const systemDark = window.matchMedia('(prefers-color-scheme: dark)');

/** Chooses between light and dark: as the system does, unless the person has chosen. */
export class ThemeState {
  chosen = $state<Theme>(readTheme());
  #systemIsDark = $state(systemDark.matches);
  readonly shown: 'light' | 'dark' = $derived(this.chosen === 'system' ? (this.#systemIsDark ? 'dark' : 'light') : this.chosen);
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    systemDark.addEventListener('change', () => {
      this.#systemIsDark = systemDark.matches;
    });
    this.#apply();
  }

  choose(theme: Theme): void {
    this.chosen = theme;
    window.localStorage.setItem(rememberedKey, theme);
    this.#apply();
  }

  #apply(): void {
    if (this.chosen === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.chosen;
    // The window's own frame follows; without it only the frame keeps the system's look.
    this.#engine.request('shell.setTheme', { theme: this.chosen }).catch(() => undefined);
  }
}

function readTheme(): Theme {
  const text = window.localStorage.getItem(rememberedKey);
  return text === 'light' || text === 'dark' ? text : 'system';
}
