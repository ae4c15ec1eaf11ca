import { expect, test } from 'vitest';
import { AllowedPaths } from './allowed-paths.ts';

const paths = () => new AllowedPaths((asked) => Promise.resolve(asked.filter((path) => path.startsWith('/store/'))));
const refused = { code: 'not-allowed' };

test('the page names what a person chose or the store holds, and nothing else', async () => {
  const allowed = paths();
  const add = (path: string) => allowed.requireIn('models.add', { projectId: 'p', path });
  await expect(add('/home/me/.ssh/id_rsa')).rejects.toMatchObject(refused);
  allowed.allow(['/home/me/model']);
  await add('/home/me/model');
  await add('/store/model');
  for (const path of ['/home/me/model/', '/home/me/model/config.json', '/home/me/model/../other', '/home/me', ''])
    await expect(add(path), path).rejects.toMatchObject(refused);
});

test('a place to write to comes from a dialog for saving, whatever else is known of it', async () => {
  const allowed = paths();
  const write = (out: string) =>
    allowed.requireIn('exports.start', {
      ...{ model: { id: 'm' }, adapters: [{ id: 'a' }], format: 'gguf', quantization: 'f16', proof: true },
      ...{ out, replace: true },
    });
  allowed.allow(['/home/me/model.gguf']);
  for (const out of ['/home/me/.bashrc', '/home/me/model.gguf', '/store/model'])
    await expect(write(out), out).rejects.toMatchObject(refused);
  allowed.allowToWrite('/home/me/out.gguf');
  await write('/home/me/out.gguf');
});

test('every place of a request that takes a path is looked at', async () => {
  const allowed = paths();
  allowed.allow(['/chosen']);
  const [model, recipe] = [{ id: 'm' }, {}];
  const prompt = { text: 'a' };
  const settings = { maxTokens: 1, temperature: 0, topP: 1, topK: 0, seed: 0, ignoreStop: false };
  const ask = [
    () => allowed.requireIn('datasets.add', { projectId: 'p', data: { paths: ['/chosen'], evalPaths: ['/other'] } }),
    () => allowed.requireIn('datasets.columns', { path: '/other' }),
    () => allowed.requireIn('adapters.import', { projectId: 'p', path: '/other', modelId: 'm' }),
    () => allowed.requireIn('runs.fit', { model, data: { paths: ['/other'] }, recipe, budget: 1 }),
    () => allowed.requireIn('runs.start', { model: { path: '/other' }, data: { versionId: 'd' }, recipe }),
    () => allowed.requireIn('runs.start', { model, data: { paths: ['/chosen'], evalPaths: ['/other'] }, recipe }),
    () => allowed.requireIn('runs.start', { model, data: { versionId: 'd' }, adapter: { path: '/other' }, recipe }),
    () => allowed.requireIn('runs.start', { model, data: { versionId: 'd' }, recipe, out: '/chosen' }),
    () =>
      allowed.requireIn('generate.start', {
        ...{ model, adapters: [{ path: '/other', weight: 1 }], prompt, settings, streamId: 's' },
      }),
    () => allowed.requireIn('evaluate.start', { model, data: { paths: ['/chosen'] }, adapter: '/other' }),
    () => allowed.requireIn('data.render', { model, data: { paths: ['/other'] }, offset: 0 }),
    () => allowed.requireIn('data.rows', { model, data: { paths: ['/other'] }, offset: 0, limit: 1, maxLength: 8 }),
    () => allowed.requireIn('data.report', { model, data: { paths: ['/chosen'], evalPaths: ['/other'] }, maxLength: 8 }),
    () => allowed.requireIn('runs.plan', { model, data: { paths: ['/other'] }, recipe }),
    () => allowed.requireIn('inspect.path', { path: '/other' }),
    () => allowed.requireIn('exports.identify', { path: '/other' }),
  ];
  for (const one of ask) await expect(one(), String(one)).rejects.toMatchObject(refused);
});
