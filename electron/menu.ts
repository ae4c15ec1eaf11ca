/** The application menu. What it does beyond the platform's own roles is a command of the window, sent by its id. */
import { app, Menu, type MenuItemConstructorOptions } from 'electron';

interface MenuCommand {
  readonly id: string;
  readonly label: string;
  readonly accelerator?: string;
}
const fileCommands: readonly MenuCommand[] = [
  { id: 'new-run', label: 'New run', accelerator: 'CmdOrCtrl+N' },
  { id: 'new-project', label: 'New project', accelerator: 'CmdOrCtrl+Shift+N' },
  { id: 'open-model', label: 'Open a model…', accelerator: 'CmdOrCtrl+O' },
  { id: 'import-data', label: 'Import data…', accelerator: 'CmdOrCtrl+I' },
];
const goCommands: readonly MenuCommand[] = [
  { id: 'go.overview', label: 'Overview', accelerator: 'CmdOrCtrl+1' },
  { id: 'go.models', label: 'Models', accelerator: 'CmdOrCtrl+2' },
  { id: 'go.datasets', label: 'Datasets', accelerator: 'CmdOrCtrl+3' },
  { id: 'go.runs', label: 'Runs', accelerator: 'CmdOrCtrl+4' },
  { id: 'go.compare', label: 'Compare', accelerator: 'CmdOrCtrl+5' },
  { id: 'go.adapters', label: 'Adapters', accelerator: 'CmdOrCtrl+6' },
  { id: 'go.playground', label: 'Playground', accelerator: 'CmdOrCtrl+7' },
  { id: 'go.exports', label: 'Exports', accelerator: 'CmdOrCtrl+8' },
  { id: 'go.first-start', label: 'Welcome and sample' },
];
const viewCommands: readonly MenuCommand[] = [
  { id: 'palette', label: 'All commands', accelerator: 'CmdOrCtrl+K' },
  { id: 'table', label: 'Show the charts as tables', accelerator: 'CmdOrCtrl+T' },
  { id: 'theme.system', label: 'Look: as the system' },
  { id: 'theme.light', label: 'Look: light' },
  { id: 'theme.dark', label: 'Look: dark' },
];

export function setMenu(send: (id: string) => void): void {
  const items = (commands: readonly MenuCommand[]): MenuItemConstructorOptions[] =>
    commands.map(({ id, label, accelerator }) => ({
      id,
      label,
      click: () => send(id),
      // The page handles the keys itself; the menu only shows them.
      ...(accelerator === undefined ? {} : { accelerator, registerAccelerator: false }),
    }));
  const mac = process.platform === 'darwin';
  const template: MenuItemConstructorOptions[] = [
    ...(mac ? [{ role: 'appMenu' } as const] : []),
    { label: '&File', submenu: [...items(fileCommands), { type: 'separator' }, { role: mac ? 'close' : 'quit' }] },
    { role: 'editMenu' },
    { label: '&Go', submenu: items(goCommands) },
    {
      label: '&View',
      submenu: [
        ...items(viewCommands),
        { type: 'separator' },
        { role: 'reload' },
        ...(app.isPackaged ? [] : [{ role: 'toggleDevTools' } as const]),
        { type: 'separator' },
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
