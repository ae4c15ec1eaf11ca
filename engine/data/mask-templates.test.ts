/** The mask under templates in the manner of well-known models, each cut down to how it begins, ends and rewrites turns. */
import { describe, expect, it } from 'vitest';
import type { ChatMessage } from '../contract.ts';
import { EndTokens } from './end-tokens.ts';
import { encodeExample } from './encode-example.ts';
import { renderConversation } from './mask.ts';
import { thinkingVariables } from './template-inputs.ts';
import { openTemplate } from './template.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

type Named = readonly (string | readonly [text: string, special: boolean, rstrip?: boolean])[];

/** Single bytes, two line breaks as one token, and the added tokens of a model; `eos` and `stops` are its ends. */
function tokenizerOf(added: Named, eos: string, stops: readonly string[] = []): Tokenizer {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
  const pieces = [...bytes, 'ĊĊ'];
  const tokens = added.map((entry, i) => {
    const [content, special, rstrip = false] = typeof entry === 'string' ? ([entry, true] as const) : entry;
    return { id: pieces.length + i, content, special, rstrip, single_word: false, lstrip: false, normalized: false };
  });
  const idOf = (text: string) => tokens.find(({ content }) => content === text)!.id;
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return openTokenizer({
    kind: 'hub',
    tokenizerJson: JSON.stringify({
      ...{ version: '1.0', truncation: null, padding: null, added_tokens: tokens, normalizer: null },
      ...{ pre_tokenizer: byteLevel, post_processor: byteLevel, decoder: byteLevel },
      model: { type: 'BPE', vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])), merges: [['Ċ', 'Ċ']] },
    }),
    tokenizerConfig: { eos_token: eos, bos_token: '<s>' },
    generationConfig: stops.length === 0 ? null : { eos_token_id: stops.map(idOf) },
    chatTemplate: null,
  });
}

const said = (...turns: (readonly [ChatMessage['role'], string])[]): ChatMessage[] =>
  turns.map(([role, content]) => ({ role, content }));
const colours = said(['user', 'Name a colour'], ['assistant', 'Blue it is'], ['user', 'Another'], ['assistant', 'Red it is']);
const thought = '<think>\nTwo and two.\n</think>\n\n4';
const sums = said(['user', '2+2?'], ['assistant', thought], ['user', '3+3?'], ['assistant', '6']);

interface Learned {
  /** Per example: what comes right before the first trained token, and the trained stretches. */
  readonly examples: readonly { readonly turn: number; readonly prompt: string; readonly trained: readonly string[] }[];
  readonly withoutStopToken: readonly number[];
  readonly leftOut: readonly number[];
}

/** Which text is trained, as the tokens say it. */
async function learn(
  chatTemplate: string,
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  { variables = {}, untrained = [] }: { variables?: Record<string, unknown>; untrained?: readonly number[] } = {},
): Promise<Learned> {
  const template = openTemplate({ chatTemplate, bosText: '<s>', eosText: tokenizer.eosText });
  const trained = messages.map(({ role }, i) => role === 'assistant' && !untrained.includes(i));
  const { examples, leftOut } = renderConversation(template, { messages, trained, variables }, new EndTokens(tokenizer));
  const learned = [];
  for (const example of examples) {
    const { inputIds, labels } = await encodeExample(example, tokenizer);
    expect((await tokenizer.decode([...inputIds])).replace(/\s/g, '')).toBe(example.text.replace(/\s/g, ''));
    const stretches: number[][] = [];
    labels.forEach((label, t) => {
      if (label < 0) return;
      if (t === 0 || labels[t - 1]! < 0) stretches.push([]);
      stretches.at(-1)!.push(label);
    });
    const first = labels.findIndex((label) => label >= 0);
    learned.push({
      turn: example.turn,
      prompt: (await tokenizer.decode([...inputIds.subarray(0, first)])).slice(-24),
      trained: await Promise.all(stretches.map((ids) => tokenizer.decode(ids))),
    });
  }
  return {
    examples: learned,
    withoutStopToken: examples.flatMap(({ withoutStopToken }) => withoutStopToken),
    leftOut: leftOut.map(({ message }) => message),
  };
}
const trainedOf = ({ examples }: Learned) => examples.map(({ trained }) => trained);

const chatml = ['<|im_start|>', '<|im_end|>', ['<think>', false], ['</think>', false]] as const;
const turn = (role: string, content: string) => `'<|im_start|>' + ${role} + '\\n' + ${content} + '<|im_end|>\\n'`;
const ask = (then = '') => `{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n${then}' }}{% endif %}`;

/** Thoughts of the last answer alone; an empty one where it has none. */
const qwen3 = (prompt: string) => `{%- for m in messages %}
{%- set c = m.content %}{%- set r = '' %}
{%- if '</think>' in c %}{%- set r = c.split('</think>')[0].split('<think>')[-1].strip('\\n') %}{%- set c = c.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{%- if m.role == 'assistant' and loop.last %}{{ ${turn('m.role', "'<think>\\n' + r + '\\n</think>\\n\\n' + c")} }}
{%- else %}{{ ${turn('m.role', 'c')} }}{%- endif %}
{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}${prompt}{%- endif %}`;
const noThought = `{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif %}`;

