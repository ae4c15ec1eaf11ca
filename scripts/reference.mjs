// `npm run reference` writes docs/reference from the code: recipe fields, command line, folders and tables. With `--check` it writes
// nothing and fails where a page is not what the code says.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { exitOf, root, setupOrExit } from './setup.mjs';

const folder = path.join(root, 'docs', 'reference');
const isCheck = process.argv.includes('--check');
const { node } = await setupOrExit({});
// The engine's modules are TypeScript, which an older Node cannot load.
if (Number(process.versions.node.split('.')[0]) < 24)
  process.exit(await exitOf(spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' })));

const ts = (await import('typescript')).default;
const engine = (file) => import(pathToFileURL(path.join(root, 'engine', file)).href);
const pages = {
  'recipe.md': await recipePage(),
  'command-line.md': await commandLinePage(),
  'run-folder.md': typesPage(
    'The folder of a run',
    [
      '`run.json` is a `RunRecord` with the complete [recipe](recipe.md). Every line of `metrics.jsonl` is a `MetricRow`: an optimizer step or an evaluation. Every line of',
      '`events.jsonl` is a `RunEvent`. `evaluation-rows.json`, an `EvaluatedRows`, holds the losses of the newest evaluation. `checkpoints/` holds [checkpoints](checkpoint.md), and `adapter/` holds the adapter in the format of PEFT once the run has finished. `run.lock` is a',
      '`LockHolder` and exists only while a job trains in the folder: it keeps other jobs out, is removed when the job ends, and is ignored once the process that it names has ended.',
      '',
      'The studio follows the folder, whoever writes it. A line counts once its end is written. `run.json` is written whole before a session begins; then `metrics.jsonl` is cut back to the',
      'steps of the checkpoint from which the run continues, and a `BeginEvent` says so before any step is added. Steps that a checkpoint covers are never removed.',
    ],
    [
      ['engine/jobs/run-folder.ts', 'RunRecord'],
      ['engine/jobs/run-folder.ts', 'RunEvent'],
      ['engine/jobs/run-folder.ts', 'EvaluatedRows'],
      ['engine/contract/runs.ts', 'MetricRow'],
      ['engine/lock.ts', 'LockHolder'],
    ],
  ),
  'checkpoint.md': typesPage(
    'A checkpoint',
    [
      '`checkpoints/step-000020/` holds the adapter as PEFT stores it, the two moments of Adam in `optimizer.safetensors`, and `state.json`, which',
      'is a `StateFile` and `sha256`, the hash of its other fields. A checkpoint counts only where every file that is listed has its size and hash.',
    ],
    [['engine/training/checkpoint.ts', 'StateFile']],
  ),
  'lowrank-json.md': typesPage(
    '`lowrank.json`',
    [
      'An exported folder says in `lowrank.json`, which is a `Manifest`, where it came from, how it was proved, and the hash of every file.',
    ],
    [['engine/export/manifest.ts', 'Manifest']],
  ),
  'database.md': await databasePage(),
};

const stale = Object.entries(pages).filter(([name, text]) => readPage(name) !== text);
const left = (fs.existsSync(folder) ? fs.readdirSync(folder) : []).filter((name) => !Object.hasOwn(pages, name));
if (isCheck) {
  for (const [name] of stale) console.log(`docs/reference/${name} is not what the code says: run \`npm run reference\`.`);
  for (const name of left) console.log(`docs/reference/${name} is made from nothing: remove it.`);
  process.exit(stale.length + left.length > 0 ? 1 : 0);
}
fs.mkdirSync(folder, { recursive: true });
for (const [name, text] of stale) fs.writeFileSync(path.join(folder, name), text);
for (const name of left) fs.rmSync(path.join(folder, name));
console.log(stale.length === 0 ? 'Every page was current.' : `Written: ${stale.map(([name]) => name).join(', ')}.`);

function readPage(name) {
  const file = path.join(folder, name);
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').replaceAll('\r\n', '\n') : null;
}

function page(title, intro, ...parts) {
  const made = '<!-- Made by `npm run reference`; changes belong into the code. -->';
  return [`# ${title}`, '', made, '', ...intro, '', ...parts.flat()].join('\n').trimEnd() + '\n';
}
function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line), ''];
}

// ── Recipe and command line ─────────────────────────────────────────────────────────────────────────────────────────────

