/** Requests to the shell, Electron's main process, and its events. */
import type { ProblemValue } from '../problem.ts';

/** A command of the window as the menu shows it; choosing it comes back as `shell.command`. */
export interface MenuCommand {
  readonly id: string;
  readonly title: string;
  readonly menu: 'File' | 'Go' | 'Run' | 'View';
  /** `Mod+Shift+N`; `Mod` is Ctrl, or Command on a Mac. */
  readonly shortcut: string | null;
  readonly enabled: boolean;
}
export interface ShellRequests {
  /** Null when cancelled. */
  'shell.chooseFiles': (p: { title: string; kind: 'model' | 'data' | 'folder' | 'adapter' }) => readonly string[] | null;
  'shell.chooseSavePath': (p: { title: string; suggested: string; directory: boolean }) => string | null;
  'shell.showInFolder': (p: { path: string }) => null;
  'shell.copyText': (p: { text: string }) => null;
  'shell.setTheme': (p: { theme: 'system' | 'light' | 'dark' }) => null;
  'shell.setMenu': (p: { commands: readonly MenuCommand[] }) => null;
  /** A notification of the system; clicking it brings the window to the front and sends `command` back. */
  'shell.notify': (p: { title: string; body: string; command: string }) => null;
  'shell.info': () => { version: string; dataDir: string; platform: string };
}
export interface ShellEvents {
  /** The host went away (`lost`) or is there again (`ready`). */
  'shell.engine': { readonly state: 'starting' | 'ready' | 'lost'; readonly problem: ProblemValue | null };
  /** A command of the window was chosen outside of it: in the menu, or by a click on a notification. */
  'shell.command': { readonly id: string };
  /** Files or folders were dropped on the window. */
  'shell.dropped': { readonly paths: readonly string[] };
}