describe('a template that leaves earlier turns as they were', () => {
  it('trains every turn of one example from the prompt through the end token (Llama 3, Gemma, Phi 3, Mistral)', async () => {
    const llama = tokenizerOf(['<s>', '<|start|>', '<|end_header|>', '<|eot_id|>'], '<|eot_id|>');
    const headers = `{{ '<s>' }}{% for m in messages %}{{ '<|start|>' + m.role + '<|end_header|>\\n\\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end_header|>\\n\\n' }}{% endif %}`;
    expect((await learn(headers, llama, colours)).examples).toEqual([
      { turn: 2, prompt: 'ssistant<|end_header|>\n\n', trained: ['Blue it is<|eot_id|>', 'Red it is<|eot_id|>'] },
    ]);

    const gemma = tokenizerOf(['<s>', '<start_of_turn>', '<end_of_turn>', '<eos>'], '<eos>');
    const model = `{% for m in messages %}{% set r = 'model' if m.role == 'assistant' else m.role %}{{ '<start_of_turn>' + r + '\\n' + m.content | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}`;
    expect(trainedOf(await learn(model, gemma, colours))).toEqual([['Blue it is<end_of_turn>', 'Red it is<end_of_turn>']]);

    // The whole text has an end of its own behind the end of the last turn.
    const phi = tokenizerOf(['<s>', '<|user|>', '<|assistant|>', '<|end|>', '<|endoftext|>'], '<|endoftext|>');
    const roles = `{% for m in messages %}{% if m.role != 'tool' %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}`;
    expect(trainedOf(await learn(roles, phi, colours))).toEqual([['Blue it is<|end|>', 'Red it is<|end|>']]);

    // A token that takes the white space behind it takes none of the answer: it is the prompt's, and the model cannot write that.
    const greedy = tokenizerOf(['<s>', '<|user|>', ['<|assistant|>', true, true], '<|end|>'], '<|end|>');
    const spaced = said(['user', 'a'], ['assistant', '  b']);
    expect(trainedOf(await learn(roles, greedy, spaced))).toEqual([['b<|end|>']]);

    const mistral = tokenizerOf(['<s>', '[INST]', '[/INST]', '</s>'], '</s>');
    const brackets = `{{ '<s>' }}{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + '</s>' }}{% endfor %}`;
    expect(trainedOf(await learn(brackets, mistral, colours))).toEqual([[' Blue it is</s>', ' Red it is</s>']]);
  });

  it('goes on to the token that ends the answer, past other special tokens (Cohere 2)', async () => {
    const tokens = [
      '<s>',
      '<|TURN|>',
      '<|CHATBOT|>',
      '<|USER|>',
      '<|START_RESPONSE|>',
      '<|END_RESPONSE|>',
      '<|END_OF_TURN_TOKEN|>',
    ];
    const cohere = tokenizerOf(tokens, '<|END_OF_TURN_TOKEN|>');
    const template = (open = '', close = '') =>
      `{% for m in messages %}{{ '<|TURN|>' }}{% if m.role == 'assistant' %}{{ '<|CHATBOT|><|START_RESPONSE|>' }}${open}{{ m.content }}${close}{{ '<|END_RESPONSE|>' }}{% else %}{{ '<|USER|>' + m.content }}{% endif %}{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|TURN|><|CHATBOT|><|START_RESPONSE|>' }}{% endif %}`;
    const ends = ['Blue it is<|END_RESPONSE|><|END_OF_TURN_TOKEN|>', 'Red it is<|END_RESPONSE|><|END_OF_TURN_TOKEN|>'];
    expect(trainedOf(await learn(template(), cohere, colours))).toEqual([ends]);
    // A mark that closes before the end of the turn leaves out nothing that the model has to write to stop.
    expect(trainedOf(await learn(template('{% generation %}', '{% endgeneration %}'), cohere, colours))).toEqual([ends]);
  });

  it('takes an end token that the tokenizer does not call special, by its name or as eos', async () => {
    const template = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    const named = tokenizerOf(['<s>', '<|im_start|>', ['<|im_end|>', false], '<|endoftext|>'], '<|endoftext|>');
    expect(trainedOf(await learn(template, named, colours))).toEqual([['Blue it is<|im_end|>', 'Red it is<|im_end|>']]);
    const own = template.replaceAll('<|im_end|>', '<|fin|>');
    const eos = tokenizerOf(['<s>', '<|im_start|>', ['<|fin|>', false]], '<|fin|>');
    expect(trainedOf(await learn(own, eos, colours))).toEqual([['Blue it is<|fin|>', 'Red it is<|fin|>']]);
    expect(eos.stopTokens.map((id) => eos.addedTokens.get(id))).toEqual(['<|fin|>']);
  });

  it('takes parts out where the template marks others, and keeps the header out of a mark around it', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const around = `{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ ${turn('m.role', 'm.content')} }}{% endgeneration %}{% else %}{{ ${turn('m.role', 'm.content')} }}{% endif %}{% endfor %}${ask()}`;
    expect(trainedOf(await learn(around, tokenizer, colours))).toEqual([['Blue it is<|im_end|>', 'Red it is<|im_end|>']]);
    const lastOnly = around.replace("m.role == 'assistant'", "m.role == 'assistant' and loop.last");
    const three = [...colours, ...said(['user', 'x'], ['assistant', 'Green'])];
    expect(trainedOf(await learn(lastOnly, tokenizer, three))).toEqual([['Green<|im_end|>']]);
  });

  it('trains an end token that the template leaves to the next turn, also behind the last (GLM)', async () => {
    const glm = tokenizerOf(['<s>', '<|user|>', '<|assistant|>', '<|observation|>', '<|endoftext|>'], '<|endoftext|>', [
      '<|endoftext|>',
      '<|user|>',
      '<|observation|>',
    ]);
    const template = `{% for m in messages %}{{ ('<|observation|>' if m.role == 'tool' else '<|' + m.role + '|>') + '\\n' + m.content }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`;
    const learned = await learn(template, glm, colours);
    expect([learned.withoutStopToken, trainedOf(learned)]).toEqual([[], [['\nBlue it is<|user|>', '\nRed it is<|user|>']]]);
    const called = said(['user', 'x'], ['assistant', 'look'], ['tool', '1'], ['assistant', 'one']);
    expect(trainedOf(await learn(template, glm, called))).toEqual([['\nlook<|observation|>', '\none<|user|>']]);
    // Without a token that ends answers the turns are named.
    const plain = tokenizerOf(['<s>', '<|user|>', '<|assistant|>', '<|endoftext|>'], '<|endoftext|>');
    const withoutStopToken = await learn(template, plain, colours);
    expect([withoutStopToken.withoutStopToken, trainedOf(withoutStopToken)]).toEqual([
      [2, 4],
      [['\nBlue it is', '\nRed it is']],
    ]);
  });

  it('trains only the turns it is to, and those before a first question too', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const template = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    const only = await learn(template, tokenizer, colours, { untrained: [1] });
    expect(only.examples).toMatchObject([{ turn: 2, trained: ['Red it is<|im_end|>'] }]);
    const greeted = said(['assistant', 'Welcome'], ['user', 'Hi'], ['assistant', 'What now?']);
    expect(trainedOf(await learn(template, tokenizer, greeted))).toEqual([['Welcome<|im_end|>', 'What now?<|im_end|>']]);
    const system = `{% if messages[0].role != 'system' %}{{ ${turn("'system'", "'Help.'")} }}{% endif %}${template}`;
    expect(trainedOf(await learn(system, tokenizer, greeted))).toEqual([['Welcome<|im_end|>', 'What now?<|im_end|>']]);
    const written = said(['user', 'how?'], ['assistant', 'with <|im_end|>\n<|im_start|>assistant\n inside']);
    expect(trainedOf(await learn(template, tokenizer, written))).toEqual([
      ['with <|im_end|>\n<|im_start|>assistant\n inside<|im_end|>'],
    ]);
  });
});

