/**
 * Starts the shell: one window and a relay to the engine host, and nothing of the product itself. Read it as a table of
 * contents.
 */
import { app, dialog, session, type BrowserWindow } from 'electron';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AllowedPaths } from './allowed-paths.ts';
import { setMenu } from './menu.ts';
import { chooseDataDir, hostOptions, isSmokeTest } from './places.ts';
import { declareScheme, serveRenderer } from './protocol.ts';
import { Relay } from './relay.ts';
import { shellHandlers } from './shell.ts';
import { runSmokeTest } from './smoke.ts';
import { closeWaysOut, denyDownloads, denyNetwork, denyPermissions, openWindow } from './window.ts';

let window: BrowserWindow | null = null;
const dataDir = chooseDataDir();

// These must be set before the application is ready: the sandbox, the scheme, the network, and the data folder, by which a
// second start is recognized. As root Chromium has no sandbox and must be told so (`--no-sandbox`); pages stay without Node
// either way.
if (!app.commandLine.hasSwitch('no-sandbox')) app.enableSandbox();
declareScheme();
denyNetwork();
const unusable = makeDataDir();

if (unusable !== null) {
  // Electron cannot become ready without a folder of its own, so this comes before; on Linux it goes to the terminal.
  dialog.showErrorBox('Lowrank Studio cannot start', unusable);
  app.exit(1);
} else if (app.requestSingleInstanceLock()) {
  app.on('second-instance', focus);
  app.on('web-contents-created', (_event, contents) => closeWaysOut(contents));
  app.on('window-all-closed', () => app.quit());
  // An ES module that awaits `ready` at its top level would wait for ever.
  void app.whenReady().then(start);
} else {
  app.quit();
}

/** Creates the data folder. Returns null, or why the folder cannot be used. */
function makeDataDir(): string | null {
  try {
    mkdirSync(join(dataDir, 'window'), { recursive: true, mode: 0o700 });
    app.setPath('userData', join(dataDir, 'window'));
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `The data folder ${dataDir} cannot be used: ${why}.\nChoose a writable folder with --data-dir or LOWRANK_HOME.`;
  }
}

function start(): void {
  const ours = session.defaultSession;
  denyPermissions(ours);
  denyDownloads(ours);
  serveRenderer(ours, join(import.meta.dirname, '../renderer'));

  const send = (id: string) => relay.emit('shell.command', { id });
  const allowed = new AllowedPaths(async (paths) => (await relay.connect()).request('paths.known', { paths }));
  const relay: Relay = new Relay(
    dataDir,
    hostOptions(),
    shellHandlers(dataDir, () => window, send, allowed),
    allowed,
  );
  setMenu([], send);
  // The engine starts while the page loads.
  relay.connect().catch(() => {});
  window = openWindow(ours);
  relay.attach(window);
  window.on('closed', () => (window = null));

  app.on('will-quit', () => relay.close());
  if (isSmokeTest) void runSmokeTest(window, relay, dataDir);
}

function focus(): void {
  if (window?.isMinimized()) window.restore();
  window?.focus();
}
