// NOTICES.txt of a package has one entry for everything in it that others wrote, with the text of its licence.
import fs from 'node:fs';
import path from 'node:path';
import { readJson, root, SetupError } from '../setup.mjs';
import { cratesFile } from './rust-crates.mjs';

const modules = path.join(root, 'node_modules');
const licences = path.join(root, 'scripts', 'packing', 'licences');
const fonts = path.join(root, 'renderer', 'styles', 'fonts');
/** onnxruntime's npm packages carry no texts; these are of the Python package of the same version. */
const onnxruntimeTextsVersion = '1.30.0';

const bar = '='.repeat(80);
const heading = (name, version, licence) => `${bar}\n${name} ${version} (${licence})\n${bar}`;

/** Reads the entries of a NOTICES.txt. @returns {string[]} "name version" of every entry of a NOTICES.txt */
export function entriesOf(notices) {
  return [...notices.matchAll(/^={80}\n(\S+ \S+) \(.+\)\n={80}$/gm)].map(([, entry]) => entry);
}

/**
 * Writes the text of NOTICES.txt.
 * @param {{ packages: string[], bundled: { name: string, version: string, folder: string }[], fonts: string[], node: { name: string,
 *   version: string, licence: string }, electron: string }} content packages: folders of node_modules in the package; bundled: what the
 *   window, the shell and its preload are made of; fonts: file names; electron: its version
 * @returns {string}
 */
export function writeNotices(content) {
  const own = readJson(path.join(root, 'package.json'));
  const all = new Map();
  const add = (name, version, licence, text) =>
    all.set(`${name} ${version}`, `${heading(name, version, licence)}\n\n${text.replaceAll('\r\n', '\n').trim()}\n`);

  for (const name of content.packages) addPackage(name, path.join(modules, name));
  for (const { name, folder } of content.bundled) addPackage(name, folder);
  for (const file of content.fonts) {
    const name = /^[a-z]+(-mono)?/.exec(file)[0];
    add(`font-${name}`, '1', 'OFL-1.1', read(path.join(fonts, `${name}-LICENSE.txt`), `the font ${file}`));
  }
  add('node', content.node.version, 'MIT and others', content.node.licence);
  add(
    'electron',
    content.electron,
    'MIT and others',
    'The texts of Electron and of all that Chromium is made of lie beside the application: LICENSE.electron.txt and LICENSES.chromium.html.',
  );
  const model = path.join(root, 'resources', 'models');
  add('SmolLM2-135M-Instruct', '1', 'Apache-2.0', read(path.join(model, 'LICENSE-SmolLM2'), 'the embedded model'));
  const head =
    `${own.productName} is licensed under ${own.license}; the text lies beside this file as LICENSE.\n` +
    'It is made with the work of others, which is listed here with its licences.\n';
  const keys = [...all.keys()].sort((a, b) => a.localeCompare(b, 'en'));
  return `${head}\n${keys.map((key) => `- ${key}`).join('\n')}\n\n${keys.map((key) => all.get(key)).join('\n')}`;

  function addPackage(name, folder) {
    const { version, license } = readJson(path.join(folder, 'package.json'));
    const text = textsOf(name, version, folder);
    // A package may leave the name of its licence to the text.
    add(name, version, license ?? text.trim().split('\n')[0], text);
  }
}

function textsOf(name, version, folder) {
  if (name.startsWith('onnxruntime-')) {
    if (version !== onnxruntimeTextsVersion)
      throw new SetupError(
        `${name} is ${version} and the texts in scripts/packing/licences/onnxruntime are of ${onnxruntimeTextsVersion}: take those of ` +
          'the new version out of the Python package onnxruntime.',
      );
    const texts = ['LICENSE', 'ThirdPartyNotices.txt'].map((file) => read(path.join(licences, 'onnxruntime', file), name));
    return (name === 'onnxruntime-node' ? texts : texts.slice(0, 1)).join('\n\n');
  }
  const own = fs
    .readdirSync(folder)
    .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
    .sort()
    .flatMap((file) => filesOf(path.join(folder, file)))
    .map((file) => read(file, name));
  if (own.length === 0) throw new SetupError(`${name} ${version} carries no text of its licence: ${folder} has no LICENSE.`);
  if (name === 'tokenizers') own.push(read(cratesFile, name));
  if (name === 'better-sqlite3')
    own.push('It holds SQLite, whose authors have put it into the public domain: https://www.sqlite.org/copyright.html');
  return own.join('\n\n');
}

/** echarts has a folder of the texts of what it took over. */
function filesOf(file) {
  if (!fs.statSync(file).isDirectory()) return [file];
  return fs
    .readdirSync(file)
    .sort()
    .map((name) => path.join(file, name));
}

function read(file, what) {
  if (!fs.existsSync(file)) throw new SetupError(`The text of the licence of ${what} is missing: ${file}.`);
  return fs.readFileSync(file, 'utf8');
}
