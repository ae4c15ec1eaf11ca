// `node scripts/packing/rust-crates.mjs` (needs cargo and the registry of crates): writes licences/rust-crates.txt, the crates inside
// the native library of `tokenizers` with their licences. Run it after a change of that package's version.
//
// Neither the npm package nor the library has a list. Known are two things: the sources that the library names in its messages
// (crate and version, but only of crates that have any), and what the crate `tokenizers` of the same version depends on. The list is
// the second, on every system we pack for, at the versions of the first where it names one and the newest allowed otherwise.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readJson, root, say } from '../setup.mjs';

const folder = path.join(root, 'node_modules', 'tokenizers');
export const cratesFile = path.join(root, 'scripts', 'packing', 'licences', 'rust-crates.txt');

/** Finds the crates whose sources a native library names. @returns {{ name: string, version: string }[]} */
export function cratesNamedBy(library) {
  const text = fs.readFileSync(library, 'latin1');
  const names = [...text.matchAll(/registry[/\\]src[/\\][^/\\]+[/\\]([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)[/\\]/g)];
  return [...new Map(names.map(([, name, version]) => [`${name} ${version}`, { name, version }])).values()];
}

/** Reads a list of crates. @returns {string[]} "name version" of every crate in the list */
export function cratesListed(text) {
  return [...text.matchAll(/^- (\S+ \S+) \(.+\)$/gm)].map(([, crate]) => crate);
}

function writeCrates() {
  const { version } = readJson(path.join(folder, 'package.json'));
  const libraries = fs.readdirSync(folder).filter((name) => name.endsWith('.node'));
  const everywhere = libraries.flatMap((name) => cratesNamedBy(path.join(folder, name)));
  const named = [...new Map(everywhere.map((crate) => [`${crate.name} ${crate.version}`, crate])).values()];
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'rust-crates-'));
  try {
    fs.mkdirSync(path.join(work, 'src'));
    fs.writeFileSync(path.join(work, 'src', 'lib.rs'), '');
    // Named with their exact versions, so that the resolution is the library's.
    const exact = named.map(
      (crate, at) => `c${at} = { package = "${crate.name}", version = "=${crate.version}", default-features = false }`,
    );
    const manifest = [
      '[package]\nname = "list"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]',
      `tokenizers = "=${version}"`,
      ...['napi', 'napi-derive'].filter((name) => !named.some((crate) => crate.name === name)).map((name) => `${name} = "3"`),
      ...exact,
    ];
    fs.writeFileSync(path.join(work, 'Cargo.toml'), manifest.join('\n') + '\n');
    const cargo = (...args) =>
      execFileSync('cargo', args, { cwd: work, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
    const { packages } = JSON.parse(cargo('metadata', '--format-version', '1'));
    // Only what is linked: not the crates that ran while the library was compiled.
    const tree = cargo('tree', '--edges', 'normal,no-proc-macro', '--target', 'all', '--prefix', 'none', '--format', '{p}');
    const linked = new Set(tree.split('\n').map((line) => line.replace(/ v(\S+).*$/, ' $1')));
    const crates = packages.filter((one) => one.name !== 'list' && linked.has(`${one.name} ${one.version}`));
    const groups = new Map();
    for (const crate of crates) {
      const text =
        licenceTexts(path.dirname(crate.manifest_path)) ||
        `The crate carries no text of its licence. By: ${crate.authors.join(', ')}`;
      groups.set(text, [...(groups.get(text) ?? []), `- ${crate.name} ${crate.version} (${crate.license})`]);
    }
    const head = `The Rust crates that tokenizers ${version} is made of, and the libraries in C and C++ that onig and esaxx-rs hold.`;
    const std = '- std 1 (MIT OR Apache-2.0)';
    const parts = [...groups].map(([text, names]) => `${names.sort().join('\n')}\n\n${text}`).sort();
    fs.writeFileSync(
      cratesFile,
      [
        head,
        `${std}\n\nThe Rust standard library, by its contributors; the terms of both licences stand below.`,
        ...parts,
      ].join(`\n\n${'-'.repeat(80)}\n`) + '\n',
    );
    say(`${crates.length} crates, ${named.length} of them at the version that the library names`);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

/** Every licence and notice of a crate; of several to choose from, the MIT one, which says least. */
function licenceTexts(crate) {
  const files = fs
    .readdirSync(crate, { recursive: true })
    .map(String)
    .filter((name) => /(^|\/)(licen[cs]e|copying|notice)[^/]*$/i.test(name.replaceAll('\\', '/')))
    .filter((name) => fs.statSync(path.join(crate, name)).isFile() && !/\.(rs|toml|json)$/.test(name));
  const mit = files.filter((name) => /mit/i.test(path.basename(name)) && !name.includes(path.sep));
  const inside = files.filter((name) => name.includes(path.sep));
  const chosen = mit.length > 0 ? [...mit, ...inside] : files;
  const read = (name) => fs.readFileSync(path.join(crate, name), 'utf8').replaceAll('\r\n', '\n').trim();
  // Headers in C++ state their own.
  const headers = fs
    .readdirSync(crate, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.hxx'));
  const stated = headers.map((name) => /^\/\*[^]*?\*\//.exec(read(name))?.[0]).filter((text) => text?.includes('Copyright'));
  return [...chosen.sort().map(read), ...stated].join('\n\n');
}

if (process.argv[1] && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) writeCrates();
