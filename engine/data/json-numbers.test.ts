import { expect, test } from 'vitest';
import { contentOf, detectFormat } from './content.ts';
import { JsonNumber, parseKeepingNumbers, parseRow, pythonNumber } from './json-numbers.ts';
import { openTemplate } from './template.ts';
import type { Tokenizer } from './tokenizer.ts';

test.each([
  ['1.0', '1.0'],
  ['-0.0', '-0.0'],
  ['1.50', '1.5'],
  ['1e3', '1000.0'],
  ['1E22', '1e+22'],
  ['1e16', '1e+16'],
  ['123456789012345.0', '123456789012345.0'],
  ['0.0001', '0.0001'],
  ['0.00001', '1e-05'],
  ['2.5e-7', '2.5e-07'],
  ['12345678901234567890', '12345678901234567890'],
  ['7', '7'],
])('%s of JSON is printed by Python as %s', (text, printed) => {
  expect(pythonNumber(parseKeepingNumbers(text) as number)).toBe(printed);
});

test('numbers of a row keep their text in its tools and their calls alone, and are written as they were', () => {
  const text = '{"weight":1.0,"tools":[{"name":"t","least":0.0}],"messages":[{"loss":1e0,"tool_calls":[{"x":[1.0,2]}]}]}';
  const row = parseRow(text) as Record<string, unknown>;
  expect(row['weight']).toBe(1);
  expect(JSON.stringify(row)).toBe(text.replace('"weight":1.0', '"weight":1').replace('1e0', '1'));
  expect((row['messages'] as { tool_calls: { x: unknown[] }[] }[])[0]!.tool_calls[0]!.x[0]).toBeInstanceOf(JsonNumber);
});

test('a template writes the arguments of a call as transformers does, given as an object or as its text', () => {
  const chatTemplate =
    '{% for t in tools or [] %}{{ t | tojson }}|{% endfor %}{% for m in messages %}{% for c in m.tool_calls or [] %}' +
    '{{ c.function.arguments | tojson }} {{ c.function.arguments }} {% for k, v in c.function.arguments | items %}{{ k }}={{ v }};' +
    '{% if v is number and v + 1 > 1 %}+{% endif %}{% endfor %}{% endfor %}{% endfor %}';
  const template = openTemplate({ chatTemplate, bosText: null, eosText: null });
  const given = '{"a": 1.0, "b": [2.50, 3], "c": 0.00001, "d": 12345678901234567890, "e": 1e16, "f": 4}';
  // From Python 3.12: json.dumps(x), str(x) and the values one by one.
  const printed =
    '{"a": 1.0, "b": [2.5, 3], "c": 1e-05, "d": 12345678901234567890, "e": 1e+16, "f": 4} ' +
    "{'a': 1.0, 'b': [2.5, 3], 'c': 1e-05, 'd': 12345678901234567890, 'e': 1e+16, 'f': 4} " +
    'a=1.0;+b=[2.5, 3];c=1e-05;+d=12345678901234567890;+e=1e+16;+f=4;+';
  for (const value of [given, JSON.stringify(given)]) {
    const row = parseRow(
      `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"name": "t", "arguments": ${value}}]}]}`,
    ) as Record<string, unknown>;
    const content = contentOf(row, 'messages', { chatTemplate } as Tokenizer, new Set());
    if (content.kind !== 'messages') throw new Error('no conversation');
    const call = content.messages[1]!.tool_calls![0]!;
    const args = call.function.arguments;
    const read = typeof args === 'string' ? (parseKeepingNumbers(args) as Readonly<Record<string, unknown>>) : args;
    const messages = [
      { role: 'assistant', content: null, tool_calls: [{ ...call, function: { name: 't', arguments: read } }] },
    ];
    expect(template.render(messages, { addGenerationPrompt: false })).toBe(printed);
  }
  const tools = (parseRow('{"tools": [{"minimum": 0.0}]}') as { tools: unknown }).tools;
  expect(template.render([], { addGenerationPrompt: false, variables: { tools } })).toBe('{"minimum": 0.0}|');
});

test('a number as a label is trained as it is written, and a column that is null is named', () => {
  const read = (row: string) => {
    const value = parseRow(row) as Record<string, unknown>;
    const format = detectFormat(value);
    return contentOf(value, format === 'tokens' ? null : format, null, new Set());
  };
  for (const label of ['4', '1.0', '9007199254740993', '1e3'])
    expect(read(`{"prompt":"Which?","completion":${label}}`)).toMatchObject({ prompt: 'Which?', completion: label });
  expect(read('{"instruction":12345678901234567890,"output":0.50}')).toMatchObject({
    messages: [{ content: '12345678901234567890' }, { content: '0.50' }],
  });
  for (const name of ['prompt', 'completion'])
    expect(() => read(JSON.stringify({ prompt: 'a', completion: 'b', [name]: null }))).toThrow(`'${name}' is null.`);
  expect(() => read('{"first":"a","second":"b","note":null}')).toThrow('none of the known columns');
});