async function recipePage() {
  const { recipeFields } = await engine('recipe/fields.ts');
  const { formatFieldText } = await engine('recipe/field-text.ts');
  const { otherNames, noCounterpart } = await engine('recipe/other-names.ts');
  const groups = Map.groupBy(Object.entries(recipeFields), ([, { group }]) => group);
  const names = (key) => Object.keys(otherNames).filter((name) => otherNames[name].key === key);
  const parts = [...groups].flatMap(([group, fields]) => [
    `## ${group[0].toUpperCase()}${group.slice(1)}`,
    '',
    ...table(
      ['Field', 'Default', 'Values', 'What it does', 'Why this default', 'Other names'],
      fields.map(([key, field]) => [
        `\`${key}\``,
        code(formatFieldText(field.default)),
        valuesOf(field),
        field.help,
        field.why,
        names(key).map(code).join(', '),
      ]),
    ),
  ]);
  const without = table(
    ['Setting', 'What holds here'],
    Object.entries(noCounterpart).map(([name, why]) => [code(name), why]),
  );
  return page(
    'Recipe fields',
    [
      'A recipe is a JSON file with any of these fields (`--recipe FILE.json`); `--set field=value` sets one. What is left out has its default. The',
      'names that PEFT, transformers and TRL give to a field are understood as well.',
    ],
    parts,
    ['## Settings of other programs that a recipe does not have', ''],
    without,
  );
}
function valuesOf(field) {
  const range = () => `from ${field.min} to ${field.max}${field.unit ? ` ${field.unit}` : ''}`;
  switch (field.kind) {
    case 'number':
      return `number ${range()}`;
    case 'integer':
      return `whole number ${range()}`;
    case 'boolean':
      return 'true or false';
    case 'choice':
      return [...field.choices, ...(field.pattern ? [field.pattern.written] : [])].map(code).join(', ');
    case 'names':
      return `${field.allows.expression ? '`all-linear`, a regular expression, or a list' : 'list'} of names${field.allows.none ? ', may be empty' : ''}`;
    case 'map':
      return `${field.integer ? 'whole numbers' : 'numbers'} ${range()} by name`;
    case 'date':
      return 'a day such as `2026-07-15`, or empty';
    case 'layers':
      return '`all`, or a list of numbers from 0';
    default:
      throw new Error(`The reference does not know fields of kind '${field.kind}'.`);
  }
}
function code(text) {
  return text === '' ? 'none' : `\`${text}\``;
}

async function commandLinePage() {
  const { commands, globalOptions } = await engine('cli/commands.ts');
  const parts = Object.entries(commands).flatMap(([name, { usage, summary, options, lists = [] }]) => [
    `## ${name}`,
    '',
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    '',
    '```',
    `lowrank ${name} ${usage}`.trim(),
    '```',
    '',
    ...(Object.keys(options).length === 0 ? [] : table(['Option', 'Takes'], Object.entries(options).map(optionRow(lists)))),
  ]);
  return page(
    'Command line',
    [
      '`lowrank [--data-dir DIR] <command>`. A model is a folder with `config.json` and safetensors, or a GGUF file. The exit status is 0 for done, 1 for a',
      'problem, 2 for wrong usage, 130 for stopped.',
      '',
      `Every command also takes ${Object.keys(globalOptions)
        .map((name) => `\`--${name}\``)
        .join(', ')}.`,
    ],
    parts,
  );
}
function optionRow(lists) {
  return ([name, { type, multiple }]) => [
    `\`--${name}\``,
    type === 'boolean'
      ? 'nothing'
      : lists.includes(name)
        ? 'values, up to the next option'
        : multiple
          ? 'a value, may be repeated'
          : 'a value',
  ];
}

// ── Types ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Tells of types and of every type of ours that they are made of, in the order in which they are met. */
function typesPage(title, intro, roots) {
  const met = new Map();
  for (const [file, name] of roots) meet(path.join(root, file), name, met);
  return page(title, intro, [...met.values()].flat());
}

function meet(file, name, met) {
  if (met.has(name)) return;
  const found = findType(file, name);
  if (found === null) throw new Error(`There is no type ${name} in ${path.relative(root, file)}.`);
  const { node, source } = found;
  const text = (part) => part.getText(source).replace(/\s+/g, ' ');
  const parts = [`## ${name}`, '', ...sentences(commentOf(node, source))];
  met.set(name, parts);
  if (ts.isInterfaceDeclaration(node)) {
    for (const { types } of node.heritageClauses ?? [])
      parts.push(`All of ${types.map((type) => code(text(type))).join(', ')}, and:`, '');
    parts.push(
      ...table(
        ['Field', 'Type', 'What it is'],
        node.members.flatMap((member) => rowsOf(member, '', source)),
      ),
    );
  } else parts.push('```ts', `type ${name} = ${text(node.type).replace(/^\| /, '')}`, '```', '');
  for (const used of namesIn(node)) {
    const place = placeOf(used, source);
    // What has a page of its own is told there.
    if (place !== null && used !== 'Recipe') meet(place, used, met);
  }
}

