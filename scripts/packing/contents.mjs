// Says what a packed application may hold, and what must be in it. It goes by the files alone, so it also checks what
// electron-builder did.
import { listPackage } from '@electron/asar';
import fs from 'node:fs';
import path from 'node:path';
import { readJson } from '../setup.mjs';
import { entriesOf } from './notices.mjs';
import { cratesListed, cratesNamedBy } from './rust-crates.mjs';

/** Of each dependency the files that run. Everything else served its installation, its build or its readers. */
const dependencies = {
  '@huggingface/jinja': /^(dist\/[^/]+\.c?js|package\.json|LICENSE)$/,
  ajv: /^(dist\/.+\.js(on)?|package\.json|LICENSE)$/,
  'better-sqlite3': /^(lib\/.+\.js|prebuilds\/[^/]+\.node|package\.json|LICENSE)$/,
  eld: /^(src\/.+\.js|package\.json|LICENSE)$/,
  'fast-deep-equal': /^(index\.js|package\.json|LICENSE)$/,
  'fast-uri': /^(index\.js|lib\/[^/]+\.js|package\.json|LICENSE)$/,
  'json-schema-traverse': /^(index\.js|package\.json|LICENSE)$/,
  'onnxruntime-common': /^(dist\/.+\.(js|json)|package\.json)$/,
  'onnxruntime-node': /^(dist\/[^/]+\.js|bin\/napi-v\d+\/[^/]+\/[^/]+\/[^/]+\.(node|dll|dylib|so(\.\d+)*)|package\.json)$/,
  'require-from-string': /^(index\.js|package\.json|license)$/,
  tokenizers: /^(index\.js|[^/]+\.node|package\.json|LICENSE)$/,
};
const withNativeLibrary = ['better-sqlite3', 'onnxruntime-node', 'tokenizers'];
const engine = /^engine\/(?!golden\/|testing\/)(?!.*\.test\.ts$).+\.ts$/;
const archived = /^(package\.json|out\/(main|preload|renderer)\/.+\.(js|cjs|css|html|woff2))$/;

/** Lists packages. @returns {string[]} the folders of node_modules in an application, by the name of their package */
export function packagesIn(resources) {
  const modules = path.join(resources, 'app.asar.unpacked', 'node_modules');
  return fs
    .readdirSync(modules)
    .flatMap((name) =>
      name.startsWith('@') ? fs.readdirSync(path.join(modules, name)).map((one) => `${name}/${one}`) : [name],
    );
}

/** Lists fonts. @returns {string[]} the names of the fonts in an application's archive */
export function fontsIn(resources) {
  return filesInArchive(resources)
    .filter((file) => file.endsWith('.woff2'))
    .map((file) => path.posix.basename(file));
}

/**
 * Checks what a packed application holds.
 * @param {string} resources the folder `resources` of a packed application (macOS: `Contents/Resources`)
 * @param {{ name: string, version: string }[]} bundled the packages that the window and the shell are made of
 * @param {string} platform as `process.platform` says it
 * @returns {string[]} one sentence for each thing that should not be there or is missing
 */
export function contentProblems(resources, bundled, platform = process.platform) {
  const unpacked = path.join(resources, 'app.asar.unpacked');
  const problems = [];
  for (const file of filesUnder(unpacked))
    if (!isExpected(file)) problems.push(`${file} does not belong into the application.`);
  const outside = new Set(filesUnder(unpacked));
  for (const file of filesInArchive(resources))
    if (!outside.has(file) && !archived.test(file)) problems.push(`${file} does not belong into the application's archive.`);

  const libraries = filesUnder(unpacked).filter((file) => file.endsWith('.node'));
  for (const file of libraries)
    if (!file.includes(platform) || file.includes('musl')) problems.push(`${file} is not for this system (${platform}).`);
  for (const name of packagesIn(resources).filter((one) => withNativeLibrary.includes(one)))
    if (!libraries.some((file) => file.startsWith(`node_modules/${name}/`) && file.includes(platform)))
      problems.push(`${name} has no native library for this system (${platform}).`);

  for (const file of ['LICENSE', 'NOTICES.txt'])
    if (!fs.existsSync(path.join(resources, file))) problems.push(`${file} is missing in the application.`);
  const notices = fs.existsSync(path.join(resources, 'NOTICES.txt'))
    ? fs.readFileSync(path.join(resources, 'NOTICES.txt'), 'utf8')
    : '';
  const entries = new Set(entriesOf(notices));
  const inside = packagesIn(resources).map((name) => ({
    name,
    version: readJson(path.join(unpacked, 'node_modules', name, 'package.json'))?.version,
  }));
  for (const { name, version } of [...inside, ...bundled])
    if (!entries.has(`${name} ${version}`)) problems.push(`NOTICES.txt has no entry for ${name} ${version}.`);
  for (const name of [
    'node',
    'electron',
    'SmolLM2-135M-Instruct',
    ...fontsIn(resources).map((file) => `font-${/^[a-z]+(-mono)?/.exec(file)[0]}`),
  ])
    if (![...entries].some((entry) => entry.startsWith(`${name} `))) problems.push(`NOTICES.txt has no entry for ${name}.`);

  const crates = new Set(cratesListed(notices));
  for (const library of libraries)
    for (const { name, version } of cratesNamedBy(path.join(unpacked, library)))
      if (!crates.has(`${name} ${version}`))
        problems.push(
          `NOTICES.txt has no entry for the Rust crate ${name} ${version} inside ${library}: run scripts/packing/rust-crates.mjs.`,
        );
  return problems;
}

function isExpected(file) {
  if (file === 'package.json' || engine.test(file)) return true;
  const [, name, rest] = /^node_modules\/((?:@[^/]+\/)?[^/]+)\/(.+)$/.exec(file) ?? [];
  return dependencies[name]?.test(rest) ?? false;
}

function filesUnder(folder) {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'));
}

/** Files of the archive; a name without a dot in its last part is a folder here, since no file of ours has one. */
function filesInArchive(resources) {
  return listPackage(path.join(resources, 'app.asar'), {})
    .map((name) => name.replaceAll(path.sep, '/').replace(/^\//, ''))
    .filter(
      (name) => !name.startsWith('node_modules/') && !name.startsWith('engine/') && path.posix.basename(name).includes('.'),
    );
}
