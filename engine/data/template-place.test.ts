import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openTemplate } from './template.ts';
import { unreadableTag } from './template-place.ts';

const render = (chatTemplate: string) =>
  openTemplate({ chatTemplate, bosText: null, eosText: null }).render([{ role: 'user', content: 'a' }], {
    addGenerationPrompt: false,
  });

describe('a template that the library cannot read', () => {
  it('is refused with the line and the tag at which it ends', () => {
    const before = "{# {{ a ** 2 }} #}\n{% set x = {'a': {'b': '}}'}} %}\n{{ {'a': {}}|tojson }}{{ {'a': 1}}}\n";
    const places = [
      ["{{ 'x' if y else }}", "line 4, at {{ 'x' if y else }}"],
      ['{% for m in messages %}\n{{ m.content !! }}{% endfor %}', 'line 5, at {{ m.content !! }}'],
      ['{%- include "a.jinja" -%}', 'line 4, at {%- include "a.jinja" -%}'],
      ['{{ 1 }}{{ a b }}{{ 2 }}', 'line 4, at {{ a b }}'],
      ['{% set\n  a = (1,\n  2 %}', 'line 4, at {% set a = (1, 2 %}'],
    ] as const;
    for (const [fault, place] of places) {
      expect(() => render(before + fault)).toThrow(`The model's chat template cannot be read in ${place}.`);
      expect(() => render(fault)).toThrow(/cannot be read in line \d, at/);
    }
    expect(() => render('{% if a %}b')).toThrow(/cannot be read/);
  });

  it('names the first use of a filter or a test that the library lacks', () => {
    expect(() => render("a\n{{ 'x' | nosuchfilter }}")).toThrow(
      /could not be rendered in line 2, at \{\{ 'x' \| nosuchfilter \}\}: Unknown StringValue filter: nosuchfilter/,
    );
    expect(() => render("a\n\n{% if 'x' is nosuchtest %}{% endif %}")).toThrow(/in line 3, at \{% if 'x' is nosuchtest %\}/);
  });

  it('is not found where there is none', () => {
    const folder = 'engine/golden/chat-templates';
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.jinja')))
      expect([file, unreadableTag(readFileSync(`${folder}/${file}`, 'utf8'))]).toEqual([file, null]);
  });
});