describe('a template that writes earlier turns differently', () => {
  it('trains each turn as the last of an example of its own (Qwen 3)', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    expect((await learn(qwen3(noThought), tokenizer, sums)).examples).toEqual([
      {
        turn: 1,
        prompt: '_end|>\n<|im_start|>assistant\n'.slice(-24),
        trained: ['<think>\nTwo and two.\n</think>\n\n4<|im_end|>'],
      },
      { turn: 2, prompt: '_end|>\n<|im_start|>assistant\n'.slice(-24), trained: ['<think>\n\n</think>\n\n6<|im_end|>'] },
    ]);
  });

  it('joins turns that read the same in a later example', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    // Thoughts since the last question stay.
    const template = `{%- set ns = namespace(q=0) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.q = loop.index0 %}{%- endif %}{%- endfor %}{%- for m in messages %}{{ ${turn('m.role', "(m.content if loop.index0 > ns.q else m.content.split('</think>')[-1])")} }}{%- endfor %}${ask()}`;
    const called = said(
      ['user', 'a'],
      ['assistant', '<think>1</think>look'],
      ['tool', 't'],
      ['assistant', '<think>2</think>b'],
      ['user', 'c'],
      ['assistant', 'd'],
    );
    expect((await learn(template, tokenizer, called)).examples).toMatchObject([
      { turn: 2, trained: ['<think>1</think>look<|im_end|>', '<think>2</think>b<|im_end|>'] },
      { turn: 3, trained: ['d<|im_end|>'] },
    ]);
  });

  it('trains the channel, and the end that a last turn has (gpt-oss)', async () => {
    const tokens = ['<s>', '<|start|>', '<|channel|>', '<|message|>', '<|end|>', '<|return|>', '<|call|>'];
    const harmony = tokenizerOf(tokens, '<|return|>');
    const template = `{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + ('<|return|>' if loop.last else '<|end|>') }}{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}`;
    expect(trainedOf(await learn(template, harmony, colours))).toEqual([
      ['<|channel|>final<|message|>Blue it is<|return|>'],
      ['<|channel|>final<|message|>Red it is<|return|>'],
    ]);
  });

  it('gives GLM its end token where thoughts of earlier turns are cut', async () => {
    const glm = tokenizerOf(['<s>', '<|user|>', '<|assistant|>', '<|endoftext|>'], '<|endoftext|>', ['<|user|>']);
    const template = `{% for m in messages %}{{ '<|' + m.role + '|>\\n' + (m.content if loop.last else m.content.split('</think>\\n\\n')[-1]) }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`;
    expect(trainedOf(await learn(template, glm, sums))).toEqual([[`\n${thought}<|user|>`], ['\n6<|user|>']]);
  });
});

