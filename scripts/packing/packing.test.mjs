// What is shipped: another Electron than the pinned one, a file that does not belong there, work without its notice and a fuse that is
// not as asked for are each refused by name.
import { createPackage } from '@electron/asar';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hasIntegrity } from '../integrity.mjs';
import { readJson, root } from '../setup.mjs';
import { contentProblems } from './contents.mjs';
import { fuseProblems } from './fuses.mjs';
import { writeNotices } from './notices.mjs';
import { runtimeToPack } from './runtime.mjs';

let folder;
beforeEach(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'packing-'))));
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const write = (file, text = '') => {
  fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
  fs.writeFileSync(path.join(folder, file), text);
};

describe('the Electron of a package', () => {
  const found = (kind, version) => {
    write('version', version);
    return { kind, version: '45.0.0', dist: folder };
  };

  test('the pinned version is packed under the release names', () => {
    expect(runtimeToPack(found('own', '45.0.0'), '45.0.0', false)).toEqual({ label: '' });
    expect(runtimeToPack(found('own', 'v45.0.0\n'), '45.0.0', true)).toEqual({ label: '' });
  });

  test.each([
    ['a stand-in of another version', 'stand-in', '33.2.1'],
    ['a stand-in of the same version', 'stand-in', '45.0.0'],
    ['another version of its own', 'own', '45.0.1'],
  ])('%s is refused, and named so where it is allowed', (_what, kind, version) => {
    expect(() => runtimeToPack(found(kind, version), '45.0.0', false)).toThrow(
      /packed with Electron 45\.0\.0 only, and here is /,
    );
    expect(runtimeToPack(found(kind, version), '45.0.0', true)).toEqual({ label: '-stand-in' });
  });

  test('a folder that does not say its version is refused even then', () => {
    expect(() => runtimeToPack({ kind: 'own', version: '45.0.0', dist: folder }, '45.0.0', true)).toThrow(
      /none that names its version/,
    );
  });

  test('a download with other bytes is not the stand-in', async () => {
    write('a.tgz', 'abc');
    // SHA-512 of "abc", from FIPS 180.
    const abc =
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f';
    const integrity = `sha512-${Buffer.from(abc, 'hex').toString('base64')}`;
    expect(await hasIntegrity(path.join(folder, 'a.tgz'), integrity)).toBe(true);
    write('a.tgz', 'abd');
    expect(await hasIntegrity(path.join(folder, 'a.tgz'), integrity)).toBe(false);
  });
});

