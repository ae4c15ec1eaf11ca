import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import type { ChatMessage } from '../contract.ts';
import { readGguf } from '../formats/gguf.ts';
import { EndTokens } from './end-tokens.ts';
import { encodeExample } from './encode-example.ts';
import { renderConversation } from './mask.ts';
import { openTemplate } from './template.ts';
import { openTokenizer, TextStream, type Tokenizer } from './tokenizer.ts';

const embedded = 'resources/models/SmolLM2-135M-Instruct.Q4_1.gguf';
const golden = 'engine/golden/smollm2-json';
const tokenizer = openTokenizer({ kind: 'gguf', metadata: readGguf(embedded).metadata });
const lines = (file: string) =>
  readFileSync(`${golden}/${file}`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

const messages = (...turns: [ChatMessage['role'], string][]): ChatMessage[] =>
  turns.map(([role, content]) => ({ role, content }));

const rowOf = (conversation: readonly ChatMessage[], variables: Readonly<Record<string, unknown>> = {}) => ({
  ...{ messages: conversation, variables },
  trained: conversation.map(({ role }) => role === 'assistant'),
});

/** The examples of a conversation under a template of ours. */
function examplesOf(
  chatTemplate: string,
  conversation: Parameters<typeof renderConversation>[1],
  using: Tokenizer = tokenizer,
) {
  const template = openTemplate({ chatTemplate, bosText: '<|endoftext|>', eosText: '<|im_end|>' });
  return renderConversation(template, conversation, new EndTokens(using));
}

/** The stretches of trained text in each of the examples, in the order of the turns. */
async function trainedText(
  chatTemplate: string,
  conversation: readonly ChatMessage[],
  using: Tokenizer = tokenizer,
  variables: Readonly<Record<string, unknown>> = {},
) {
  const runs: string[] = [];
  for (const example of examplesOf(chatTemplate, rowOf(conversation, variables), using).examples) {
    const { labels } = await encodeExample(example, using);
    let run: number[] = [];
    for (const label of [...labels, -100]) {
      if (label >= 0) run.push(label);
      else if (run.length > 0) {
        runs.push(await using.decode(run));
        run = [];
      }
    }
  }
  return runs;
}

describe('the embedded tokenizer', () => {
  it('encodes as transformers does with the digits step, and back', async () => {
    const rendered = lines('train.rendered.jsonl') as { text: string }[];
    const rows = lines('train.rows.jsonl') as { input_ids: number[] }[];
    expect(rendered).toHaveLength(32);
    for (const [i, { text }] of rendered.entries()) {
      expect(await tokenizer.encode(text)).toEqual(rows[i]!.input_ids);
      expect(await tokenizer.decode(rows[i]!.input_ids)).toBe(text);
    }
  });

  it('survives both ways of being written down', async () => {
    const files = tokenizer.toHubFiles();
    const fromHub = openTokenizer({
      kind: 'hub',
      tokenizerJson: files['tokenizer.json'],
      tokenizerConfig: JSON.parse(files['tokenizer_config.json']) as Record<string, unknown>,
      generationConfig: JSON.parse(files['generation_config.json']!) as Record<string, unknown>,
      chatTemplate: files['chat_template.jinja'] ?? null,
    });
    const again = openTokenizer({ kind: 'gguf', metadata: fromHub.toGgufMetadata(49152) });
    const text = '<|im_start|>user\nNaïve 12.345 😀日本語\n\n1.<|im_end|>\n';
    for (const other of [fromHub, again]) {
      expect(await other.encode(text)).toEqual(await tokenizer.encode(text));
      expect([other.bos, other.eos, other.stopTokens, other.vocabularySize]).toEqual([1, 2, [2, 0, 4], 49152]);
      expect(other.chatTemplate).toBe(tokenizer.chatTemplate);
    }
    expect(again.toGgufMetadata().get('tokenizer.ggml.merges')).toEqual(
      tokenizer.toGgufMetadata().get('tokenizer.ggml.merges'),
    );
  });

  it('refuses an unknown way of splitting text by its name', () => {
    const metadata = new Map(readGguf(embedded).metadata);
    metadata.set('tokenizer.ggml.pre', { type: 'string', value: 'mystery' });
    expect(() => openTokenizer({ kind: 'gguf', metadata })).toThrow(/'mystery'/);
  });

  it('reads a long text on a machine that stands still now and then', async () => {
    const text = 'some ordinary words and 17 more of them '.repeat(20_000);
    let calls = 0;
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 30_000 * calls++);
    try {
      expect((await tokenizer.encode(text)).length).toBeGreaterThan(100_000);
    } finally {
      clock.mockRestore();
    }
    expect(calls).toBeGreaterThan(1);
  });

  it('names what is wrong with a damaged tokenizer.json', () => {
    const open = (tokenizerJson: string) => () =>
      openTokenizer({ kind: 'hub', tokenizerJson, tokenizerConfig: {}, generationConfig: null, chatTemplate: null });
    for (const damaged of ['{', 'null', '[]', '{"model": 3}']) expect(open(damaged)).toThrow(/tokenizer\.json/);
    expect(open('{"model": {"type": "BPE", "vocab": {}, "merges": ["a b"]}}')).toThrow(/cannot be read/);
  });

  it('streams text without ever breaking a character', async () => {
    const text = 'Zürich 😀 日本語 → ok';
    const stream = new TextStream(tokenizer);
    const deltas: string[] = [];
    for (const id of await tokenizer.encode(text)) deltas.push(await stream.push(id));
    deltas.push(await stream.flush());
    expect(deltas.join('')).toBe(text);
    expect(deltas.some((delta) => delta.includes('\uFFFD'))).toBe(false);
    expect(deltas.filter((delta) => delta !== '').length).toBeGreaterThan(5);
  });
});

