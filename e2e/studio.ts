/** Opens the real studio in Electron on a data folder of its own, and closes what it started. */
import { test as base, _electron, expect, type ElectronApplication, type Page } from 'playwright/test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { AllRequests, Answer, Params, RequestName, Result } from '../engine/contract.ts';

const root = resolve(import.meta.dirname, '..');

export class Studio {
  readonly app: ElectronApplication;
  readonly page: Page;
  readonly dataDir: string;
  /** Lists the complaints of the page. A journey that leaves any has failed. */
  readonly complaints: string[] = [];

  private constructor(app: ElectronApplication, page: Page, dataDir: string) {
    this.app = app;
    this.page = page;
    this.dataDir = dataDir;
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.complaints.push(`${message.type()}: ${message.text()}`);
    });
  }

  static async open(dataDir: string): Promise<Studio> {
    // The first window of a busy machine takes its time.
    const timeout = 300_000;
    const app = await _electron.launch({ args: [root, '--data-dir', dataDir], cwd: root, env: environment(), timeout });
    const page = await app.firstWindow({ timeout });
    const studio = new Studio(app, page, dataDir);
    // What a person waits for too.
    const shown = page.getByRole('heading', { level: 1 }).first().waitFor({ timeout });
    await shown.catch(async (error: unknown) => {
      throw new Error(`The window shows nothing.\n${await studio.#state()}`, { cause: error });
    });
    return studio;
  }

  /** Asks as the page does; a Problem fails the journey. */
  async request<N extends RequestName>(name: N, params: Params<AllRequests, N>): Promise<Result<AllRequests, N>> {
    const answer = (await this.page.evaluate(
      ([name, params]) =>
        (window as unknown as { studio: { request(name: string, params: unknown): unknown } }).studio.request(name, params),
      [name, params] as const,
    )) as Answer<Result<AllRequests, N>>;
    if ('problem' in answer) throw new Error(`${name}: ${answer.problem.code}: ${answer.problem.message}`);
    return answer.ok;
  }

  /** Makes the next dialogs of the shell answer with these paths, because no test can click in a dialog of the system. */
  async answerDialogs(paths: readonly string[]): Promise<void> {
    await this.app.evaluate(({ dialog }, paths) => {
      dialog.showOpenDialog = () => Promise.resolve({ canceled: false, filePaths: [...paths] });
      dialog.showSaveDialog = () => Promise.resolve({ canceled: false, filePath: paths[0]! });
    }, paths);
  }

  /**
   * Acts as if a person had chosen these in a dialog: from then on the page may name them, and `out` as a place to write to.
   */
  async choose(paths: readonly string[], out?: string): Promise<void> {
    await this.answerDialogs(paths);
    await this.request('shell.chooseFiles', { title: '', kind: 'data' });
    if (out === undefined) return;
    await this.answerDialogs([out]);
    await this.request('shell.chooseSavePath', { title: '', suggested: '', directory: false });
  }

  async close(): Promise<void> {
    await this.app.close();
  }

  /** Tells what can be known of a window that shows nothing: its address, its page, its complaints and the log of its host. */
  async #state(): Promise<string> {
    const seconds = (count: number) =>
      new Promise<string>((done) => setTimeout(done, count * 1000, 'The page does not answer.'));
    const content = await Promise.race([this.page.content().catch(String), seconds(10)]);
    const log = join(this.dataDir, 'host', 'log.txt');
    return [
      this.page.url(),
      content,
      ...this.complaints,
      existsSync(log) ? readFileSync(log, 'utf8') : `There is no ${log}.`,
    ].join('\n');
  }
}

function environment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) kept[name] = value;
  delete kept['ELECTRON_RUN_AS_NODE'];
  return { ...kept, LOWRANK_NODE: process.execPath };
}

/** Ends the host of a data folder, and with it its jobs, so that a test leaves no process behind. */
function endHost(dataDir: string): void {
  try {
    const lock = JSON.parse(readFileSync(join(dataDir, 'host', 'lock'), 'utf8')) as { pid: number };
    process.kill(lock.pid, 'SIGKILL');
  } catch {
    // It has gone by itself.
  }
}

export const test = base.extend<{ dataDir: string; studio: Studio }>({
  // eslint-disable-next-line no-empty-pattern -- Playwright reads the fixtures a fixture needs from its first parameter
  dataDir: async ({}, use) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'lowrank-e2e-'));
    await use(dataDir);
    endHost(dataDir);
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  },
  studio: async ({ dataDir }, use) => {
    const studio = await Studio.open(dataDir);
    await use(studio);
    await studio.close();
    expect(studio.complaints).toEqual([]);
  },
});
export { expect };