describe('the content of a package', () => {
  const jinja = 'app.asar.unpacked/node_modules/@huggingface/jinja';
  const content = (packages, bundled = []) =>
    writeNotices({ packages, bundled, fonts: ['inter-x.woff2'], node: { version: '24', licence: 'text' }, electron: '45' });

  beforeEach(async () => {
    write('app.asar.unpacked/package.json', '{}');
    write('app.asar.unpacked/engine/host.ts');
    write(`${jinja}/dist/index.js`);
    write(`${jinja}/LICENSE`);
    fs.copyFileSync(path.join(root, 'node_modules/@huggingface/jinja/package.json'), path.join(folder, jinja, 'package.json'));
    write('LICENSE');
    write('NOTICES.txt', content(['@huggingface/jinja']));
    write('archive/out/main/main.js');
    write('archive/out/renderer/assets/inter-x.woff2');
    await createPackage(path.join(folder, 'archive'), path.join(folder, 'app.asar'));
  });

  test('a sound package has nothing to tell', () => {
    expect(contentProblems(folder, [])).toEqual([]);
  });

  test.each([
    'node_modules/adm-zip/adm-zip.js',
    'node_modules/onnxruntime-node/script/install.js',
    'node_modules/better-sqlite3/deps/sqlite3/sqlite3.c',
    'node_modules/better-sqlite3/src/util/data.cpp',
    'node_modules/better-sqlite3/binding.gyp',
    'node_modules/@huggingface/jinja/src/ast.ts',
    'node_modules/@huggingface/jinja/README.md',
    'node_modules/@huggingface/jinja/node_modules/x/index.js',
    'node_modules/.package-lock.json',
    'engine/data/mask.test.ts',
    'engine/testing/tiny.ts',
    'engine/formats/quants/fixtures.py',
    '.npmrc',
  ])('%s does not belong there', (file) => {
    write(`app.asar.unpacked/${file}`, '{}');
    expect(contentProblems(folder, [])).toContain(`${file} does not belong into the application.`);
  });

  test('a map in the archive does not belong there', async () => {
    write('archive/out/renderer/assets/index.js.map');
    await createPackage(path.join(folder, 'archive'), path.join(folder, 'app.asar'));
    expect(contentProblems(folder, [])).toEqual([
      "out/renderer/assets/index.js.map does not belong into the application's archive.",
    ]);
  });

  test('a package, a bundled package, a font and Node need an entry of their version', () => {
    const bundled = [{ name: 'svelte', version: '5.0.0' }];
    write('NOTICES.txt', content([]).replaceAll('node 24', 'nodes 24').replaceAll('font-inter', 'font-interim'));
    expect(contentProblems(folder, bundled)).toEqual([
      `NOTICES.txt has no entry for @huggingface/jinja ${readJson(path.join(folder, jinja, 'package.json')).version}.`,
      'NOTICES.txt has no entry for svelte 5.0.0.',
      'NOTICES.txt has no entry for node.',
      'NOTICES.txt has no entry for font-inter.',
    ]);
  });

  test('every Rust crate that a native library names needs an entry', () => {
    write(
      'app.asar.unpacked/node_modules/tokenizers/tokenizers.linux-x64-gnu.node',
      '\0/usr/local/cargo/registry/src/index.crates.io-1949cf8c6b5b557f/no-such-crate-1.2.3/src/lib.rs\0',
    );
    write(
      'app.asar.unpacked/node_modules/tokenizers/package.json',
      JSON.stringify(readJson('node_modules/tokenizers/package.json')),
    );
    write('NOTICES.txt', content(['@huggingface/jinja', 'tokenizers']));
    expect(contentProblems(folder, [], 'linux')).toEqual([
      expect.stringContaining('no entry for the Rust crate no-such-crate 1.2.3'),
    ]);
  });

  test('native libraries of another system are refused, and those of this one are missed', () => {
    const sqlite = 'node_modules/better-sqlite3';
    write(`app.asar.unpacked/${sqlite}/prebuilds/linux-x64.node`);
    write(`app.asar.unpacked/${sqlite}/prebuilds/linuxmusl-x64.node`);
    write(`app.asar.unpacked/${sqlite}/package.json`, JSON.stringify(readJson(`${sqlite}/package.json`)));
    write('NOTICES.txt', content(['@huggingface/jinja', 'better-sqlite3']));
    const musl = `${sqlite}/prebuilds/linuxmusl-x64.node is not for this system (linux).`;
    expect(contentProblems(folder, [], 'linux')).toEqual([musl]);
    expect(contentProblems(folder, [], 'win32').sort()).toEqual([
      'better-sqlite3 has no native library for this system (win32).',
      `${sqlite}/prebuilds/linux-x64.node is not for this system (win32).`,
      `${sqlite}/prebuilds/linuxmusl-x64.node is not for this system (win32).`,
    ]);
  });

  test('the notices hold the texts, and a package without one is refused', () => {
    const text = content(['onnxruntime-node', 'better-sqlite3', 'tokenizers']);
    for (const part of ['Microsoft Corporation', 'SQLite, whose authors', '- onig_sys ', 'K.Kosako', 'SIL OPEN FONT LICENSE'])
      expect(text).toContain(part);
    write('bare/package.json', '{ "name": "bare", "version": "1.0.0", "license": "MIT" }');
    expect(() => content([], [{ name: 'bare', version: '1.0.0', folder: path.join(folder, 'bare') }])).toThrow(
      /bare 1\.0\.0 carries no text of its licence/,
    );
  });
});

test('a fuse that is not as asked for is named', async () => {
  // The wire as @electron/fuses finds it: a sentinel, the version, the count, and a character for each fuse.
  write('electron', `..dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX\x01\x08${'01100001'}..`);
  const file = path.join(folder, 'electron');
  expect(await fuseProblems(file, { runAsNode: false, enableCookieEncryption: true, onlyLoadAppFromAsar: true })).toEqual([
    expect.stringContaining('The fuse onlyLoadAppFromAsar is DISABLE'),
  ]);
  expect(await fuseProblems(file, { noSuchFuse: true })).toEqual([expect.stringContaining('The fuse noSuchFuse is unknown')]);
});