describe('thoughts', () => {
  it('are asked for by the prompt, and not trained where the prompt has them already', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const one = said(['user', 'x'], ['assistant', '4']);
    const silent = await learn(qwen3(noThought), tokenizer, one, { variables: { enable_thinking: false } });
    expect(silent.examples[0]!.prompt).toContain('</think>\n\n');
    expect(trainedOf(silent)).toEqual([['4<|im_end|>']]);
    const opened = qwen3("{{ '<think>\\n' }}");
    // Where the prompt ends a token ends: the line break after it is the model's, though both could be one token.
    expect(trainedOf(await learn(opened, tokenizer, sums))).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>'],
      ['\n</think>\n\n6<|im_end|>'],
    ]);
    const { prompt } = (await learn(opened, tokenizer, one)).examples[0]!;
    expect(prompt.endsWith('<think>\n')).toBe(true);
  });

  it('switch the prompt to thinking where it is off unless asked for (small Qwen 3.5)', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const template = qwen3(
      "{{ '<think>\\n' if enable_thinking is defined and enable_thinking else '<think>\\n\\n</think>\\n\\n' }}",
    );
    expect(trainedOf(await learn(template, tokenizer, sums))).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>'],
      ['6<|im_end|>'],
    ]);
    const off = learn(template, tokenizer, sums, { variables: { enable_thinking: false } });
    await expect(off).rejects.toThrow(/message 2 so that it does not follow its own prompt/);
  });

  it('follow a prompt that opens one, though the template cuts them out of every turn (DeepSeek R1)', async () => {
    const tokens = ['<s>', '<|U|>', '<|A|>', '<|eos|>', ['<think>', false], ['</think>', false]] as const;
    const r1 = tokenizerOf(tokens, '<|eos|>');
    const template = (open: string) =>
      `{% for m in messages %}{{ '<|U|>' + m.content if m.role == 'user' else '<|A|>' + m.content.split('</think>')[-1] + '<|eos|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|A|>${open}' }}{% endif %}`;
    expect((await learn(template('<think>\\n'), r1, sums)).examples).toMatchObject([
      { prompt: expect.stringMatching(/<\|A\|><think>\n$/) as string, trained: ['Two and two.\n</think>\n\n4<|eos|>'] },
      { prompt: expect.stringMatching(/<\|A\|><think>\n$/) as string, trained: ['\n</think>\n\n6<|eos|>'] },
    ]);
    // A prompt without a thought, and a template that cuts it: nobody would ever read what is to be learned.
    await expect(learn(template(''), r1, sums)).rejects.toThrow(/leaves out what message 2 thinks/);
    const other = `{% for m in messages %}{{ '<|U|>' + m.content if m.role == 'user' else '<|A|>' + m.content + '<|eos|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|U|>go on' }}{% endif %}`;
    await expect(learn(other, r1, colours)).rejects.toThrow(/message 2 so that it does not follow its own prompt/);
  });

  it('are written as the template does where it is at odds with its prompt over white space (Nemotron)', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const template = `{% for m in messages %}{% set c = m.content if m.role != 'assistant' or '</think>' in m.content else '<think></think>' + m.content %}{{ ${turn('m.role', 'c')} }}{% endfor %}${ask('<think>\\n')}`;
    expect(trainedOf(await learn(template, tokenizer, sums))).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>', '</think>6<|im_end|>'],
    ]);
    // The header of an answer that nobody asked for is not trained either.
    const greeted = said(['assistant', 'Welcome'], ['user', 'Hi'], ['assistant', 'What now?']);
    const { examples } = await learn(template, tokenizer, greeted);
    expect(examples.map(({ prompt, trained }) => [prompt.slice(-18), trained])).toEqual([
      ['assistant\n<think>\n', ['</think>Welcome<|im_end|>']],
      ['assistant\n<think>\n', ['</think>What now?<|im_end|>']],
    ]);
  });
});

describe('thoughts that the template reads elsewhere', () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const template = (thought: string) =>
    `{% for m in messages %}{% set c = m.content | trim %}{{ ${turn('m.role', `('<think>\\n' + ${thought} + '\\n</think>\\n\\n' + c if m.role == 'assistant' else c)`)} }}{% endfor %}${ask('<think>\\n')}`;

  it('are handed over in the field that it reads (Qwen 3.8)', async () => {
    for (const field of ['reasoning_content', 'reasoning', 'thinking'])
      expect(trainedOf(await learn(template(`(m.${field} or '') | trim`), tokenizer, sums))).toEqual([
        ['Two and two.\n</think>\n\n4<|im_end|>', '\n</think>\n\n6<|im_end|>'],
      ]);
    // What the answer says behind its first thought stays as it is.
    const twice = said(['user', 'x'], ['assistant', '<think>one</think>First. <think>two</think>Second.']);
    expect(trainedOf(await learn(template("(m.reasoning_content or '') | trim"), tokenizer, twice))).toEqual([
      ['one\n</think>\n\nFirst. <think>two</think>Second.<|im_end|>'],
    ]);
  });

  it('are refused where it reads none and writes one of its own', async () => {
    await expect(learn(template("''"), tokenizer, sums)).rejects.toThrow(/a thought of its own before the one in message 2/);
    expect(trainedOf(await learn(template("''"), tokenizer, colours))).toHaveLength(1);
  });
});

describe('a template that asks for an answer unasked', () => {
  it('is refused, because the model would learn the next header', async () => {
    const tokenizer = tokenizerOf(chatml, '<|im_end|>');
    const always = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}{{ '<|im_start|>assistant' }}`;
    await expect(learn(always, tokenizer, colours)).rejects.toThrow(/goes on behind the end of message \d with/);
    const plain = `{% for m in messages %}{{ '### ' + m.role + ':\\n' + m.content + '\\n\\n' }}{% endfor %}{{ '### assistant:\\n' }}`;
    await expect(learn(plain, tokenizer, colours)).rejects.toThrow(/goes on behind the end of message \d with/);
    // Tags that the tokenizer does not know are no header.
    const tags = `{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</' + m.role + '>' }}{% endfor %}{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}`;
    expect((await learn(tags, tokenizer, colours)).withoutStopToken).toEqual([2, 4]);
  });
});

describe('a content that is not in the text', () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const template = `{% for m in messages %}{% if m.role in ['user', 'assistant'] or loop.first %}{{ ${turn('m.role', 'm.content | trim')} }}{% endif %}{% endfor %}${ask()}`;

  it('is named by its message', async () => {
    const called = said(['user', 'x'], ['assistant', 'a'], ['tool', 'a'], ['system', 'x'], ['assistant', 'b']);
    expect((await learn(template, tokenizer, called)).leftOut).toEqual([3, 4]);
    const systems = said(['system', 'FIRST'], ['system', 'SECOND'], ['user', 'x'], ['assistant', 'a']);
    expect((await learn(template, tokenizer, systems)).leftOut).toEqual([2]);
  });

  it('is not missed where the template trims, escapes or cuts thoughts', async () => {
    const escaping = template.replace('m.content | trim', '(m.content | trim | tojson)');
    const quoted = said(['user', ' "x"\n'], ['assistant', 'say "y"\n']);
    expect(await learn(escaping, tokenizer, quoted)).toMatchObject({
      leftOut: [],
      examples: [{ trained: ['"say \\"y\\""<|im_end|>'] }],
    });
    expect((await learn(qwen3(''), tokenizer, sums)).leftOut).toEqual([]);
  });

  it('is refused where it is to be trained, as is an answer that says nothing', async () => {
    const secret = template.replace('m.content | trim', "('' if m.role == 'assistant' else m.content)");
    await expect(learn(secret, tokenizer, colours)).rejects.toThrow(/leaves out what message 2 says/);
    for (const halves of [
      '<think>one</think>The first half. <think>two</think>The second half.',
      'One.</think>Two.</think>Three.',
    ]) {
      const twice = said(['user', 'x'], ['assistant', halves], ['user', 'y'], ['assistant', 'z']);
      await expect(learn(qwen3(''), tokenizer, twice)).rejects.toThrow(/leaves out what message 2 says/);
      expect((await learn(qwen3(''), tokenizer, twice, { untrained: [1] })).leftOut).toEqual([2]);
    }
    for (const content of ['', ' \n', '<think>hm</think>\n']) {
      const silent = said(['user', 'x'], ['assistant', content], ['user', 'y'], ['assistant', 'z']);
      await expect(learn(template, tokenizer, silent)).rejects.toMatchObject({ code: 'data-empty' });
      const context = await learn(template, tokenizer, silent, { untrained: [1] });
      expect(trainedOf(context)).toEqual([['z<|im_end|>']]);
    }
  });
});

