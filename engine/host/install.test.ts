/** Exports taken to other programs, in homes and with an `ollama` of this test. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { ExportFormat, ExportRecord } from '../contract.ts';
import { findPrograms, install, type Environment } from './install.ts';

const root = mkdtempSync(join(tmpdir(), 'install-'));
afterAll(() => rmSync(root, { recursive: true }));
let home: string;
let env: Environment;
beforeEach(() => {
  home = mkdtempSync(join(root, 'home '));
  env = { HOME: home, PATH: join(home, 'bin'), XDG_DATA_HOME: join(home, '.local', 'share') };
});

function exported(format: ExportFormat, name: string): ExportRecord {
  const path = join(home, name);
  const file = format === 'ollama' ? join(path, 'model.gguf') : path;
  if (format === 'ollama') mkdirSync(path);
  writeFileSync(file, 'GGUF and more');
  if (format === 'ollama') writeFileSync(join(path, 'Modelfile'), 'FROM ./model.gguf\n');
  return {
    ...{ id: 'e', projectId: 'p', adapterId: null, adapterName: 'a', modelName: 'm', format, quantization: 'q8_0', path },
    ...{ bytes: 13, state: 'done', proof: null, problem: null, createdAt: 1 },
    files: [{ name: format === 'ollama' ? 'model.gguf' : name, bytes: 13, sha256: 'x' }],
  };
}

it('none is there until it is', () => {
  expect(findPrograms(env)).toEqual(['ollama', 'lm-studio', 'jan'].map((program) => ({ program, place: null })));
});

it('a program that is not there is named', async () => {
  await expect(install(exported('gguf', 'a.gguf'), 'jan', env)).rejects.toMatchObject({
    code: 'not-found',
    message: 'Jan was not found on this computer.',
  });
});

describe('LM Studio', () => {
  it('keeps a model by its publisher', async () => {
    mkdirSync(join(home, '.lmstudio'));
    const result = await install(exported('gguf', 'my model Q8.gguf'), 'lm-studio', env);
    expect(result).toMatchObject({ name: 'lowrank-studio/my-model-Q8', answer: null });
    const folder = join(home, '.lmstudio/models/lowrank-studio/my-model-Q8');
    expect(readFileSync(join(folder, 'my-model-Q8.gguf'), 'utf8')).toBe('GGUF and more');
    // A second time nothing is replaced.
    await expect(install(exported('gguf', 'my model Q8.gguf'), 'lm-studio', env)).rejects.toMatchObject({
      code: 'folder-not-empty',
    });
    expect(readdirSync(join(home, '.lmstudio/models/lowrank-studio'))).toEqual(['my-model-Q8']);
  });

  it('may have its home elsewhere, or its models where the environment says', async () => {
    mkdirSync(join(home, 'elsewhere'));
    writeFileSync(join(home, '.lmstudio-home-pointer'), `${join(home, 'elsewhere')}\n`);
    expect(findPrograms(env)[1]!.place).toBe(join(home, 'elsewhere', 'models'));
    const models = join(home, 'other models');
    await install(exported('ollama', 'tuned'), 'lm-studio', { ...env, LOWRANK_LMSTUDIO_MODELS: models });
    expect(existsSync(join(models, 'lowrank-studio/tuned/tuned.gguf'))).toBe(true);
  });
});

describe('the name of a model in another program', () => {
  /** Matches the names that Ollama accepts (types/model/name.go). */
  const valid = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$/;
  async function nameOf(own: string): Promise<string> {
    const models = mkdtempSync(join(root, 'names-'));
    const path = join(mkdtempSync(join(root, 'out-')), `${own}.gguf`);
    const { name } = await install({ ...exported('gguf', 'a.gguf'), path: makeFile(path) }, 'lm-studio', {
      ...env,
      LOWRANK_LMSTUDIO_MODELS: models,
    });
    return name.split('/')[1]!;
  }
  function makeFile(path: string): string {
    writeFileSync(path, 'GGUF');
    return path;
  }

  it.each([
    [
      'scripts',
      ['日本語モデル', '日本語もでる', 'Модель', 'Модели', 'نموذج', 'मॉडल', 'मॉडेल', '모델', 'μοντέλο', 'ม', '🦙', '🦊'],
    ],
    ['signs', ['c++', 'c#', 'c', 'a&b', 'ab', '.hidden', 'hidden', '...', '-', 'Müller', 'Muller', 'end.', 'end']],
    ['lengths', ['x'.repeat(79), 'x'.repeat(80), 'x'.repeat(81), 'x'.repeat(82), 'あ'.repeat(70), 'あ'.repeat(71)]],
    ['names of devices', ['CON', 'model', 'aux.v2', 'com1']],
  ])('is valid and its own: %s', async (_, own) => {
    const names = await Promise.all(own.map(nameOf));
    for (const name of names) expect(name).toMatch(valid);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(own.length);
    for (const name of names) expect(name).not.toMatch(/^(con|aux|com1)(\.|$)/i);
  });

  it('is the export’s own where it can be, and the same for one name in two forms of Unicode', async () => {
    expect(await nameOf('My model_v1.2 Q8')).toBe('My-model_v1.2-Q8');
    expect(await nameOf('Müller')).toMatch(/^Muller-[0-9a-f]{8}$/);
    expect(await nameOf('Mu\u0308ller')).toBe(await nameOf('Müller'));
  });
});

