/** Lists every command once. The palette, the menu, the key bindings and the tooltips read this list. */
import type { MenuCommand } from '../engine/contract.ts';
import type { ScreenName } from './state/router.svelte.ts';
import { isActive } from './state/runs.svelte.ts';
import type { Studio } from './state/studio.svelte.ts';

export interface Command {
  readonly id: string;
  readonly title: string;
  readonly group: 'Go to' | 'Create' | 'Run' | 'Window';
  /** Gives the keys; `Mod` is Ctrl, or Command on a Mac. */
  readonly shortcut: string | null;
  /** Returns what the command does, or null when it means nothing at present. */
  readonly action: (studio: Studio) => (() => void) | null;
}

const go = (screen: Exclude<ScreenName, 'run'>, title: string, digit: number | null): Command => ({
  id: `go.${screen}`,
  title,
  group: 'Go to',
  shortcut: digit === null ? null : `Mod+${digit}`,
  action: (studio) => () => studio.router.go(screen),
});

/** Makes a command that does what the present screen offers (`studio.offer`). */
const offered = (id: string, title: string, group: Command['group'], shortcut: string | null): Command => ({
  id,
  title,
  group,
  shortcut,
  action: (studio) => studio.offered.get(id) ?? null,
});

export const commands: readonly Command[] = [
  go('overview', 'Overview', 1),
  go('models', 'Models', 2),
  go('datasets', 'Datasets', 3),
  go('runs', 'Runs', 4),
  go('compare', 'Compare', 5),
  go('evaluate', 'Evaluate', 6),
  go('adapters', 'Adapters', 7),
  go('lesson', 'What is LoRA doing?', null),
  go('playground', 'Playground', 8),
  go('exports', 'Exports', 9),
  go('first-start', 'Welcome and sample', null),
  {
    id: 'new-run',
    title: 'New run',
    group: 'Create',
    shortcut: 'Mod+N',
    action: (studio) => () => studio.router.go('new-run'),
  },
  {
    id: 'new-evaluation',
    title: 'New evaluation',
    group: 'Create',
    shortcut: 'Mod+E',
    action: (studio) => () => studio.router.go('evaluate', { id: 'new' }),
  },
  {
    id: 'open-model',
    title: 'Open a model…',
    group: 'Create',
    shortcut: 'Mod+O',
    action: (studio) => () => void studio.openModel(),
  },
  {
    id: 'import-data',
    title: 'Import data…',
    group: 'Create',
    shortcut: 'Mod+I',
    action: (studio) => () => void studio.importData(),
  },
  {
    id: 'import-folder',
    title: 'Import a folder of texts…',
    group: 'Create',
    shortcut: null,
    action: (studio) => () => void studio.importData('folder'),
  },
  {
    id: 'paste-rows',
    title: 'Paste rows…',
    group: 'Create',
    shortcut: null,
    action: (studio) => () => (studio.pasting = true),
  },
  {
    id: 'new-project',
    title: 'New project',
    group: 'Create',
    shortcut: 'Mod+Shift+N',
    action: (studio) => () =>
      studio.attempt(async () => {
        await studio.project.create(`Project ${studio.project.items.length + 1}`);
        studio.router.go('overview');
        studio.naming = true;
      }),
  },
  {
    id: 'rename-project',
    title: 'Rename this project…',
    group: 'Create',
    shortcut: null,
    action: (studio) => (studio.project.current === null ? null : () => (studio.naming = true)),
  },
  offered('start', 'Start this run', 'Run', 'Mod+Enter'),
  offered('pause', 'Pause this run', 'Run', 'Mod+P'),
  offered('resume', 'Resume this run', 'Run', null),
  offered('duplicate', 'Duplicate this run with changes', 'Run', 'Mod+D'),
  {
    id: 'stop',
    title: 'Stop the running run',
    group: 'Run',
    shortcut: 'Mod+.',
    action: (studio) => {
      const shown = studio.runs.list.find(studio.router.params.id);
      const run = shown !== null && isActive(shown) ? shown : studio.runs.active[0];
      return run === undefined ? null : () => studio.attempt(() => studio.runs.stop(run.id));
    },
  },
  offered('table', 'Show the charts as tables', 'Window', 'Mod+T'),
  {
    id: 'palette',
    title: 'All commands',
    group: 'Window',
    shortcut: 'Mod+K',
    action: (studio) => () => (studio.paletteOpen = true),
  },
  {
    id: 'undo',
    title: 'Undo',
    group: 'Window',
    shortcut: 'Mod+Z',
    // What a notice offers is the last thing that was done; the screen may go back further.
    action: (studio) =>
      studio.notices.items.some((item) => item.undo !== null)
        ? () => studio.notices.undoLast()
        : (studio.offered.get('undo') ?? null),
  },
  { id: 'back', title: 'Back', group: 'Go to', shortcut: 'Alt+ArrowLeft', action: (studio) => () => studio.router.back() },
  {
    id: 'theme.system',
    title: 'Theme: system',
    group: 'Window',
    shortcut: null,
    action: (studio) => () => studio.theme.choose('system'),
  },
  {
    id: 'theme.light',
    title: 'Theme: light',
    group: 'Window',
    shortcut: null,
    action: (studio) => () => studio.theme.choose('light'),
  },
  {
    id: 'theme.dark',
    title: 'Theme: dark',
    group: 'Window',
    shortcut: null,
    action: (studio) => () => studio.theme.choose('dark'),
  },
];

