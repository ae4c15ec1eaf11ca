/** Defines the requests to the shell, which is Electron's main process, and its events. */
import type { ProblemValue } from '../problem.ts';

/** Describes a command of the window as the menu shows it; choosing it sends `shell.command`. */
export interface MenuCommand {
  readonly id: string;
  readonly title: string;
  readonly menu: 'File' | 'Go' | 'Run' | 'View';
  /** Gives the keys, such as `Mod+Shift+N`; `Mod` is Ctrl, or Command on a Mac. */
  readonly shortcut: string | null;
  readonly enabled: boolean;
}
export interface ShellRequests {
  /** Lets a person choose files or a folder. Returns null when that is cancelled. */
  'shell.chooseFiles': (p: { title: string; kind: 'model' | 'data' | 'folder' | 'adapter' }) => readonly string[] | null;
  'shell.chooseSavePath': (p: { title: string; suggested: string; directory: boolean }) => string | null;
  /** Lets a person choose a place, writes a file there and returns its path; null when that is cancelled. */
  'shell.saveFile': (p: { title: string; suggested: string; content: string; encoding: 'utf8' | 'base64' }) => string | null;
  'shell.showInFolder': (p: { path: string }) => null;
  'shell.copyText': (p: { text: string }) => null;
  /** Copies a picture, which is PNG in Base64. */
  'shell.copyPicture': (p: { picture: string }) => null;
  'shell.setTheme': (p: { theme: 'system' | 'light' | 'dark' }) => null;
  'shell.setMenu': (p: { commands: readonly MenuCommand[] }) => null;
  /** Shows a notification of the system. A click on it brings the window to the front and sends `command` back. */
  'shell.notify': (p: { title: string; body: string; command: string }) => null;
  'shell.info': () => { version: string; dataDir: string; platform: string };
}
export interface ShellEvents {
  /** Says that the host has gone (`lost`) or is back (`ready`). */
  'shell.engine': { readonly state: 'starting' | 'ready' | 'lost'; readonly problem: ProblemValue | null };
  /** Says that a command of the window was chosen outside of it: in the menu, or by a click on a notification. */
  'shell.command': { readonly id: string };
  /** Says that files or folders were dropped on the window. */
  'shell.dropped': { readonly paths: readonly string[] };
}
