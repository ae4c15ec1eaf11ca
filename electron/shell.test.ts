import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { AllowedPaths } from './allowed-paths.ts';

const shown: object[] = [];
const dialogs = vi.hoisted(() => ({ showOpenDialog: vi.fn(), showSaveDialog: vi.fn() }));
const copied = vi.hoisted(() => [] as unknown[]);
vi.mock('electron', () => ({
  app: { getVersion: () => '1' },
  // An older Electron, which has no `ClipboardItem`.
  clipboard: { writeImage: (image: unknown) => void copied.push(image) },
  nativeImage: { createFromBuffer: (bytes: Buffer) => bytes.toString() },
  dialog: dialogs,
  Notification: class {
    constructor(options: object) {
      shown.push(options);
    }
    on(): void {}
    show(): void {}
  },
  shell: { showItemInFolder: () => undefined },
}));
const { shellHandlers } = await import('./shell.ts');

const window = { flashFrame: () => undefined, once: () => undefined };
const allowed = new AllowedPaths(() => Promise.resolve([]));
const shell = shellHandlers(
  '/data',
  () => window as never,
  () => undefined,
  allowed,
);

test('a notification shows what stands in a file as text, and not all of it', async () => {
  await shell['shell.notify']({ title: 'a<b', body: `<img src="http://a/">&lt;${'x'.repeat(10_000)}`, command: 'c' });
  expect(shown).toEqual([{ title: 'a‹b', body: expect.stringMatching(/^‹img [^<&]{400,500}$/) as string }]);
});

test('what a dialog answers may be named, a cancelled one allows nothing', async () => {
  dialogs.showOpenDialog.mockResolvedValueOnce({ canceled: true, filePaths: ['/cancelled'] });
  expect(await shell['shell.chooseFiles']({ title: '', kind: 'model' })).toBeNull();
  dialogs.showOpenDialog.mockResolvedValueOnce({ canceled: false, filePaths: ['/chosen'] });
  expect(await shell['shell.chooseFiles']({ title: '', kind: 'model' })).toEqual(['/chosen']);
  await expect(shell['shell.showInFolder']({ path: '/cancelled' })).rejects.toMatchObject({ code: 'not-allowed' });
  expect(await shell['shell.showInFolder']({ path: '/chosen' })).toBeNull();
});

test('the page suggests a name to write to, and no folder', async () => {
  dialogs.showSaveDialog.mockResolvedValueOnce({ canceled: true });
  await shell['shell.chooseSavePath']({ title: '', suggested: '/home/me/.bashrc', directory: false });
  expect(dialogs.showSaveDialog).toHaveBeenCalledWith(window, expect.objectContaining({ defaultPath: '.bashrc' }));
});

test('a file is written where a person says, as text or from Base64, and nowhere when that is cancelled', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-shell-'));
  const path = join(folder, 'report');
  const save = (content: string, encoding: 'utf8' | 'base64') =>
    shell['shell.saveFile']({ title: '', suggested: 'report.md', content, encoding });
  dialogs.showSaveDialog.mockResolvedValueOnce({ canceled: true });
  expect(await save('x', 'utf8')).toBeNull();
  dialogs.showSaveDialog.mockResolvedValue({ canceled: false, filePath: path });
  expect(await save('# Größe', 'utf8')).toBe(path);
  expect(readFileSync(path, 'utf8')).toBe('# Größe');
  await save(Buffer.from([1, 255]).toString('base64'), 'base64');
  expect([...readFileSync(path)]).toEqual([1, 255]);
  dialogs.showSaveDialog.mockResolvedValue({ canceled: false, filePath: folder });
  await expect(save('x', 'utf8')).rejects.toMatchObject({ code: 'folder-unwritable' });
  rmSync(folder, { recursive: true });
});

test('a picture is copied where Electron has no ClipboardItem', async () => {
  await shell['shell.copyPicture']({ picture: Buffer.from('png').toString('base64') });
  expect(copied).toEqual(['png']);
});

test('only what every Electron has is imported by its name', () => {
  const files = readdirSync('electron').filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  for (const name of files) {
    const code = readFileSync(join('electron', name), 'utf8');
    for (const [, names] of code.matchAll(/import \{([^}]*)\} from 'electron'/g))
      expect(names, name).not.toMatch(/\bClipboardItem\b/);
  }
});
