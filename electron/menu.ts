/**
 * Sets the application menu: the platform's own roles, and between them the commands of the window, which the page declares.
 */
import { app, Menu, type MenuItemConstructorOptions } from 'electron';
import type { MenuCommand } from '../engine/contract.ts';

export function setMenu(commands: readonly MenuCommand[], send: (id: string) => void): void {
  const items = (menu: MenuCommand['menu']): MenuItemConstructorOptions[] =>
    commands
      .filter((command) => command.menu === menu)
      .map(({ id, title, shortcut, enabled }) => ({
        id,
        label: title,
        enabled,
        click: () => send(id),
        // The page handles the keys itself; the menu only shows them.
        ...(shortcut === null ? {} : { accelerator: acceleratorOf(shortcut), registerAccelerator: false }),
      }));
  const mac = process.platform === 'darwin';
  const separator = { type: 'separator' } as const;
  const template: MenuItemConstructorOptions[] = [
    ...(mac ? [{ role: 'appMenu' } as const] : []),
    { label: '&File', submenu: [...items('File'), separator, { role: mac ? 'close' : 'quit' }] },
    { role: 'editMenu' },
    { label: '&Go', submenu: items('Go') },
    { label: '&Run', submenu: items('Run') },
    {
      label: '&View',
      submenu: [
        ...items('View'),
        separator,
        { role: 'reload' },
        ...(app.isPackaged ? [] : [{ role: 'toggleDevTools' } as const]),
        separator,
        { role: 'resetZoom' },
        { role: 'zoomIn' },
        { role: 'zoomOut' },
        { role: 'togglefullscreen' },
      ],
    },
    { role: 'windowMenu' },
  ];
  Menu.setApplicationMenu(Menu.buildFromTemplate(template));
}

/** Returns a shortcut in Electron's spelling. */
function acceleratorOf(shortcut: string): string {
  return shortcut.replace('Mod', 'CmdOrCtrl').replace('Arrow', '');
}