const menus: Readonly<Record<Command['group'], MenuCommand['menu']>> = {
  'Go to': 'Go',
  Create: 'File',
  Run: 'Run',
  Window: 'View',
};

/** Returns the commands as the application menu shows them. */
export function menuCommands(studio: Studio): MenuCommand[] {
  return commands.map(({ id, title, group, shortcut, action }) => ({
    id,
    title,
    menu: menus[group],
    shortcut,
    enabled: action(studio) !== null,
  }));
}

const mac = navigator.userAgent.includes('Mac OS');
const keyNames: Readonly<Record<string, string>> = { Enter: '↵', ArrowLeft: '←' };

/** Writes a shortcut as on key caps: `Ctrl K`, `⌘K`. */
export function shortcutText(shortcut: string | null): string | null {
  if (shortcut === null) return null;
  const parts = shortcut.split('+').map((part) => {
    if (part === 'Mod') return mac ? '⌘' : 'Ctrl';
    if (part === 'Alt') return mac ? '⌥' : 'Alt';
    return part === 'Shift' && mac ? '⇧' : (keyNames[part] ?? part);
  });
  return parts.join(mac ? '' : ' ');
}

/** Returns the shortcut of a command, by its id, as on key caps. */
export function shortcutOf(id: string): string | null {
  return shortcutText(commands.find((command) => command.id === id)?.shortcut ?? null);
}

export function runCommand(studio: Studio, id: string): void {
  if (isAsking()) return;
  const run = /^run:(.+)$/.exec(id)?.[1];
  if (run !== undefined) studio.router.go('run', { id: run });
  else commands.find((command) => command.id === id)?.action(studio)?.();
}

/** Returns whether a question is open over the screen: what lies beneath it must not go on. */
function isAsking(): boolean {
  return document.querySelector('.dialog:not(.palette)') !== null;
}

/** Runs the command that a key press means, and returns whether there is one. */
export function runShortcut(studio: Studio, event: KeyboardEvent): boolean {
  const command = commands.find(({ shortcut }) => shortcut !== null && matches(shortcut, event));
  // Undoing what was typed is left to the field that has the focus.
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
  if (command === undefined || (command.id === 'undo' && typing)) return false;
  // Not even the menu takes the keys then.
  if (isAsking()) return true;
  const action = command.action(studio);
  if (action === null) return false;
  action();
  return true;
}

function matches(shortcut: string, event: KeyboardEvent): boolean {
  const parts = shortcut.split('+');
  const key = parts.at(-1) ?? '';
  const mod = mac ? event.metaKey : event.ctrlKey;
  return (
    parts.includes('Mod') === mod &&
    parts.includes('Alt') === event.altKey &&
    parts.includes('Shift') === event.shiftKey &&
    event.key.toLowerCase() === key.toLowerCase()
  );
}
