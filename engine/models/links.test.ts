/** What in the folder of a model or an adapter is not a file of its own: links out of it, pipes, folders, loops. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { readFingerprint } from '../export/lineage.ts';
import { sizeOf } from '../jobs/export.ts';
import { readRunFolder } from '../jobs/run-folder.ts';
import { openModel } from './open.ts';
import { problemOf } from '../testing/problem-of.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'links-'));
afterAll(() => rmSync(root, { recursive: true }));

function copyOf(from: string): string {
  const folder = mkdtempSync(join(root, 'copy-'));
  cpSync(join(golden, from), folder, { recursive: true });
  return folder;
}

const secret = join(root, 'secret');
writeFileSync(secret, '{"secret": "of this person"}');

/** What can stand where a file should be, and what is said of it. */
const strange: Readonly<Record<string, readonly [put: (path: string) => void, says: RegExp]>> = {
  'a link out of the folder': [(path) => symlinkSync(secret, path), /is a link to '.*secret', which lies outside/],
  'a link to a device': [(path) => symlinkSync('/dev/zero', path), /is a link to '\/dev\/zero', which lies outside/],
  'a link by way of one in the folder': [
    (path) => {
      symlinkSync(secret, `${path}.other`);
      symlinkSync(`${path}.other`, path);
    },
    /is a link to '.*secret'/,
  ],
  'a pipe': [(path) => execFileSync('mkfifo', [path]), /is a pipe where a file should be/],
  'a folder': [(path) => mkdirSync(path), /is a folder where a file should be/],
  'a link to itself': [(path) => symlinkSync(path, path), /is a link to a file that is not there|leads nowhere|no config/],
};

describe.skipIf(process.platform === 'win32').each(Object.entries(strange))('%s is refused', (_, [put, says]) => {
  const model = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'];
  const others = ['added_tokens.json', 'generation_config.json', 'chat_template.jinja', 'chat_template.json', 'README.md'];
  it.each([...model, ...others])('as %s of a model', (name) => {
    const folder = copyOf('llama-tied/model');
    writeFileSync(join(folder, 'tokenizer.json'), '{}');
    rmSync(join(folder, name), { force: true });
    put(join(folder, name));
    const { message } = problemOf(() => openModel(folder));
    expect(message).toMatch(says);
    expect(message).toContain(name);
  });

  it('as a shard, and as what names the shards', () => {
    const folder = copyOf('llama-tied/model');
    rmSync(join(folder, 'model.safetensors'));
    writeFileSync(join(folder, 'model.safetensors.index.json'), '{"weight_map": {"a": "part.safetensors"}}');
    put(join(folder, 'part.safetensors'));
    expect(problemOf(() => openModel(folder)).message).toMatch(/part\.safetensors' is|lacks the shard 'part\.safetensors'/);
    rmSync(join(folder, 'model.safetensors.index.json'));
    put(join(folder, 'model.safetensors.index.json'));
    expect(problemOf(() => openModel(folder)).message).toMatch(/index\.json' is/);
  });

  it.each(['adapter_config.json', 'adapter_model.safetensors'])('as %s of an adapter', (name) => {
    const folder = copyOf('lora-plus/adapter');
    rmSync(join(folder, name));
    put(join(folder, name));
    const base = openModel(join(golden, 'llama-tied/model'));
    expect(problemOf(() => readAdapter(folder, base)).message).toContain(`${name}' is `);
  });

  it("as what a cache's revision is named in, and as a record of a run", () => {
    const cache = join(mkdtempSync(join(root, 'hub-')), 'models--someone--tiny');
    cpSync(join(golden, 'llama-tied/model'), join(cache, 'snapshots/a'), { recursive: true });
    cpSync(join(golden, 'llama-tied/model'), join(cache, 'snapshots/b'), { recursive: true });
    mkdirSync(join(cache, 'refs'));
    put(join(cache, 'refs/main'));
    expect(problemOf(() => openModel(cache)).message).toContain("refs/main' is");
    put(join(cache, 'run.json'));
    expect(readRunFolder(cache)).toBeNull();
  });
});

describe.skipIf(process.platform === 'win32')('links', () => {
  it('within a folder, and from a snapshot or a folder in it to the blobs of its cache, are followed', () => {
    const inside = copyOf('llama-tied/model');
    renameSync(join(inside, 'config.json'), join(inside, 'own.json'));
    symlinkSync('own.json', join(inside, 'config.json'));
    expect(openModel(inside).info.family).toBe('llama');
    const around = join(mkdtempSync(join(root, 'mine-')), 'mine');
    symlinkSync(inside, around);
    expect(openModel(around).info.family).toBe('llama');

    const cache = join(mkdtempSync(join(root, 'hub-')), 'models--someone--tiny');
    mkdirSync(join(cache, 'blobs'), { recursive: true });
    for (const place of ['snapshots/abc', 'snapshots/abc/sub']) {
      const folder = join(cache, place);
      cpSync(join(golden, 'llama-tied/model'), folder, { recursive: true });
      renameSync(join(folder, 'model.safetensors'), join(cache, 'blobs/f00'));
      symlinkSync(join(cache, 'blobs/f00'), join(folder, 'model.safetensors'));
      expect(openModel(folder).info.family).toBe('llama');
    }
  });

  it("to another model's cache, or from a snapshot to what lies beside the blobs, are not", () => {
    const other = copyOf('llama-tied/model');
    const cache = join(mkdtempSync(join(root, 'hub-')), 'models--someone--tiny');
    const folder = join(cache, 'snapshots/abc');
    cpSync(other, folder, { recursive: true });
    for (const target of [join(cache, 'blobs-of-mine'), join(root, 'models--me--private', 'blobs', 'f00')]) {
      cpSync(join(other, 'config.json'), target);
      rmSync(join(folder, 'config.json'));
      symlinkSync(target, join(folder, 'config.json'));
      expect(problemOf(() => openModel(folder)).message).toContain('lies outside');
    }
  });

  it('to a folder of a model elsewhere are not taken for the one model in a folder', () => {
    const around = mkdtempSync(join(root, 'around-'));
    symlinkSync(copyOf('llama-tied/model'), join(around, 'model'));
    expect(problemOf(() => openModel(around)).message).toContain('lies outside');
  });

  it('in a circle do not keep the size of a folder from being known', () => {
    const folder = copyOf('llama-tied/model');
    const before = sizeOf(folder);
    for (const name of ['a', 'b', 'c']) symlinkSync('.', join(folder, name));
    expect(sizeOf(folder)).toBe(before);
  });

  it('to nothing are named where something else is asked: who made a pipe', async () => {
    const pipe = join(root, 'pipe.gguf');
    execFileSync('mkfifo', [pipe]);
    await expect(readFingerprint(pipe)).rejects.toThrow(/is not a file/);
    expect(problemOf(() => openModel(pipe)).message).toContain('is not a file');
  });
});
