/** Opens the one window, closed off: no Node, a context of its own, no way out of the bundled page. */
import { app, BrowserWindow, nativeTheme, type Session } from 'electron';
import { join } from 'node:path';
import { developmentServer, isOurs, origin } from './protocol.ts';

/** The page's own background colours, so that nothing flashes before the first paint. */
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
      // Curves must continue while another window is in front.
      backgroundThrottling: false,
    },
  });
  window.once('ready-to-show', () => window.show());
  // An empty page is opened without `will-navigate`, so it is left again at once.
  window.webContents.on('did-navigate', (_event, url) => {
    if (!isOurs(url)) void window.loadURL(`${origin}/`);
  });
  void window.loadURL(`${origin}/`);
  return window;
}

/**
 * Leaves Chromium no host to reach and no proxy to ask. Its own services call their makers, for instance for a dictionary at
 * every first start, whatever a session or a page is told about spelling. It must be called before the application is ready.
 */
export function denyNetwork(): void {
  const reachable = developmentServer === undefined ? '' : `, EXCLUDE ${new URL(developmentServer).hostname}`;
  app.commandLine.appendSwitch('host-resolver-rules', `MAP * ~NOTFOUND${reachable}`);
  app.commandLine.appendSwitch('no-proxy-server');
}

/** Denies every permission, whoever asks. */
export function denyPermissions(session: Session): void {
  session.setPermissionRequestHandler((_contents, _permission, decide) => decide(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
}

export function denyDownloads(session: Session): void {
  session.on('will-download', (event) => event.preventDefault());
}

/** Keeps a page from leading anywhere else. It applies to every page there could ever be, not only to the one we open. */
export function closeWaysOut(contents: Electron.WebContents): void {
  // WebRTC asks neither the policy of the page nor a permission, and can send without resolving a name.
  contents.setWebRTCIPHandlingPolicy('disable_non_proxied_udp');
  // Without a handler, Electron takes the first device there is.
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