it.runIf(process.platform !== 'win32')('a file or a link of a person’s own is never replaced', async () => {
  const models = join(home, 'models');
  mkdirSync(join(models, 'lowrank-studio'), { recursive: true });
  writeFileSync(join(models, 'lowrank-studio', 'mine'), 'my file');
  symlinkSync(join(home, 'nowhere'), join(models, 'lowrank-studio', 'linked'));
  for (const name of ['mine', 'linked'])
    await expect(
      install(exported('gguf', `${name}.gguf`), 'lm-studio', { ...env, LOWRANK_LMSTUDIO_MODELS: models }),
    ).rejects.toMatchObject({ code: 'folder-not-empty', message: expect.stringContaining('not replaced') });
  expect(readFileSync(join(models, 'lowrank-studio', 'mine'), 'utf8')).toBe('my file');
  expect(lstatSync(join(models, 'lowrank-studio', 'linked')).isSymbolicLink()).toBe(true);
});

it.runIf(process.platform === 'linux')('Jan knows a model by the file beside it', async () => {
  mkdirSync(join(home, '.local/share/Jan/data'), { recursive: true });
  await install(exported('gguf', 'tuned.gguf'), 'jan', env);
  const folder = join(home, '.local/share/Jan/data/llamacpp/models/tuned');
  expect(readdirSync(folder).sort()).toEqual(['model.gguf', 'model.yml']);
  expect(readFileSync(join(folder, 'model.yml'), 'utf8')).toBe(
    'model_path: llamacpp/models/tuned/model.gguf\nname: tuned\nsize_bytes: 13\nembedding: false\n',
  );
});

it('what is no GGUF of a whole model goes nowhere', async () => {
  const models = join(home, 'models');
  const there = { ...env, LOWRANK_LMSTUDIO_MODELS: models };
  await expect(install(exported('lora-gguf', 'a.gguf'), 'lm-studio', there)).rejects.toMatchObject({
    code: 'export-unsupported',
  });
  const gone = { ...exported('gguf', 'gone.gguf'), path: join(home, 'nowhere.gguf') };
  await expect(install(gone, 'lm-studio', there)).rejects.toMatchObject({ code: 'file-missing' });
  expect(existsSync(models)).toBe(false);
});

describe.runIf(process.platform !== 'win32')('Ollama', () => {
  function fakeOllama(body: string): void {
    mkdirSync(join(home, 'bin'), { recursive: true });
    const path = join(home, 'bin', 'ollama');
    writeFileSync(path, `#!/bin/sh\necho "$@" >> ${JSON.stringify(join(home, 'calls'))}\n${body}\n`);
    chmodSync(path, 0o755);
  }

  it('makes the model of the Modelfile, and is asked something', async () => {
    fakeOllama('if [ "$1" = run ]; then echo "Hello there."; fi');
    const record = exported('ollama', 'Tuned Model');
    const result = await install(record, 'ollama', env);
    expect(result).toMatchObject({ program: 'ollama', name: 'tuned-model', answer: 'Hello there.' });
    const calls = readFileSync(join(home, 'calls'), 'utf8').trim().split('\n');
    expect(calls[0]).toBe('list');
    expect(calls[1]).toBe(`create tuned-model -f ${join(record.path, 'Modelfile')}`);
    expect(calls[2]).toMatch(/^run tuned-model Say hello/);
  });

  it('keeps a model that is there under this name, whatever its case', async () => {
    const table = ['NAME ID SIZE MODIFIED', 'Tuned:latest 1 2GB now', 'tuned-too:q4 1 2GB now', 'me/other:latest 1 2GB now'];
    fakeOllama(`if [ "$1" = list ]; then printf '${table.join('\\n')}\\n'; else echo Hello; fi`);
    await expect(install(exported('ollama', 'tuned'), 'ollama', env)).rejects.toMatchObject({
      message: "Ollama already has a model 'tuned', and it is not replaced.",
    });
    expect(readFileSync(join(home, 'calls'), 'utf8')).not.toContain('create');
    // Another tag, and another person's model, are other names.
    for (const name of ['tuned-too', 'other'])
      await expect(install(exported('ollama', name), 'ollama', env)).resolves.toMatchObject({ name });
    fakeOllama('echo "Error: could not connect to ollama server" >&2; exit 1');
    await expect(install(exported('ollama', 'new'), 'ollama', env)).rejects.toThrow(/`ollama list` failed.*could not connect/);
  });

  it('that fails, or says nothing, is no success', async () => {
    fakeOllama('[ "$1" = list ] && exit; echo "pulling" >&2; echo "Error: unsupported architecture" >&2; exit 1');
    await expect(install(exported('ollama', 'a'), 'ollama', env)).rejects.toMatchObject({
      message: '`ollama create` failed: Error: unsupported architecture',
    });
    fakeOllama('true');
    await expect(install(exported('ollama', 'b'), 'ollama', env)).rejects.toThrow(/gave an empty answer/);
    await expect(install(exported('gguf', 'c.gguf'), 'ollama', env)).rejects.toThrow(/has no Modelfile/);
  });
});
