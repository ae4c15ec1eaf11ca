/** The one window, closed off: no Node, its own world, no way out of the bundled page. */
import { app, BrowserWindow, nativeTheme, type Session } from 'electron';
import { join } from 'node:path';
import { developmentServer, isOurs, origin } from './protocol.ts';

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
  // An empty page is gone to without `will-navigate`; it is left again at once.
  window.webContents.on('did-navigate', (_event, url) => {
    if (!isOurs(url)) void window.loadURL(`${origin}/`);
  });
  void window.loadURL(`${origin}/`);
  return window;
}

/**
 * Leaves Chromium no host to reach and no proxy to ask: services of its own call their makers, for a dictionary at every first start,
 * whatever a session or a page is told about spelling. Must be called before the application is ready.
 */
export function denyNetwork(): void {
  const reachable = developmentServer === undefined ? '' : `, EXCLUDE ${new URL(developmentServer).hostname}`;
  app.commandLine.appendSwitch('host-resolver-rules', `MAP * ~NOTFOUND${reachable}`);
  app.commandLine.appendSwitch('no-proxy-server');
}

/** Answers every permission with no, whoever asks. */
export function denyPermissions(session: Session): void {
  session.setPermissionRequestHandler((_contents, _permission, decide) => decide(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
}

export function denyDownloads(session: Session): void {
  session.on('will-download', (event) => event.preventDefault());
}

/** Holds for every page there could ever be, not only for the one we open. */
export function closeWaysOut(contents: Electron.WebContents): void {
  // WebRTC asks neither the policy of the page nor a permission, and sends where no name has to be found.
  contents.setWebRTCIPHandlingPolicy('disable_non_proxied_udp');
  // With nobody asked, Electron takes the first device there is.
  contents.on('select-bluetooth-device', (event, _devices, choose) => {
    event.preventDefault();
    choose('');
  });
  contents.on('will-navigate', (event) => event.preventDefault());
  contents.on('will-frame-navigate', (event) => event.preventDefault());
  contents.on('will-redirect', (event) => event.preventDefault());
  contents.on('will-attach-webview', (event) => event.preventDefault());
  contents.setWindowOpenHandler(() => ({ action: 'deny' }));
}
