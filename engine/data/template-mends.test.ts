/** What the template library does not do as Jinja does it. */
import { expect, it } from 'vitest';
import { openTemplate } from './template.ts';

const render = (chatTemplate: string): string =>
  openTemplate({ chatTemplate, bosText: null, eosText: null }).render([{ role: 'user', content: 'x' }], {
    addGenerationPrompt: false,
  });

it('takes what is not there for an empty text, and for an empty list', () => {
  expect(render('{{ nothing | length }}{{ nothing | trim }}{{ messages[0].nothing | upper | length }}')).toBe('00');
  expect(render("{{ none | selectattr('a') | list | length }}{{ nothing | map(attribute='role') | list | length }}")).toBe(
    '00',
  );
  expect(render("{{ messages | length }}{{ ' a ' | trim }}{{ messages | map(attribute='role') | join }}")).toBe('1auser');
});

it('looks for anything in lists, objects and what is not there, as Python does', () => {
  const all =
    "{{ ['a', 'b'] in ('x', 'y') }} {{ ['a'] in [['a'], 'b'] }} {{ nothing in ('x', 'y') }} {{ nothing not in ['x'] }}";
  expect(render(all)).toBe('False True False True');
  expect(render("{{ none in ('x', none) }} {{ none in ['x'] }} {{ 1 in [1.0] }} {{ true in [1] }} {{ '1' in [1] }}")).toBe(
    'True False True True False',
  );
  expect(
    render("{{ nothing in {'a': 1} }} {{ 'a' in {'a': 1} }} {{ 'a' not in {'a': 1} }} {{ 'b' in 'abc' }} {{ 'a' in nothing }}"),
  ).toBe('False True False True False');
  expect(render("{{ {'a': [1]} in [{'a': [1]}] }} {{ {'a': [1]} in [{'a': [2]}] }}")).toBe('True False');
  expect(() => render("{{ nothing in 'abc' }}")).toThrow(/'in' needs a text on its left/);
});

it('writes what a filter of texts is given as Python does', () => {
  const filters = "{{ ['string', 'null'] | upper }} {{ {'a': 'B'} | lower }} {{ none | upper }} {{ true | upper }}";
  expect(render(filters)).toBe("['STRING', 'NULL'] {'a': 'b'} NONE TRUE");
  expect(render("{{ ['a', 'b'] | length }}{{ ['x'] | trim | replace('x', 'y') }}{{ messages[0].role | title }}")).toBe(
    "2['y']User",
  );
});

it('looks up, sorts and lists objects with numbers as their keys', () => {
  const table = "{% set t = {10: 'b', 2: 'a'} %}";
  expect(render(`${table}{{ t[10] }}{{ t.get(3, 'none') }}{{ 2 in t }}{{ '2' in t }}`)).toBe('bnoneTrueFalse');
  expect(render(`${table}{% for k, v in t | dictsort %}{{ k + 1 }}{{ v }}{% endfor %}`)).toBe('3a11b');
  expect(render(`${table}{% for k, v in t.items() %}{{ k }}{{ v }}{% endfor %}{{ t.keys() | list }}`)).toBe('10b2a[10, 2]');
});

it('prints what is no text as Python does', () => {
  const values = `{% set d = {'a': 'b', 'c': [1, 'x', true, none, 1.5], 'e': {'f': "it's"}} %}`;
  expect(render(`${values}{{ d }}`)).toBe(`{'a': 'b', 'c': [1, 'x', True, None, 1.5], 'e': {'f': "it's"}}`);
  expect(render(`${values}{{ d | string }}{{ d.c | string | length }}`)).toBe(
    `{'a': 'b', 'c': [1, 'x', True, None, 1.5], 'e': {'f': "it's"}}25`,
  );
  expect(render(`{{ true }} {{ true | string }} {{ none | string }} {{ 2 | string }} {{ 4 / 2 }} {{ 'a' is string }}`)).toBe(
    'True True None 2 2.0 True',
  );
  expect(render(`{{ 'x' ~ true ~ [1, 'y'] ~ none ~ 2.0 ~ nothing ~ 'z' }}`)).toBe("xTrue[1, 'y']None2.0z");
  expect(render(`{{ ['a\\n"', "it's", 'both \\' and "'] }}`)).toBe(`['a\\n"', "it's", 'both \\' and "']`);
  // JSON stays JSON.
  expect(render(`${values}{{ d | tojson }}`)).toBe(`{"a": "b", "c": [1, "x", true, null, 1.5], "e": {"f": "it's"}}`);
});

it('refuses an object with numbers as its keys where something else is done with it', () => {
  expect(() => render("{% set t = {1: 'a'} %}{{ t | tojson }}")).toThrow(/an object with numbers as its keys/);
  expect(() => render("{{ {1: 'a'}[1] }}")).toThrow(/an object with numbers as its keys/);
});
