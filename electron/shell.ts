/** What only the shell can do for the page: dialogs, the clipboard, the menu, notifications, the theme of the system's own parts. */
import { app, clipboard, dialog, nativeTheme, Notification, shell, type BrowserWindow, type OpenDialogOptions } from 'electron';
import { dirname, isAbsolute } from 'node:path';
import type { Handlers, MenuCommand, ShellRequests } from '../engine/contract.ts';
import { Problem } from '../engine/problem.ts';
import { setMenu } from './menu.ts';

type FileKind = Parameters<ShellRequests['shell.chooseFiles']>[0]['kind'];
const fileDialogs: Record<FileKind, Pick<OpenDialogOptions, 'properties' | 'filters'>> = {
  model: {
    properties: ['openFile'],
    filters: [
      { name: 'Models', extensions: ['gguf', 'safetensors', 'json'] },
      { name: 'All files', extensions: ['*'] },
    ],
  },
  data: {
    properties: ['openFile', 'multiSelections'],
    filters: [
      { name: 'Data', extensions: ['jsonl', 'json', 'ndjson'] },
      { name: 'All files', extensions: ['*'] },
    ],
  },
  folder: { properties: ['openDirectory', 'createDirectory'] },
  adapter: { properties: ['openDirectory'] },
};

export function shellHandlers(
  dataDir: string,
  window: () => BrowserWindow | null,
  sendCommand: (id: string) => void,
): Handlers<ShellRequests> {
  const parent = (): BrowserWindow => {
    const found = window();
    if (!found) throw new Problem('not-found', 'The window is closed.', 'Open the studio again.');
    return found;
  };
  // Since version 43 Electron opens every dialog at the downloads unless it is told a folder.
  const lastFolders = new Map<FileKind, string>();
  // Held, because a notification that is collected no longer hears its click.
  let notification: Notification;
  return {
    'shell.chooseFiles': async ({ title, kind }) => {
      const options = fileDialogs[kind];
      if (!options) throw wrong('kind');
      const last = lastFolders.get(kind);
      const start = last === undefined ? {} : { defaultPath: last };
      const chosen = await dialog.showOpenDialog(parent(), { title: text(title, 'title'), ...options, ...start });
      if (chosen.canceled || chosen.filePaths.length === 0) return null;
      lastFolders.set(kind, dirname(chosen.filePaths[0]!));
      return chosen.filePaths;
    },
    'shell.chooseSavePath': async ({ title, suggested, directory }) => {
      const properties = directory
        ? (['showOverwriteConfirmation', 'createDirectory'] as const)
        : (['showOverwriteConfirmation'] as const);
      const chosen = await dialog.showSaveDialog(parent(), {
        title: text(title, 'title'),
        defaultPath: text(suggested, 'suggested'),
        properties: [...properties],
      });
      return chosen.canceled || !chosen.filePath ? null : chosen.filePath;
    },
    'shell.showInFolder': ({ path }) => {
      if (!isAbsolute(text(path, 'path'))) throw wrong('path');
      shell.showItemInFolder(path);
      return null;
    },
    'shell.copyText': async (params) => {
      await clipboard.writeText(text(params.text, 'text'));
      return null;
    },
    'shell.setTheme': ({ theme }) => {
      if (theme !== 'system' && theme !== 'light' && theme !== 'dark') throw wrong('theme');
      nativeTheme.themeSource = theme;
      return null;
    },
    'shell.setMenu': ({ commands }) => {
      setMenu(commands.map(menuCommand), sendCommand);
      return null;
    },
    'shell.notify': ({ title, body, command }) => {
      const [id, shown] = [text(command, 'command'), parent()];
      // Where the system has no notifications, the mark of the window in the task bar has to do.
      shown.flashFrame(true);
      shown.once('focus', () => shown.flashFrame(false));
      notification = new Notification({ title: text(title, 'title'), body: text(body, 'body') });
      notification.on('click', () => {
        shown.show();
        shown.focus();
        sendCommand(id);
      });
      notification.show();
      return null;
    },
    'shell.info': () => ({ version: app.getVersion(), dataDir, platform: process.platform }),
  };
}

function menuCommand({ id, title, menu, shortcut, enabled }: MenuCommand): MenuCommand {
  return {
    id: text(id, 'id'),
    title: text(title, 'title'),
    menu,
    shortcut: shortcut === null ? null : text(shortcut, 'shortcut'),
    enabled: enabled === true,
  };
}

/** The page is ours, but what crosses the border is checked all the same. */
function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrong(name);
  return value;
}
function wrong(name: string): Problem {
  return new Problem(
    'request-invalid',
    `The request to the shell has a wrong ${name}.`,
    'This is a bug of the window; restart the studio.',
  );
}
