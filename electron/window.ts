/** Opens the one window, closed off: no Node, a context of its own, no way out of the bundled page. */
import { app, BrowserWindow, dialog, nativeTheme, type Session } from 'electron';
import { join } from 'node:path';
import { developmentServer, isOurs, origin } from './protocol.ts';

/** Limits how often a page that has ended is loaded again within the time; after that a person is asked first. */
const pageEnds = { count: 3, withinMilliseconds: 60_000 };

/** Gives the time after which a page that has ended is loaded again. */
const reloadMilliseconds = 500;

/** Is the code of `net::ERR_ABORTED`, which means that another page is loaded instead. */
const aborted = -3;

/** Holds the page's own background colours, so that nothing flashes before the first paint. */
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
    if (!isOurs(url)) load(window);
  });
  keepPage(window);
  load(window);
  return window;
}

function load(window: BrowserWindow): void {
  // Failures are reported by `did-fail-load`.
  if (!window.isDestroyed()) window.loadURL(`${origin}/`).catch(() => {});
}

/**
 * Loads the page again where it could not be loaded or its process has ended, for example for lack of memory. The engine and
 * its runs continue meanwhile, but the window would stay empty. A page that ends repeatedly is loaded only when a person asks
 * for it.
 */
function keepPage(window: BrowserWindow): void {
  let ends: number[] = [];
  const ended = (why: string) => {
    const now = performance.now();
    ends = [...ends.filter((at) => now - at < pageEnds.withinMilliseconds), now];
    console.error(`The page of the window has ended: ${why}.`);
    if (ends.length <= pageEnds.count) setTimeout(load, reloadMilliseconds, window);
    else void askToLoad(window, why);
  };
  window.webContents.on('render-process-gone', (_event, { reason, exitCode }) => {
    if (reason !== 'clean-exit') ended(`${reason}, exit code ${exitCode}`);
  });
  window.webContents.on('did-fail-load', (_event, code, description, _url, isMainFrame) => {
    if (isMainFrame && code !== aborted) ended(description);
  });
}

async function askToLoad(window: BrowserWindow, why: string): Promise<void> {
  if (window.isDestroyed()) return;
  window.show();
  const { response } = await dialog.showMessageBox(window, {
    type: 'error',
    message: 'What this window shows has ended several times.',
    detail: `The last time: ${why}. The engine is another process: runs go on, and nothing is lost.`,
    buttons: ['Show it again', 'Close the window'],
    cancelId: 1,
  });
  if (response === 0) load(window);
  else window.close();
}

/**
 * Leaves Chromium no host to reach and no proxy to ask. Its own services contact their maker, for example for a dictionary at
 * every first start, whatever the spelling settings of a session or a page are. It must be called before the application is
 * ready.
 */
export function denyNetwork(): void {
  const reachable = developmentServer === undefined ? '' : `, EXCLUDE ${new URL(developmentServer).hostname}`;
  app.commandLine.appendSwitch('host-resolver-rules', `MAP * ~NOTFOUND${reachable}`);
  app.commandLine.appendSwitch('no-proxy-server');
}

/** Denies every permission. */
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