/** A row for a field, and one for each field of an object that stands in it. */
function rowsOf(member, before, source) {
  const name = `${before}${member.name.getText(source)}`;
  const [shape, isList] = shapeOf(member.type);
  const optional = member.questionToken ? ', may be missing' : '';
  if (shape === null) {
    const type = member.type.getText(source).replace(/\s+/g, ' ');
    return [[code(name), `${code(type)}${optional}`, commentOf(member, source)]];
  }
  const isNull = (type) => ts.isLiteralTypeNode(type) && type.literal.kind === ts.SyntaxKind.NullKeyword;
  const others = ts.isUnionTypeNode(member.type) && member.type.types.some(isNull) ? ' or `null`' : '';
  const row = [code(name), `${isList ? 'list of objects' : 'object'}${others}${optional}`, commentOf(member, source)];
  return [row, ...shape.members.flatMap((one) => rowsOf(one, `${name}${isList ? '[]' : ''}.`, source))];
}

/** The object type that is written out in a type, and whether the type is a list of such objects. */
function shapeOf(type) {
  if (ts.isTypeLiteralNode(type) && type.members.every(ts.isPropertySignature)) return [type, false];
  if (ts.isUnionTypeNode(type)) return type.types.map(shapeOf).find(([shape]) => shape !== null) ?? [null, false];
  if (ts.isTypeOperatorNode(type) || ts.isParenthesizedTypeNode(type)) return shapeOf(type.type);
  return ts.isArrayTypeNode(type) ? [shapeOf(type.elementType)[0], true] : [null, false];
}

function findType(file, name) {
  const source = ts.createSourceFile(file, fs.readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const node = source.statements.find(
    (one) => (ts.isInterfaceDeclaration(one) || ts.isTypeAliasDeclaration(one)) && one.name.text === name,
  );
  return node ? { node, source } : null;
}

/** The file of ours that declares a name used in `source`, or null where it is none of ours. */
function placeOf(name, source) {
  if (findType(source.fileName, name) !== null) return source.fileName;
  for (const statement of source.statements) {
    const from = statement.moduleSpecifier?.text;
    if (!from?.startsWith('.')) continue;
    const target = path.resolve(path.dirname(source.fileName), from);
    const names = statement.importClause?.namedBindings?.elements ?? statement.exportClause?.elements;
    if (names ? names.some((one) => one.name.text === name) : ts.isExportDeclaration(statement)) {
      const { statements } = ts.createSourceFile(target, fs.readFileSync(target, 'utf8'), ts.ScriptTarget.Latest, true);
      if (findType(target, name) !== null) return target;
      // Handed on by a file that gathers others.
      if (statements.some(ts.isExportDeclaration)) {
        const further = placeOf(
          name,
          ts.createSourceFile(target, fs.readFileSync(target, 'utf8'), ts.ScriptTarget.Latest, true),
        );
        if (further !== null) return further;
      }
    }
  }
  return null;
}

function namesIn(node) {
  const names = new Set();
  const visit = (one) => {
    if (ts.isTypeReferenceNode(one) && ts.isIdentifier(one.typeName)) names.add(one.typeName.text);
    if (ts.isExpressionWithTypeArguments(one) && ts.isIdentifier(one.expression)) names.add(one.expression.text);
    ts.forEachChild(one, visit);
  };
  visit(node);
  return names;
}

function commentOf(node, source) {
  const comment = ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc);
  if (comment === undefined) return '';
  return comment
    .getText(source)
    .replace(/^\/\*\*|\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
    .trim()
    .replace(/\s+/g, ' ');
}
function sentences(text) {
  return text === '' ? [] : [text, ''];
}

// ── Database ────────────────────────────────────────────────────────────────────────────────────────────────────────────

async function databasePage() {
  const { default: Database } = await import('better-sqlite3');
  const { migrate, migrations } = await engine('store/migrate.ts');
  const db = new Database(':memory:');
  migrate(db);
  const made = db.prepare(
    "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name",
  );
  const all = made.all();
  const things = all.filter(({ type }) => type === 'table' || type === 'view');
  const beside = db.prepare(
    'SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND type IN (?, ?) AND sql IS NOT NULL ORDER BY name',
  );
  const parts = things.flatMap(({ name, sql }) => [
    `## ${name}`,
    '',
    '```sql',
    ...[sql, ...beside.all(name, 'index', 'trigger').map((one) => one.sql)].map((text) => `${text.replace(/\n {2}/g, '\n')};`),
    '```',
    '',
  ]);
  db.close();
  return page(
    'The database',
    [
      `The SQLite database of a data folder after all ${migrations.length} migrations (\`user_version\` ${migrations.length}). Times are UTC milliseconds; lists and`,
      'records inside a thing are JSON. Only `engine/store` reads and writes it, and later versions of the studio may change it.',
    ],
    parts,
  );
}