describe('the mask', () => {
  it.each(['train', 'eval'])('equals the reference on %s', async (split) => {
    const template = openTemplate(tokenizer);
    const rendered = lines(`${split}.rendered.jsonl`) as { text: string }[];
    const rows = lines(`${split}.rows.jsonl`) as { input_ids: number[]; labels: number[] }[];
    for (const [i, row] of (lines(`${split}.messages.jsonl`) as { messages: ChatMessage[] }[]).entries()) {
      const { examples, leftOut } = renderConversation(template, rowOf(row.messages), new EndTokens(tokenizer));
      expect(examples.map(({ text, withoutStopToken }) => [text, withoutStopToken])).toEqual([[rendered[i]!.text, []]]);
      expect(leftOut).toEqual([]);
      const { inputIds, labels } = await encodeExample(examples[0]!, tokenizer);
      expect([...inputIds]).toEqual(rows[i]!.input_ids);
      expect([...labels]).toEqual(rows[i]!.labels);
    }
  });

  it('covers every assistant turn with its end, and nothing else', async () => {
    const conversation = messages(
      ['system', 'Be brief.'],
      ['user', 'Hi'],
      ['assistant', 'Hello 😀.'],
      ['user', 'Hello 😀.'],
      ['assistant', '.'],
      ['user', 'Bye'],
      ['assistant', 'Bye!\n'],
    );
    expect(await trainedText(tokenizer.chatTemplate!, conversation)).toEqual([
      'Hello 😀.<|im_end|>',
      '.<|im_end|>',
      'Bye!\n<|im_end|>',
    ]);
  });

  it('follows a template that trims contents and cuts thoughts out of earlier turns', async () => {
    const template = `{%- for m in messages %}{%- if m.role == 'assistant' -%}
{%- set c = m.content.split('</think>')[-1] if not loop.last else m.content -%}
{{ '<|im_start|>assistant\\n' + (c | trim) + '<|im_end|>\\n' }}{%- else -%}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif -%}{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}`;
    const plain = messages(['user', 'a'], ['assistant', ' one '], ['user', 'b'], ['assistant', '<think>hm</think>two']);
    expect(await trainedText(template, plain)).toEqual(['one<|im_end|>', '<think>hm</think>two<|im_end|>']);
    const rewritten = messages(['user', 'a'], ['assistant', '<think>x</think>one'], ['user', 'b'], ['assistant', 'two']);
    expect(await trainedText(template, rewritten)).toEqual(['<think>x</think>one<|im_end|>', 'two<|im_end|>']);
    expect(examplesOf(template, rowOf(rewritten)).examples.map(({ turn, text }) => [turn, text.includes('two')])).toEqual([
      [1, false],
      [2, true],
    ]);
  });

  it('takes a template at its word that marks what is the assistant’s', async () => {
    const template = `{% for m in messages %}
    {% if m.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' -}}
        {% generation %}
            {{- '<think></think>' + m.content + '<|im_end|>' -}}
        {% endgeneration %}
        {{- '\\n' -}}
    {% else %}
        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}
    {% endif %}
{% endfor %}`;
    const conversation = messages(['user', 'a'], ['assistant', 'one '], ['user', 'b'], ['assistant', 'two']);
    expect(
      openTemplate({ chatTemplate: template, bosText: null, eosText: null }).render(conversation, {
        addGenerationPrompt: false,
      }),
    ).toBe(
      conversation
        .map(
          ({ role, content }) => `<|im_start|>${role}\n${role === 'assistant' ? '<think></think>' : ''}${content}<|im_end|>\n`,
        )
        .join(''),
    );
    expect(await trainedText(template, conversation)).toEqual([
      '<think></think>one <|im_end|>',
      '<think></think>two<|im_end|>',
    ]);
  });

  const question = messages(['user', 'x']);
  const open = (chatTemplate: string) => openTemplate({ chatTemplate, bosText: null, eosText: null });
  const render = (chatTemplate: string) => open(chatTemplate).render(question, { addGenerationPrompt: false });

  it('cuts the characters a template names off a text, and no others', () => {
    const cut = "{{ '\\n  a b \\n\\n'.METHOD('\\n') }}|{{ messages[0].content.METHOD('xy') }}|{{ ' z '.METHOD() }}";
    expect(render(cut.replaceAll('METHOD', 'strip'))).toBe('  a b ||z');
    expect(render(cut.replaceAll('METHOD', 'lstrip'))).toBe('  a b \n\n||z ');
    expect(render(cut.replaceAll('METHOD', 'rstrip'))).toBe('\n  a b || z');
  });

  it('stops a template that never ends, or takes all memory', () => {
    const loop =
      '{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}{% endfor %}{% endfor %}{% endfor %}';
    const before = process.memoryUsage.rss();
    const doubling = '{% set ns = namespace(l=[1, 2, 3, 4]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}';
    for (const template of [loop, doubling]) expect(() => render(template)).toThrow(/more than 2 seconds or 256 MB/);
    expect(process.memoryUsage.rss() - before).toBeLessThan(1e9);
    expect(render('{{ messages[0].content }}')).toBe('x');
  });

  it('says when it is the system turn that a template refuses, and only then', () => {
    const alternating =
      "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate...') }}{% endif %}{{ m.content }}{% endfor %}";
    const template = openTemplate({ chatTemplate: alternating, bosText: null, eosText: null });
    const failure = (...roles: ChatMessage['role'][]) => {
      try {
        return template.render(
          roles.map((role) => ({ role, content: role })),
          { addGenerationPrompt: false },
        );
      } catch (error) {
        return error;
      }
    };
    expect(failure('user', 'assistant')).toBe('userassistant');
    expect(failure('system', 'user', 'assistant')).toMatchObject({
      code: 'template-failed',
      message: "The model's chat template takes no system turn: Roles must alternate.",
      hint: expect.stringContaining('first user turn') as string,
    });
    for (const roles of [['user', 'user'], ['system', 'user', 'user'], ['system']] as const)
      expect(failure(...roles)).toMatchObject({ message: expect.stringContaining('could not be rendered') as string });
  });

  it('says what is wrong with a template, which reaches nothing of ours', () => {
    expect(() => render('{% if %}')).toThrow(/cannot be read in line 1, at {% if %}/);
    expect(() => render('{{ messages.constructor.constructor("return process")() }}')).toThrow(/could not be rendered/);
  });
});
