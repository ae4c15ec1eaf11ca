/**
 * Handles what only the shell can do for the page: dialogs, the clipboard, the menu, notifications, and the theme of the
 * system's own parts. The relay has already checked the shape of each request.
 */
import {
  app,
  clipboard,
  dialog,
  nativeImage,
  nativeTheme,
  Notification,
  shell,
  type BrowserWindow,
  type NativeImage,
  type OpenDialogOptions,
} from 'electron';
import { writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Handlers, ShellRequests } from '../engine/contract.ts';
import { dataEndings } from '../engine/data-files.ts';
import { Problem } from '../engine/problem.ts';
import type { AllowedPaths } from './allowed-paths.ts';
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
      { name: 'Data', extensions: [...dataEndings] },
      { name: 'All files', extensions: ['*'] },
    ],
  },
  folder: { properties: ['openDirectory', 'createDirectory'] },
  // A folder is named by one of its files: outside of macOS no dialog can choose files and folders.
  adapter: {
    properties: ['openFile'],
    filters: [
      { name: 'Adapters', extensions: ['safetensors', 'json', 'gguf'] },
      { name: 'All files', extensions: ['*'] },
    ],
  },
};

/** Limits the characters that a notification of the system is given. */
const longestText = 500;

/**
 * Makes text safe for a notification: Linux reads it as markup, and may follow a link or fetch a picture named in a file's
 * name.
 */
const asText = (text: string): string => text.slice(0, longestText).replaceAll('<', '‹').replaceAll('&', '+');

export function shellHandlers(
  dataDir: string,
  window: () => BrowserWindow | null,
  sendCommand: (id: string) => void,
  allowed: AllowedPaths,
): Handlers<ShellRequests> {
  const parent = (): BrowserWindow => {
    const found = window();
    if (!found) throw new Problem('not-found', 'The window is closed.', 'Open the studio again.');
    return found;
  };
  // Since version 43 Electron opens every dialog at the downloads folder unless it is given another.
  const lastFolders = new Map<FileKind, string>();
  /** Asks for a place to write to. Only a name is suggested; the person chooses the folder. */
  const savePath = async (title: string, suggested: string, directory: boolean): Promise<string | null> => {
    const chosen = await dialog.showSaveDialog(parent(), {
      ...{ title, defaultPath: basename(suggested) },
      properties: ['showOverwriteConfirmation', ...(directory ? (['createDirectory'] as const) : [])],
    });
    return chosen.canceled || !chosen.filePath ? null : chosen.filePath;
  };
  // The variable holds the notification, because one that is collected no longer hears its click.
  let notification: Notification;
  return {
    'shell.chooseFiles': async ({ title, kind }) => {
      const last = lastFolders.get(kind);
      const start = last === undefined ? {} : { defaultPath: last };
      const chosen = await dialog.showOpenDialog(parent(), { title, ...fileDialogs[kind], ...start });
      if (chosen.canceled || chosen.filePaths.length === 0) return null;
      allowed.allow(chosen.filePaths);
      lastFolders.set(kind, dirname(chosen.filePaths[0]!));
      return chosen.filePaths;
    },
    'shell.chooseSavePath': async ({ title, suggested, directory }) => {
      const path = await savePath(title, suggested, directory);
      if (path !== null) allowed.allowToWrite(path);
      return path;
    },
    'shell.saveFile': async ({ title, suggested, content, encoding }) => {
      const path = await savePath(title, suggested, false);
      if (path === null) return null;
      await writeFile(path, content, encoding).catch((cause: unknown) => {
        throw new Problem(
          'folder-unwritable',
          `'${path}' cannot be written.`,
          'Choose another folder, or make room on the disk.',
          { cause },
        );
      });
      return path;
    },
    'shell.showInFolder': async ({ path }) => {
      await allowed.requireToRead([path]);
      shell.showItemInFolder(path);
      return null;
    },
    'shell.copyText': async ({ text }) => {
      await clipboard.writeText(text);
      return null;
    },
    'shell.copyPicture': async ({ picture }) => {
      await copyPicture(Buffer.from(picture, 'base64'));
      return null;
    },
    'shell.setTheme': ({ theme }) => {
      nativeTheme.themeSource = theme;
      return null;
    },
    'shell.setMenu': ({ commands }) => {
      setMenu(commands, sendCommand);
      return null;
    },
    'shell.notify': ({ title, body, command }) => {
      const shown = parent();
      // Where the system has no notifications, the window's mark in the task bar must do.
      shown.flashFrame(true);
      shown.once('focus', () => shown.flashFrame(false));
      notification = new Notification({ title: asText(title), body: asText(body) });
      notification.on('click', () => {
        shown.show();
        shown.focus();
        sendCommand(command);
      });
      notification.show();
      return null;
    },
    'shell.info': () => ({ version: app.getVersion(), dataDir, platform: process.platform }),
  };
}

/**
 * Copies a picture as PNG. An older Electron has no `ClipboardItem`, which therefore is looked up when it is needed: an import by
 * its name would keep the whole shell from starting there.
 */
async function copyPicture(png: Buffer<ArrayBuffer>): Promise<void> {
  const electron = await import('electron');
  if ('ClipboardItem' in electron)
    return clipboard.write([new electron.ClipboardItem({ 'image/png': new Blob([png], { type: 'image/png' }) })]);
  const older = clipboard as unknown as { writeImage(image: NativeImage): void };
  older.writeImage(nativeImage.createFromBuffer(png));
}
