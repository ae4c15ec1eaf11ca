/** The one window, closed off: no Node, its own world, no way out of the bundled page. */
import { app, BrowserWindow, nativeTheme, type Session } from 'electron';
import { join } from 'node:path';
import { origin } from './protocol.ts';

/** The page's own surface colours, so that nothing flashes before the first paint. */
const pageColours = { light: '#f2f3f4', dark: '#141517' };

export function openWindow(session: Session): BrowserWindow {
  const window = new BrowserWindow({
    width: 1280,
    height: 800,
    minWidth: 880,
    minHeight: 560,
    show: false,
    title: 'Lowrank Studio',
    backgroundColor: nativeTheme.shouldUseDarkColors ? pageColours.dark : pageColours.light,
    webPreferences: {
      session,
      preload: join(import.meta.dirname, '../preload/preload.cjs'),
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      webviewTag: false,
      spellcheck: false,
      // Curves go on while another window is in front.
      backgroundThrottling: false,
    },
  });
  window.once('ready-to-show', () => window.show());
  void window.loadURL(`${origin}/`);
  return window;
}

/**
 * Leaves Chromium no host to reach and no proxy to ask: services of its own call their makers, for a dictionary at every first start,
 * whatever a session or a page is told about spelling. Must be called before the application is ready.
 */
export function denyNetwork(): void {
  app.commandLine.appendSwitch('host-resolver-rules', 'MAP * ~NOTFOUND');
  app.commandLine.appendSwitch('no-proxy-server');
}

/** Answers every permission with no, whoever asks. */
export function denyPermissions(session: Session): void {
  session.setPermissionRequestHandler((_contents, _permission, decide) => decide(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
}

/** Holds for every page there could ever be, not only for the one we open. */
export function closeWaysOut(contents: Electron.WebContents): void {
  contents.on('will-navigate', (event) => event.preventDefault());
  contents.on('will-frame-navigate', (event) => event.preventDefault());
  contents.on('will-redirect', (event) => event.preventDefault());
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.setWindowOpenHandler(() => ({ action: 'deny' }));
}
