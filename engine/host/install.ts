/**
 * Installs an export into another program: with `ollama create` and a first answer, or in the model folder of LM Studio or Jan.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { copyFile, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import type { ExportRecord, InstallProgram, InstallResult, Program } from '../contract.ts';
import { modelfileName } from '../export/ollama/folder.ts';
import { makeFolder } from '../formats/files.ts';
import { partialPrefix } from '../formats/folder.ts';
import { Problem } from '../problem.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Is a question that any model can be asked. */
const smokePrompt = 'Say hello in one short sentence.';
const limits = { list: 60_000, create: 3_600_000, answer: 300_000 };
/** Names the folder of our models in LM Studio, which keeps models by their publisher. */
const publisher = 'lowrank-studio';

export const programs: readonly InstallProgram[] = ['ollama', 'lm-studio', 'jan'];

/** Finds the programs. An environment variable can name the place of each. */
export function findPrograms(env: Environment): Program[] {
  return programs.map((program) => ({ program, place: placeOf(program, env) }));
}

function placeOf(program: InstallProgram, env: Environment): string | null {
  const home = env['HOME'] ?? env['USERPROFILE'] ?? homedir();
  switch (program) {
    case 'ollama': {
      const name = process.platform === 'win32' ? 'ollama.exe' : 'ollama';
      const places = (env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name));
      return firstThere(env['LOWRANK_OLLAMA'] === undefined ? places : [env['LOWRANK_OLLAMA']]);
    }
    case 'lm-studio': {
      if (env['LOWRANK_LMSTUDIO_MODELS'] !== undefined) return env['LOWRANK_LMSTUDIO_MODELS'];
      const pointer = join(home, '.lmstudio-home-pointer');
      const pointed = existsSync(pointer) ? [readFileSync(pointer, 'utf8').trim()] : [];
      const place = firstThere([...pointed, join(home, '.lmstudio'), join(home, '.cache', 'lm-studio')]);
      return place && join(place, 'models');
    }
    case 'jan': {
      if (env['LOWRANK_JAN_DATA'] !== undefined) return env['LOWRANK_JAN_DATA'];
      const data = {
        darwin: join(home, 'Library', 'Application Support'),
        win32: env['APPDATA'] ?? join(home, 'AppData', 'Roaming'),
      }[process.platform as string];
      return firstThere([join(data ?? env['XDG_DATA_HOME'] ?? join(home, '.local', 'share'), 'Jan', 'data')]);
    }
  }
}

function firstThere(places: readonly string[]): string | null {
  return places.find((place) => place !== '' && existsSync(place)) ?? null;
}

export async function install(record: ExportRecord, program: InstallProgram, env: Environment): Promise<InstallResult> {
  const place = placeOf(program, env);
  if (place === null) {
    const name = { ollama: 'Ollama', 'lm-studio': 'LM Studio', jan: 'Jan' }[program];
    throw new Problem('not-found', `${name} was not found on this computer.`, `Install ${name} and start it once.`);
  }
  if (record.state !== 'done' || !existsSync(record.path))
    throw new Problem('file-missing', `The export '${record.path}' does not exist.`, 'Export it again.');
  if (program === 'ollama') return createInOllama(record, place, env);
  const file = ggufOf(record);
  return program === 'lm-studio' ? copyForLmStudio(file, place) : copyForJan(file, place);
}

async function createInOllama({ format, path }: ExportRecord, ollama: string, env: Environment): Promise<InstallResult> {
  if (format !== 'ollama')
    throw new Problem('export-unsupported', `'${path}' has no Modelfile.`, 'Export it for Ollama (--format ollama).');
  const name = modelName(path).toLowerCase();
  const list = await run(ollama, ['list'], { cwd: path, env, timeout: limits.list });
  const taken = list.split('\n').map((line) => line.trim().split(/\s+/)[0]!.toLowerCase());
  if (taken.includes(name) || taken.includes(`${name}:latest`))
    throw new Problem(
      'folder-not-empty',
      `Ollama already has a model '${name}', and it is not replaced.`,
      `Remove it first (\`ollama rm ${name}\`), keep it under another name (\`ollama cp\`), or export under another name.`,
    );
  await run(ollama, ['create', name, '-f', join(path, modelfileName)], { cwd: path, env, timeout: limits.create });
  const answer = await run(ollama, ['run', name, smokePrompt], { cwd: path, env, timeout: limits.answer });
  if (answer.trim() === '')
    throw new Problem(
      'export-unsupported',
      `Ollama created '${name}', but the model gave an empty answer.`,
      'Run it with `ollama run` to see why.',
    );
  return { program: 'ollama', name, place: ollama, answer: answer.trim() };
}