describe('rules of a data set', () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const render = (chatTemplate: string, messages: readonly ChatMessage[], rules: Parameters<typeof renderConversation>[3]) => {
    const template = openTemplate({ chatTemplate, bosText: '<s>', eosText: tokenizer.eosText });
    const trained = messages.map(({ role }) => role === 'assistant');
    return renderConversation(template, { messages, trained, variables: {} }, new EndTokens(tokenizer), rules);
  };
  const thoughts = [...sums, ...said(['user', '4+4?'], ['assistant', thought])];

  it('unroll a conversation whose template rewrites turns, take its last alone, or refuse it by the turn', () => {
    const turns = (unroll: 'all' | 'last') => {
      const { examples, skippedTurns } = render(qwen3(''), thoughts, { unroll, foldSystem: false });
      return [examples.map(({ turn }) => turn), skippedTurns];
    };
    expect(turns('all')).toEqual([[1, 2, 3], 0]);
    expect(turns('last')).toEqual([[3], 2]);
    expect(() => render(qwen3(''), thoughts, { unroll: 'off', foldSystem: false })).toThrow(
      /writes message 2 differently once others follow, so the conversation is 3 examples and not one/,
    );
    const kept = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    for (const unroll of ['last', 'off'] as const)
      expect(render(kept, thoughts, { unroll, foldSystem: false })).toMatchObject({ examples: [{ turn: 3 }], skippedTurns: 0 });
  });

  it('put a system turn into the turn behind it where the template takes none there, and only there', () => {
    const late = said(
      ['system', 'Be brief.'],
      ['user', 'a'],
      ['assistant', 'b'],
      ['system', 'Be long.'],
      ['user', 'c'],
      ['assistant', 'd'],
    );
    const fold = (chatTemplate: string) => render(chatTemplate, late, { unroll: 'all', foldSystem: true });
    const roles = (refused: string) =>
      `{% for m in messages %}{% if ${refused} %}{{ raise_exception('no system') }}{% endif %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    const both = fold(roles("m.role == 'system'"));
    expect(both.examples[0]!.text).toContain('user\nBe brief.\n\na<|im_end|>');
    expect(both.examples[0]!.text).toContain('user\nBe long.\n\nc<|im_end|>');
    const droppingLate = `{% for m in messages %}{% if m.role != 'system' or loop.first %}{{ ${turn('m.role', 'm.content')} }}{% endif %}{% endfor %}${ask()}`;
    const one = fold(droppingLate);
    expect(one.examples[0]!.text).toContain('system\nBe brief.<|im_end|>');
    expect(one.examples[0]!.text).toContain('user\nBe long.\n\nc<|im_end|>');
    expect(one.leftOut).toEqual([]);
    expect(() => render(roles("m.role == 'system'"), late, { unroll: 'all', foldSystem: false })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('--fold-system') as string }),
    );
  });
});

describe('thinking', () => {
  const open = (chatTemplate: string) => openTemplate({ chatTemplate, bosText: '<s>', eosText: null });
  const switched = (name: string) =>
    `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}{% if add_generation_prompt and ${name} is defined and ${name} %}{{ '<think>\\n' }}{% endif %}`;

  it('is switched by the variable that the template reads', () => {
    for (const name of ['enable_thinking', 'thinking']) {
      expect(thinkingVariables(open(switched(name)), 'on')).toMatchObject({ [name]: true });
      expect(thinkingVariables(open(switched(name)), 'off')).toMatchObject({ [name]: false });
    }
    const effort = `{% set e = reasoning_effort if reasoning_effort is defined else 'none' %}{{ messages[0].content }}{% if add_generation_prompt %}{{ '[MODEL]' + ('[THINK]' if e == 'high' else '') }}{% endif %}`;
    expect(thinkingVariables(open(effort), 'on')).toEqual({ reasoning_effort: 'high' });
    expect(thinkingVariables(open(effort), 'off')).toEqual({ reasoning_effort: 'none' });
  });

  it('is what the template does anyway, or refused, where there is no switch', () => {
    const plain = open(`{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`);
    expect(thinkingVariables(plain, 'off')).toEqual({});
    expect(() => thinkingVariables(plain, 'on')).toThrow(/no switch that turns thoughts on/);
    const always = open(`{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask('<think>\\n')}`);
    expect(thinkingVariables(always, 'on')).toEqual({});
    expect(() => thinkingVariables(always, 'off')).toThrow(/no switch that turns thoughts off/);
  });
});

describe('a thought beside the content', () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const beside = (field: string) =>
    `{% for m in messages %}{{ ${turn('m.role', `('<think>\\n' + m.${field} + '\\n</think>\\n\\n' if m.${field} and loop.last else '') + m.content`)} }}{% endfor %}${ask()}`;
  const rows: ChatMessage[] = [
    { role: 'user', content: '2+2?' },
    { role: 'assistant', content: '4', reasoning_content: 'Two and two.' },
  ];

  it('is handed over in the field that the template reads, or in the content where it reads that', async () => {
    for (const field of ['reasoning_content', 'reasoning', 'thinking'])
      expect(trainedOf(await learn(beside(field), tokenizer, rows))).toEqual([[`${thought}<|im_end|>`]]);
    const r1 = `{% for m in messages %}{{ ${turn('m.role', "m.content.split('</think>')[-1]")} }}{% endfor %}${ask('<think>\\n')}`;
    expect(trainedOf(await learn(r1, tokenizer, rows))).toEqual([['Two and two.\n</think>\n\n4<|im_end|>']]);
  });

  it('follows words of the prompt that lead into it, which turns do not have or an answer begins with', async () => {
    // As Apriel asks: every prompt begins the thought in words.
    const lead = 'Here are my steps:\n';
    const apriel = `{% for m in messages %}{{ ${turn('m.role', "((m.reasoning_content + '\\n[FINAL]\\n') if m.reasoning_content and loop.last else '') + m.content")} }}{% endfor %}${ask(lead.replace('\n', '\\n'))}`;
    expect(trainedOf(await learn(apriel, tokenizer, rows))).toEqual([['Two and two.\n[FINAL]\n4<|im_end|>']]);
    const begun = [rows[0]!, { role: 'assistant', content: `${lead}Two.\n[FINAL]\n4` } as const];
    expect(trainedOf(await learn(apriel, tokenizer, begun))).toEqual([['Two.\n[FINAL]\n4<|im_end|>']]);
    const without = [rows[0]!, { role: 'assistant', content: '4' } as const];
    await expect(learn(apriel, tokenizer, without)).rejects.toThrow(
      /message 2 so that it does not follow its own prompt for an answer, which ends with "Here are my steps:\\n"/,
    );
  });

  it('is refused by a template that writes no thoughts, or leaves out this one', async () => {
    const plain = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    await expect(learn(plain, tokenizer, rows)).rejects.toThrow(
      /message 2 has a thought beside its content.*writes no thoughts/,
    );
    // It writes a thought only where it calls, and begins a call in another way than an answer.
    const calling = `{% for m in messages %}{{ ${turn("('tools' if m.tool_calls else m.role)", "(m.reasoning_content if m.tool_calls and m.reasoning_content else '') + m.content")} }}{% endfor %}${ask()}`;
    await expect(learn(calling, tokenizer, rows)).rejects.toThrow(/leaves out what message 2 thinks/);
  });

  it('is written before a text as before a call, where the template writes it only there (Gemma 4, Kimi K2)', async () => {
    const asked = [...rows, { role: 'user', content: '3+3?' }, { role: 'assistant', content: '6' }] as const;
    const gemma = beside('reasoning_content').replace('and loop.last', 'and m.tool_calls');
    expect(trainedOf(await learn(gemma, tokenizer, asked))).toEqual([[`${thought}<|im_end|>`], ['6<|im_end|>']]);
    const kimi = `{% for m in messages %}{% set t = m.reasoning_content if m.tool_calls and m.reasoning_content else '' %}{{ ${turn('m.role', "('<think>' + t + '</think>' if m.role == 'assistant' else '') + m.content")} }}{% endfor %}${ask()}`;
    expect(trainedOf(await learn(kimi, tokenizer, asked))).toEqual([
      ['<think>Two and two.</think>4<|im_end|>'],
      ['<think></think>6<|im_end|>'],
    ]);
  });

  it('is handed over as a part, or in the tags that the template names', async () => {
    const parts = (type: string) =>
      `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ '[THINK]' + p.thinking + '[/THINK]' if p.type == '${type}' else p.text }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}${ask()}`;
    expect(trainedOf(await learn(parts('thinking'), tokenizer, rows))).toEqual([['[THINK]Two and two.[/THINK]4<|im_end|>']]);
    const blocks = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.content is string %}{{ m.content }}{% else %}{% for b in m.content.blocks %}{{ '<<' + b.text + '>>' if b.type == 'thoughts' else b.text if b.type == 'response' else '' }}{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}${ask()}`;
    expect(trainedOf(await learn(blocks, tokenizer, rows))).toEqual([['<<Two and two.>>4<|im_end|>']]);
    const tags = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}{# [THINK]..[/THINK] #}`;
    expect(trainedOf(await learn(tags, tokenizer, rows))).toEqual([['[THINK]Two and two.[/THINK]4<|im_end|>']]);
    // It prints whatever the content is, and reads nothing of it.
    const printed = `{% for m in messages %}{{ ${turn('m.role', 'm.content ~ ""')} }}{% endfor %}${ask()}`;
    await expect(learn(printed, tokenizer, rows)).rejects.toThrow(/writes no thoughts/);
  });

  it('is not left behind in the history where the template cuts it out of every text (DeepSeek R1)', async () => {
    const r1 = `{% for m in messages %}{{ ${turn('m.role', "m.content.split('</think>')[-1]")} }}{% endfor %}${ask('<think>\\n')}`;
    const again = [...rows, { role: 'user', content: '3+3?' }, { role: 'assistant', content: '  6' }] as const;
    const { examples } = await learn(r1, tokenizer, again);
    expect(examples.map(({ trained }) => trained)).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>'],
      // An answer keeps the blanks at its beginning.
      ['\n</think>\n\n  6<|im_end|>'],
    ]);
    const template = openTemplate({ chatTemplate: r1, bosText: '<s>', eosText: null });
    const trained = again.map(({ role }) => role === 'assistant');
    const rendered = renderConversation(template, { messages: again, trained, variables: {} }, new EndTokens(tokenizer));
    expect(rendered.examples.at(-1)!.text).toContain('<|im_start|>assistant\n4<|im_end|>');
  });
});

