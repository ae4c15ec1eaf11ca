/** Chat templates of the usual kinds in Ollama's language: the same tokens for the same conversations, or none and why. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ChatMessage } from '../../contract.ts';
import { openTokenizer, type Tokenizer } from '../../data/tokenizer.ts';
import { openModel } from '../../models/open.ts';
import type { TokenizerSource } from '../../models/tokenizer-source.ts';
import { builtInConversations } from '../conversations.ts';
import { exportSource } from '../source.ts';
import { compareOllama, ollamaChat, ollamaPrompt } from './chat-template.ts';
import { compareModelfile, modelfileName, writeOllamaFolder } from './folder.ts';
import { GoTemplateError, renderGoTemplate } from './go-template.ts';
import { formatModelfile, parseModelfile } from './modelfile.ts';

const tiny = openModel(join(import.meta.dirname, '../../../resources/tiny/model'));
const source = tiny.tokenizerSource as Extract<TokenizerSource, { kind: 'hub' }>;
const work = mkdtempSync(join(tmpdir(), 'ollama-'));
afterAll(() => rmSync(work, { recursive: true }));

const day = '2026-07-15';
const builtIn = { conversations: builtInConversations, day };

// It says itself that it puts its begin token in front.
const beginning = source.tokenizerJson;
const plain = JSON.stringify({ ...(JSON.parse(beginning) as object), post_processor: null });

/** The same vocabulary with another template. */
function tokenizerWith(chatTemplate: string, addBos = false): Tokenizer {
  return openTokenizer({ ...source, tokenizerJson: addBos ? beginning : plain, chatTemplate });
}

const turns = (open: string, close: string, generation: string, content = "message['content']"): string =>
  `{% for message in messages %}${open}{{ ${content} }}${close}{% endfor %}{% if add_generation_prompt %}${generation}{% endif %}`;
const role = "{{ message['role'] }}";
const refuseSystem = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}";

/** Of the kinds that models come with. */
const templates = {
  chatml: turns(`<|im_start|>${role}\n`, '<|im_end|>\n', '<|im_start|>assistant\n'),
  'chatml with words of its own': `{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are "helpful".<|im_end|>\n{% endif %}${turns(`<|im_start|>${role}\n`, '<|im_end|>\n', '<|im_start|>assistant\n')}`,
  'llama 3': `{{ bos_token }}${turns(`<|start_header_id|>${role}<|end_header_id|>\n\n`, '<|eot_id|>', '<|start_header_id|>assistant<|end_header_id|>\n\n', "message['content'] | trim")}`,
  gemma: `{{ bos_token }}${refuseSystem}${turns("<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n", '<end_of_turn>\n', '<start_of_turn>model\n', "message['content'] | trim")}`,
  'phi 3': turns(`<|${role}|>\n`, '<|end|>\n', '<|assistant|>\n'),
  zephyr: `${turns(`<|${role}|>\n`, '{{ eos_token }}\n', '<|assistant|>\n')}`,
  mistral:
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}" +
    "{% for message in rest %}{% if message['role'] == 'user' %}{% if loop.last and system %}[INST] {{ system }}\n\n{{ message['content'] }}[/INST]{% else %}[INST] {{ message['content'] }}[/INST]{% endif %}" +
    "{% else %} {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}",
  'llama 2':
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set head = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% else %}{% set rest = messages %}{% set head = '' %}{% endif %}" +
    "{% for message in rest %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + (head if loop.first else '') + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}",
  braces: turns(`{{ '{{' }}${role}}}\n`, '\n', "{{ '{{assistant}}' }}\n"),
} as const;

describe.each(Object.entries(templates))('%s', (_, template) => {
  it.each([false, true])('gives the same tokens, the begin token by the file: %s', async (addBos) => {
    const tokenizer = tokenizerWith(template, addBos);
    const chat = await ollamaChat(tokenizer, builtIn, null);
    // A template without a begin token, and a file that asks for one, do not go together.
    if (addBos && !template.includes('bos_token')) {
      expect(chat).toMatchObject({ template: null, missing: expect.stringContaining('differs') as string });
      return;
    }
    expect(chat.missing).toBeNull();
    expect(await compareOllama(tokenizer, chat, builtIn)).toBeNull();
    // What is compared is not empty, and the system message is in it where the template takes one.
    const prompt = ollamaPrompt({ ...chat, template: chat.template! }, builtInConversations[6]!.slice(0, 2));
    expect(prompt).toContain('Is the sky blue?');
    expect(prompt.includes('You answer in one word.')).toBe(!template.includes('no system'));
  });
});

