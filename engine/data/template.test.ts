/** The limits of a chat template hold for what it does, whatever the machine does meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
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