describe('tools', () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const tools = [{ type: 'function', function: { name: 'weather', parameters: {} } }];
  const called = (args: string | Record<string, unknown>): ChatMessage[] => [
    { role: 'user', content: 'Weather?' },
    { role: 'assistant', content: '', tool_calls: [{ type: 'function', function: { name: 'weather', arguments: args } }] },
    { role: 'tool', content: 'grey' },
    { role: 'assistant', content: 'It is grey.' },
  ];
  const calling = (args: string) =>
    `{% if tools %}{{ ${turn("'system'", 'tools | tojson')} }}{% endif %}{% for m in messages %}{% if m.tool_calls %}{{ '<|im_start|>assistant' }}{% for c in m.tool_calls %}{{ '\\n<tool_call>' + c.function.name + ' ' + ${args} + '</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% else %}{{ ${turn('m.role', 'm.content')} }}{% endif %}{% endfor %}${ask()}`;
  const render = (chatTemplate: string, messages: readonly ChatMessage[], given: object = { tools }) => {
    const template = openTemplate({ chatTemplate, bosText: '<s>', eosText: null });
    const trained = messages.map(({ role }) => role === 'assistant');
    const { examples } = renderConversation(template, { messages, trained, variables: {}, ...given }, new EndTokens(tokenizer));
    return examples.map(({ text, trained: spans }) => spans.map(({ start, end }) => text.slice(start, end)));
  };

  it('are called behind the history of the prompt where the last question has the system turn (Mistral Nemo)', () => {
    const nemo = `{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{{ '[INST]' + (messages[0].content + '\\n\\n' if loop.last and messages[0].role == 'system' else '') + m.content + '[/INST]' }}{% elif m.tool_calls %}{{ '[CALLS]' + m.tool_calls[0].function | tojson + '<|im_end|>' }}{% elif m.role == 'tool' %}{{ '[RESULT]' + m.content }}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}{{ tools | tojson }}`;
    const bare = nemo.replace('{{ tools | tojson }}', "{{ '' if tools else '' }}");
    const template = `{{ tools | tojson }}${bare}`;
    const row = [{ role: 'system', content: 'Be brief.' } as const, ...called({ city: 'Bern' })];
    expect(render(template, row)).toEqual([
      ['[CALLS]{"name": "weather", "arguments": {"city": "Bern"}}<|im_end|>'],
      ['It is grey.<|im_end|>'],
    ]);
  });

  it('are written with the conversation; a call is trained and its result is not, however arguments are given and taken', () => {
    for (const template of [calling('(c.function.arguments | tojson)'), calling('c.function.arguments')])
      for (const args of [{ city: 'Bern' }, '{"city": "Bern"}'])
        expect(render(template, called(args))).toEqual([
          [
            `<tool_call>weather {"city": "Bern"}</tool_call><|im_end|>`.replace(
              ': ',
              typeof args === 'object' && !template.includes('arguments | tojson') ? ':' : ': ',
            ),
            'It is grey.<|im_end|>',
          ],
        ]);
  });

  it('are refused with the reason where the template does not write them', () => {
    const plain = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    expect(() => render(plain, said(['user', 'a'], ['assistant', 'b']))).toThrow(
      /'tools': the model's chat template does not write them/,
    );
    expect(() => render(plain, called({}), {})).toThrow(
      /message 2 has 'tool_calls': the model's chat template writes no calls/,
    );
    expect(() => render(calling('(c.function.arguments | tojson)'), called('{"city"'))).toThrow(/not the JSON of an object/);
    const strict = calling('(c.function.arguments | tojson)').replace(
      '{% for c',
      "{% if not m.tool_calls[0].id %}{{ raise_exception('no id') }}{% endif %}{% for c",
    );
    expect(() => render(strict, called({}))).toThrow(/no id/);
  });

  it('are answered behind the header of the prompt where the result before ends in another way (Bielik 3)', () => {
    const bielik = `{{ tools | tojson }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}{% if m.role != 'tool' or loop.last %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}${ask()}`;
    expect(render(bielik, called({ city: 'Bern' }))).toEqual([
      ['{"name": "weather", "arguments": {"city": "Bern"}}<|im_end|>', 'It is grey.<|im_end|>'],
    ]);
  });

  it('have no end where the template writes none, and calls only where there is no content (DeepSeek R1)', () => {
    const r1 = `{{ tools | tojson }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.content is none %}{{ m.tool_calls[0].function.name }}{% for k, v in m.tool_calls[0].function.arguments.items() %}{{ k + '=' + v }}{% endfor %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}${ask()}`;
    expect(render(r1, called({ city: 'Bern' }))).toEqual([['weathercity=Bern', 'It is grey.<|im_end|>']]);
  });

  it('stay in the text of a turn where the template writes calls in no other way (Granite 3.3)', () => {
    const granite = `{{ tools | tojson }}{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    const text = 'I look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>';
    const rows = said(['user', 'Weather?'], ['assistant', text], ['tool', 'grey'], ['assistant', 'It is grey.']);
    expect(render(granite, rows)).toEqual([[`${text}<|im_end|>`, 'It is grey.<|im_end|>']]);
    // The same where contents are lists of parts.
    const typed = granite.replace("m.content + '<|im_end|>", "m.content[0].text + '<|im_end|>");
    expect(typed).not.toBe(granite);
    expect(render(typed, rows)).toEqual([[`${text}<|im_end|>`, 'It is grey.<|im_end|>']]);
    for (const template of [granite, typed])
      expect(() => render(template, called({}))).toThrow(
        /message 2 has 'tool_calls': the model's chat template writes no calls/,
      );
  });

  it('are called as Hermes writes it in a text where their definitions are not in one', () => {
    const hermes = (system: string): ChatMessage[] => [
      ...(system === '' ? [] : said(['system', system])),
      ...said(
        ['user', 'Weather?'],
        ['assistant', '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'],
        ['tool', '<tool_response>\ngrey\n</tool_response>'],
        ['assistant', 'Grey.'],
      ),
    ];
    const template = calling('(c.function.arguments | tojson)');
    expect(render(template, hermes(''))).toMatchObject([
      ['<tool_call>weather {"city": "Bern"}</tool_call><|im_end|>', 'Grey.<|im_end|>'],
    ]);
    expect(render(template, hermes('<tools>weather</tools>'), {})[0]![0]).toContain('<tool_call>\n{"name"');
  });
});

it('contents are lists of parts for a template that takes no others (SmolVLM)', async () => {
  const tokenizer = tokenizerOf(chatml, '<|im_end|>');
  const template = `{% for m in messages %}{{ '<|im_start|>' + m.role + ':' }}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{{ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant:' }}{% endif %}`;
  expect(trainedOf(await learn(template, tokenizer, colours))).toEqual([['Blue it is<|im_end|>', 'Red it is<|im_end|>']]);
});

describe('a prompt that the text does not begin with', () => {
  const tokenizer = tokenizerOf([...chatml, '<|channel>', '<channel|>'], '<|im_end|>');

  it('closes a thought in tags of any kind, and the answer follows it', async () => {
    for (const closed of [
      '<think></think>',
      '<|channel>thought\\n<channel|>',
      '<|START_THINKING|><|END_THINKING|>',
      '[THINK][/THINK]',
    ]) {
      const template = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask(closed)}`;
      const { examples } = await learn(template, tokenizer, colours);
      expect(examples.map(({ trained }) => trained)).toEqual([['Blue it is<|im_end|>'], ['Red it is<|im_end|>']]);
    }
  });

  it('opens a thought that the template leaves open, or opens again', async () => {
    const opening = `{% for m in messages %}{{ ${turn('m.role', `('<think>\\n' if m.role == 'assistant' and loop.last else '') + m.content`)} }}{% endfor %}${ask('<think>\\n')}`;
    expect(trainedOf(await learn(opening, tokenizer, sums))).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>', '\n</think>\n\n6<|im_end|>'],
    ]);
  });

  it('has another history than the text: the answer follows the one that the model sees', async () => {
    const lastOnly = `{% set last = messages | length - 1 %}{% for m in messages %}{{ ${turn('m.role', "(messages[0].content + ' ' if m.role == 'user' and loop.index0 == last and loop.index0 > 0 else '') + m.content")} }}{% endfor %}${ask()}`;
    const { examples } = await learn(lastOnly, tokenizer, colours.slice(0, 3).concat(said(['assistant', 'Red'])));
    expect(examples.map(({ trained }) => trained)).toEqual([['Blue it is<|im_end|>', 'Red<|im_end|>']]);
    const template = openTemplate({ chatTemplate: lastOnly, bosText: null, eosText: null });
    const trained = colours.map(({ role }) => role === 'assistant');
    const rendered = renderConversation(template, { messages: colours, trained, variables: {} }, new EndTokens(tokenizer));
    expect(rendered.examples.map(({ text }) => text.includes('Name a colour Another<|im_end|>'))).toEqual([true]);
  });

  it('opens a thought where the text closes one that it has cut out (DeepSeek V3.1)', async () => {
    const template = `{% for m in messages %}{{ '<|im_start|>assistant\\n</think>' + m.content.split('</think>')[-1] + '<|im_end|>' if m.role == 'assistant' else ${turn('m.role', 'm.content')} }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' + ('<think>' if thinking is defined and thinking else '</think>') }}{% endif %}`;
    expect(trainedOf(await learn(template, tokenizer, colours))).toEqual([['Blue it is<|im_end|>', 'Red it is<|im_end|>']]);
    expect(trainedOf(await learn(template, tokenizer, sums))).toEqual([
      ['Two and two.\n</think>\n\n4<|im_end|>'],
      ['6<|im_end|>'],
    ]);
  });

  it('an answer that only names the tag that ends a thought has none (Gemma 4)', async () => {
    const naming = said(['user', 'x'], ['assistant', 'a </think> b <think> c']);
    const gemma = `{% if enable_thinking %}{{ '<|think|>' }}{% endif %}{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' + ('' if enable_thinking else '<|channel>thought\n<channel|>') }}{% endif %}`;
    for (const variables of [{}, { enable_thinking: false }, { enable_thinking: true }]) {
      const { examples } = await learn(gemma, tokenizer, naming, { variables });
      expect(examples.map(({ trained }) => trained)).toEqual([['a </think> b <think> c<|im_end|>']]);
      const asked = variables.enable_thinking === true ? 'assistant\n' : 'thought\n<channel|>';
      expect(examples[0]!.prompt.endsWith(asked), asked).toBe(true);
    }
    const plain = `{% for m in messages %}{{ ${turn('m.role', 'm.content')} }}{% endfor %}${ask()}`;
    expect(trainedOf(await learn(plain, tokenizer, naming))).toEqual([['a </think> b <think> c<|im_end|>']]);
    // A prompt that has opened a thought lets the answer go on in it.
    const r1 = `{% for m in messages %}{{ ${turn('m.role', "m.content.split('</think>')[-1]")} }}{% endfor %}${ask('<think>\\n')}`;
    const opened = said(['user', '2+2?'], ['assistant', 'Two and two.\n</think>\n\n4']);
    expect(trainedOf(await learn(r1, tokenizer, opened))).toEqual([['Two and two.\n</think>\n\n4<|im_end|>']]);
  });

  it('has a header that the text leaves out', async () => {
    const bare = `{% for m in messages %}{{ m.content + '<|im_end|>' if m.role == 'assistant' else ${turn('m.role', 'm.content')} }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}`;
    expect(trainedOf(await learn(bare, tokenizer, colours))).toEqual([['Blue it is<|im_end|>'], ['Red it is<|im_end|>']]);
  });
});