it('what a template says itself becomes the system text', async () => {
  const chat = await ollamaChat(tokenizerWith(templates['chatml with words of its own']), builtIn, null);
  expect(chat.system).toBe('You are "helpful".');
  const hi: ChatMessage[] = [{ role: 'user', content: 'Hi' }];
  const expected = '<|im_start|>system\nYou are "helpful".<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n';
  expect(ollamaPrompt({ template: chat.template!, system: null }, hi)).toBe(expected);
  expect(ollamaPrompt({ template: chat.template!, system: chat.system }, hi)).toBe(expected);
});

it('there is none for a template that counts, looks at what is said, or is not there; and the reason is named', async () => {
  const odd = {
    counts: turns('[{{ loop.index }}]', '\n', '[next]'),
    looks: turns("{{ 'Q' if 'France' in message['content'] else 'q' }}", '\n', 'a'),
    'says it twice': turns("{{ message['content'] }}", '\n', 'a'),
  };
  for (const template of Object.values(odd)) {
    const chat = await ollamaChat(tokenizerWith(template), builtIn, null);
    expect(chat.template).toBeNull();
    expect(chat.missing).toMatch(/not made of fixed text|conversation \d+ differs from its token \d+/);
  }
});

it('a Modelfile says what was put into it', () => {
  const file = {
    ...{ notes: ['No TEMPLATE: for a reason.'], from: 'model.gguf', stops: ['<|im_end|>', 'a"b'] },
    ...{ template: '{{ if .System }}\n "x" {{ end }}\n', system: 'Line one\n\nline "two".' },
  };
  expect(parseModelfile(formatModelfile(file))).toEqual(file);
  expect(parseModelfile('FROM ./x.gguf\n\nPARAMETER stop </s>\n')).toMatchObject({ from: 'x.gguf', stops: ['</s>'] });
  expect(() => parseModelfile('FROM x\nADAPTER y\n')).toThrow(/'ADAPTER y', which is not understood/);
});

it('the folder is read back, and one whose template was changed is found out', async () => {
  const tokenizer = openTokenizer(source);
  const said: ChatMessage[][] = ['one', 'two'].map((content) => [
    { role: 'system', content: 'Answer with JSON.' },
    { role: 'user', content },
    { role: 'assistant', content: '{}' },
  ]);
  const folder = join(work, 'tiny');
  mkdirSync(folder);
  await writeOllamaFolder(folder, exportSource(tiny, [], tokenizer, { conversations: said }), 'q8_0', async () => {});
  const path = join(folder, modelfileName);
  const text = readFileSync(path, 'utf8');
  expect(parseModelfile(text)).toMatchObject({ from: 'model.gguf', system: 'Answer with JSON.' });
  expect(parseModelfile(text).template).not.toBeNull();
  expect(await compareModelfile(folder, tokenizer, { conversations: said, day })).toMatchObject({ passed: true });
  writeFileSync(path, text.replaceAll('<|assistant|>', '<|assistant|> '));
  expect(await compareModelfile(folder, tokenizer, { conversations: said, day })).toMatchObject({
    passed: false,
    text: expect.stringMatching(/^conversation 1 differs from its token \d+ on: '.*' became '.*'$/s) as string,
  });
  writeFileSync(path, text.replace(/PARAMETER stop .*\n/, ''));
  expect((await compareModelfile(folder, tokenizer, { conversations: said, day })).text).toMatch(
    /^an answer ends at the tokens/,
  );
});

describe('the language', () => {
  const values = {
    System: 'S',
    Messages: [
      { Role: 'user', Content: 'a' },
      { Role: 'assistant', Content: 'b' },
    ],
    Empty: [],
  };
  it.each([
    ['{{ if .System }}<{{ .System }}>{{ end }}', '<S>'],
    ['{{ if .Nothing }}x{{ else if .System }}y{{ else }}z{{ end }}', 'y'],
    ['a  {{- if .System }}\n b {{- end -}}  c', 'a\n bc'],
    ['a {{- /* said aside */ -}} b', 'ab'],
    ['{{ range .Messages }}{{ .Role }}={{ .Content }};{{ end }}', 'user=a;assistant=b;'],
    ['{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Content }}{{ $.System }}{{ end }}', '0aS1bS'],
    ['{{ range .Empty }}x{{ else }}none{{ end }}', 'none'],
    [
      '{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}{{ if $last }}{{ .Content }}{{ end }}{{ end }}',
      'b',
    ],
    ['{{ if and .System (ne .System "T") }}{{ "q\\"}}" }}{{ `r` }}{{ end }}', 'q"}}r'],
    ['{{ if or .Nothing (not .System) }}x{{ else }}{{ index .Messages 1 | }}{{ end }}', null],
    ['{{ if .System }}never closed', null],
    ['{{ template "x" }}', null],
    ['{{ shout .System }}', null],
  ])('%s', (template, expected) => {
    if (expected === null) expect(() => renderGoTemplate(template, values)).toThrow(GoTemplateError);
    else expect(renderGoTemplate(template, values)).toBe(expected);
  });
});
