/** The limits of a chat template hold for what it does, whatever the machine does meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { ggufTemplate, readHubTemplate } from '../models/tokenizer-source.ts';
import { openTemplate } from './template.ts';

const open = (chatTemplate: string) => openTemplate({ chatTemplate, bosText: null, eosText: null });
const render = (template: ReturnType<typeof open>, content: string) =>
  template.render([{ role: 'user', content }], { addGenerationPrompt: false });

it.skipIf(process.platform === 'win32')(
  'renders a conversation during which the process was halted',
  async () => {
    const code = `
    import { openTemplate } from './template.ts';
    const chatTemplate = '{% for i in range(300) %}{% for j in range(1000) %}{% endfor %}{% endfor %}done';
    const template = openTemplate({ chatTemplate, bosText: null, eosText: null });
    const render = () => template.render([], { addGenerationPrompt: false });
    openTemplate({ chatTemplate: 'begun', bosText: null, eosText: null }).render([], { addGenerationPrompt: false });
    process.stdout.write('begins');
    process.stdout.write(render());
  `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: import.meta.dirname });
    let said = '';
    const begun = Promise.withResolvers<void>();
    child.stdout.on('data', (text: Buffer) => ((said += text.toString()), begun.resolve()));
    child.stderr.on('data', (text: Buffer) => (said += text.toString()));
    await begun.promise;
    await sleep(100);
    child.kill('SIGSTOP');
    await sleep(2500);
    child.kill('SIGCONT');
    await once(child, 'exit');
    expect(said).toBe('beginsdone');
  },
  20_000,
);

it('goes on after conversations that it cannot render, where it renders others', () => {
  const template = open(
    `{% if messages[0].content == 'long' %}{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}{% endif %}done`,
  );
  for (let i = 0; i < 3; i++) {
    expect(() => render(template, 'long')).toThrow(/more than 2 seconds/);
    expect(render(template, 'short')).toBe('done');
  }
});

it.each([
  [`{% set ns = namespace(t='xxxxxxxxxxxxxxxx') %}{% for i in range(40) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}`],
  [`{% for i in range(5000) %}{{ messages[0].content }}{% endfor %}`],
  [`{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`],
])(
  'does not blame the roles of a conversation where the template makes too much: %#',
  (source) => {
    expect(() => render(open(source), 'x'.repeat(1000))).toThrow(
      expect.objectContaining({ code: 'template-failed', hint: expect.stringMatching(/template may be damaged/) as string }),
    );
  },
  20_000,
);

describe('a model with a template of its own for tools', () => {
  const [plain, tools] = ['\n{{ messages[0].content }} \n ', ' \n{{ tools | length }} tools'];
  const root = mkdtempSync(join(tmpdir(), 'tool-template-'));
  afterAll(() => rmSync(root, { recursive: true }));
  const named = [
    { name: 'default', template: plain },
    { name: 'tool_use', template: tools },
  ];
  it.each([
    ['named in tokenizer_config.json', { 'tokenizer_config.json': JSON.stringify({ chat_template: named }) }],
    ['in a file of its own', { 'chat_template.jinja': plain, 'additional_chat_templates/tool_use.jinja': tools }],
  ])('renders conversations with tools by it and others by the usual one: %s', (of, files: Record<string, string>) => {
    const folder = join(root, of);
    mkdirSync(join(folder, 'additional_chat_templates'), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const template = open(readHubTemplate(folder)!);
    const metadata = { 'tokenizer.chat_template': plain, 'tokenizer.chat_template.tool_use': tools };
    const entries = Object.entries(metadata).map(([key, value]) => [key, { type: 'string', value }] as const);
    expect(ggufTemplate(new Map(entries))).toBe(readHubTemplate(folder));
    const rendered = (variables = {}) =>
      template.render([{ role: 'user', content: 'Hi' }], { addGenerationPrompt: false, variables });
    expect(rendered()).toBe('\nHi \n ');
    expect(rendered({ tools: [{}, {}] })).toBe(' \n2 tools');
  });
});