function run(
  command: string,
  args: readonly string[],
  options: { cwd: string; env: Environment; timeout: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { ...options, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      // Progress lines overwrite each other; the last line says what went wrong.
      const said = stderr.split(/[\r\n]+/).findLast((line) => line.trim() !== '');
      reject(
        new Problem(
          'export-unsupported',
          `\`ollama ${args[0]!}\` failed: ${said ?? error.message}`,
          'Check that Ollama is running (`ollama serve`) and up to date.',
          { cause: error },
        ),
      );
    });
  });
}

async function copyForLmStudio(file: string, models: string): Promise<InstallResult> {
  const name = modelName(file);
  const folder = join(models, publisher, name);
  await copyInto(folder, file, `${name}.gguf`);
  return { program: 'lm-studio', name: `${publisher}/${name}`, place: folder, answer: null };
}

/**
 * Copies an export into Jan's data folder. Jan knows a model by the `model.yml` beside it, whose path is relative to that
 * folder.
 */
async function copyForJan(file: string, data: string): Promise<InstallResult> {
  const name = modelName(file);
  const folder = join(data, 'llamacpp', 'models', name);
  await copyInto(folder, file, 'model.gguf', () => {
    const fields = [
      `model_path: llamacpp/models/${name}/model.gguf`,
      `name: ${name}`,
      `size_bytes: ${statSync(file).size}`,
      'embedding: false',
    ];
    return { name: 'model.yml', content: `${fields.join('\n')}\n` };
  });
  return { program: 'jan', name, place: folder, answer: null };
}

/**
 * Copies a file into a new folder, whole or not at all, by way of a folder beside it. On file systems that can clone a file no
 * byte is copied.
 */
async function copyInto(
  folder: string,
  file: string,
  name: string,
  beside?: () => { readonly name: string; readonly content: string },
): Promise<void> {
  // A file or a link there belongs to the person too, even a link that leads nowhere.
  const there = lstatSync(folder, { throwIfNoEntry: false });
  if (there !== undefined && !(there.isDirectory() && readdirSync(folder).length === 0))
    throw new Problem(
      'folder-not-empty',
      `'${folder}' already exists and is not replaced.`,
      'Remove it first, or export under another name.',
    );
  const parent = dirname(folder);
  makeFolder(parent);
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < statSync(file).size)
    throw new Problem('disk-full', `There is not enough free space for '${name}' in '${parent}'.`, 'Free some disk space.');
  const work = join(parent, `${partialPrefix}${basename(folder)}-${process.pid}`);
  try {
    makeFolder(work);
    await copyFile(file, join(work, name), constants.COPYFILE_FICLONE);
    if (beside !== undefined) {
      const other = beside();
      writeFileSync(join(work, other.name), other.content);
    }
    await rename(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function ggufOf({ format, path, files }: ExportRecord): string {
  if (format === 'gguf') return path;
  const found = format === 'ollama' ? files.find(({ name }) => name.endsWith('.gguf')) : undefined;
  if (found !== undefined) return join(path, found.name);
  throw new Problem(
    'export-unsupported',
    `'${path}' is not a GGUF file of a complete model.`,
    'Export as GGUF (--format gguf).',
  );
}

/**
 * Limits the characters of a name in Ollama, whose rule is the strictest of the three (types/model/name.go): 1 to 80
 * characters, of which the first is neither `.` nor `-`.
 */
const longestName = 80;
/** Matches names that Windows does not accept for a folder. */
const reserved = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * Makes a name that every program accepts: the name of the export, with `-` for white space, if that is accepted. Any other
 * name is reduced to plain letters and gets a part of its hash, so that names in other scripts stay distinct.
 */
function modelName(path: string): string {
  const folder = basename(path) === 'model.gguf' ? basename(dirname(path)) : basename(path);
  const own = folder.replace(/\.gguf$/i, '').normalize('NFC');
  const plain = own
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|[.-]+$/g, '');
  if (plain === own.replace(/\s+/g, '-') && plain !== '' && plain.length <= longestName && !reserved.test(plain)) return plain;
  const mark = createHash('sha256').update(own).digest('hex').slice(0, 8);
  const start = plain.slice(0, longestName - mark.length - 1).replace(/[.-]+$/, '');
  return `${start === '' || reserved.test(start) ? 'model' : start}-${mark}`;
}
