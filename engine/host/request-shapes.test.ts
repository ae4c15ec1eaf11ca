import { expect, test } from 'vitest';
import type { RequestName } from '../contract.ts';
import { Problem, toProblemValue } from '../problem.ts';
import { handlersFor } from './handlers.ts';
import { checkRequest } from './request-shapes.ts';

const names = Object.keys(handlersFor({} as never, {} as never)) as RequestName[];
const refusal = (name: RequestName, params: unknown): string | null => {
  try {
    checkRequest(name, params);
    return null;
  } catch (error) {
    expect(toProblemValue(error)).toMatchObject({ code: 'request-invalid' });
    return (error as Problem).message;
  }
};

test('whatever a client sends, a wrong shape is a Problem', () => {
  for (const name of names)
    for (const params of ['text', 7, true, [], [{}], { nonsense: 1 }, { id: {} }, { id: null, path: 3 }])
      expect(refusal(name, params), `${name} ${JSON.stringify(params)}`).toSatisfy(
        (message) => message !== null || (Array.isArray(params) && params.length === 0),
      );
});

test('a patch takes the fields that may change, and names any other', () => {
  expect(refusal('runs.update', { id: 'a', name: 'b', notes: '', tags: ['c'] })).toBeNull();
  expect(refusal('runs.update', { id: 'a', state: 'done' })).toBe("runs.update takes no 'state'.");
  expect(refusal('runs.update', { id: 'a', tags: ['c', 4] })).toBe("item 1 of 'tags' of runs.update must be a text.");
  expect(refusal('adapters.update', { id: 'a', tag: 'worst' })).toContain("'tag' of adapters.update must be one of");
  expect(refusal('adapters.update', { id: 'a', tag: null })).toBeNull();
  expect(refusal('projects.rename', { id: 'a', name: 'b', createdAt: 0 })).toContain("'createdAt'");
});

test('a model, rows and a prompt may be given in one way or another, and only in one', () => {
  const recipe = { rank: 3, whatever: 'is checked where it is read' };
  const data = { paths: ['/rows'], evalPaths: [] };
  expect(refusal('runs.start', { model: { path: '/m', acceptFields: [] }, data, recipe, attached: true })).toBeNull();
  expect(refusal('runs.start', { model: { id: 'm' }, data: { versionId: 'd' }, adapter: { path: '/a' }, recipe })).toBeNull();
  expect(refusal('runs.start', { model: {}, data, recipe })).toBe("'model' of runs.start must have one of 'id', 'path'.");
  expect(refusal('runs.start', { model: { id: 'm', path: '/m' }, data, recipe })).toContain("takes no 'path'");
  expect(refusal('runs.start', { model: { id: 'm' }, data: { paths: '/rows', evalPaths: [] }, recipe })).toContain(
    'must be a list',
  );
  const settings = { maxTokens: 3, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };
  const prompt = { messages: [{ role: 'user', content: 'a', name: 'b' }] };
  expect(refusal('generate.start', { model: { id: 'm' }, adapters: [], prompt, settings, streamId: 's' })).toBeNull();
  const cold = { ...settings, temperature: -1 };
  expect(refusal('generate.start', { model: { id: 'm' }, adapters: [], prompt, settings: cold, streamId: 's' })).toContain(
    "'temperature'",
  );
});

test('the shell takes keys that a menu can show, and nothing that it has no field for', () => {
  const command = { id: 'a', title: 'A', menu: 'File', shortcut: 'Mod+Shift+N', enabled: true };
  const menu = (change: object) => refusal('shell.setMenu', { commands: [{ ...command, ...change }] });
  for (const shortcut of [null, 'Mod+Enter', 'Mod+.', 'Alt+ArrowLeft', 'Mod+1']) expect(menu({ shortcut })).toBeNull();
  for (const change of [{ shortcut: 'Nonsense' }, { shortcut: 'Mod+' }, { menu: 'Help' }, { enabled: 1 }, { click: 'x' }])
    expect(menu(change), JSON.stringify(change)).not.toBeNull();
  expect(refusal('shell.chooseFiles', { title: 'Open', kind: 'constructor' })).toContain("'kind'");
  expect(refusal('shell.setTheme', { theme: 'pink' })).toContain("'theme'");
});
