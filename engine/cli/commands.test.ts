import { expect, it } from 'vitest';
import { commands } from './commands.ts';

it.each(Object.entries(commands))('shows every option of %s in its usage, and none that it does not take', (_name, command) => {
  const shown = [...command.usage.matchAll(/--([a-z-]+)/g)].map(([, name]) => name);
  expect(shown.toSorted()).toEqual(Object.keys(command.options).toSorted());
});
