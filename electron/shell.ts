/** What only the shell can do for the page: dialogs, the clipboard, the theme of the system's own parts. */
import { app, clipboard, dialog, nativeTheme, shell, type BrowserWindow, type OpenDialogOptions } from 'electron';
import { isAbsolute } from 'node:path';
import type { Handlers, ShellRequests } from '../engine/contract.ts';
import { Problem } from '../engine/problem.ts';

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

export function shellHandlers(dataDir: string, window: () => BrowserWindow | null): Handlers<ShellRequests> {
  const parent = (): BrowserWindow => {
    const found = window();
    if (!found) throw new Problem('not-found', 'The window is closed.', 'Open the studio again.');
    return found;
  };
  return {
    'shell.chooseFiles': async ({ title, kind }) => {
      const options = fileDialogs[kind];
      if (!options) throw wrong('kind');
      const chosen = await dialog.showOpenDialog(parent(), { title: text(title, 'title'), ...options });
      return chosen.canceled ? null : chosen.filePaths;
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
    'shell.copyText': (params) => {
      void clipboard.writeText(text(params.text, 'text'));
      return null;
    },
    'shell.setTheme': ({ theme }) => {
      if (theme !== 'system' && theme !== 'light' && theme !== 'dark') throw wrong('theme');
      nativeTheme.themeSource = theme;
      return null;
    },
    'shell.info': () => ({ version: app.getVersion(), dataDir, platform: process.platform }),
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
