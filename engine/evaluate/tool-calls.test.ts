import { describe, expect, it } from 'vitest';
import { callsIn } from './calls-in-text.ts';
import type { AnswerEvaluator } from './evaluator.ts';
import { toolCalls } from './tool-calls.ts';

const call = { name: 'get_weather', args: { city: 'Paris', days: 3 } };

describe('calls in an answer', () => {
  it.each([
    ['JSON', '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'],
    ['a list', '[{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}]'],
    ['a fenced block', '```json\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n```'],
    ['Hermes', 'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>'],
    ['Hermes, cut off before its end', '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'],
    ['Mistral', '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}]'],
    ['Llama', '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}<|eom_id|>'],
    [
      'OpenAI',
      '{"tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\", \\"days\\": 3}"}}]}',
    ],
    ['Python', '[get_weather(city="Paris", days=3)]'],
    ['Python without brackets', "get_weather(city='Paris', days=3,)"],
  ])('are read as %s writes them', (_, text) => {
    expect(callsIn(text)).toEqual([call]);
  });

  it('are read one per line, in several tags, and with the values of Python', () => {
    const text = '{"name": "f", "arguments": {}}';
    for (const two of [
      `${text}\n${text}`,
      `${text}; ${text}`,
      `<tool_call>${text}</tool_call>\n<tool_call>${text}</tool_call>`,
      '[f(), f()]',
    ])
      expect(callsIn(two)).toEqual([
        { name: 'f', args: {} },
        { name: 'f', args: {} },
      ]);
    expect(callsIn('[a.b(x=[1, -2.5, 1e3], y={"k": (True, None)}, z="q\\"\\n")]')).toEqual([
      { name: 'a.b', args: { x: [1, -2.5, 1000], y: { k: [true, null] }, z: 'q"\n' } },
    ]);
  });

  it.each([
    ...[
      '',
      'It is sunny.',
      '{"name": "Ada", "age": 3}',
      '{"name": "f", "arguments": "{"}',
      '<tool_call>{"name": </tool_call>',
      'f(a=',
      'f(1)',
    ],
    ...['[]', '{}', `f(a=${'['.repeat(5000)})`, `{"name": "f", "arguments": {"a": ${'['.repeat(5000)}${']'.repeat(5000)}}}`],
  ])('are none in %.40j', (text) => {
    expect(callsIn(text)).toEqual([]);
  });
});

describe('tool-calls', () => {
  const weather = {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' }, unit: { type: 'string' } },
        required: ['city'],
      },
    },
  };
  const score = (answer: string, expected: string, options: object = {}) =>
    (toolCalls.open(options) as AnswerEvaluator).score({ question: '', expected }, answer);
  const paris = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}';
  const rome = '{"name": "get_weather", "arguments": {"city": "Rome"}}';

  it.each([
    ['the same call in another form', '[get_weather(days=3.0, city="paris")]', paris, 1],
    ['another function', '[get_time(city="Paris", days=3)]', paris, 0],
    ['another value', '[get_weather(city="Rome", days=3)]', paris, 0],
    ['a missing argument', '[get_weather(city="Paris")]', paris, 0],
    ['one argument too many', '[get_weather(city="Paris", days=3, unit="c")]', paris, 0],
    ['a text for a number', '[get_weather(city="Paris", days="3")]', paris, 0],
    ['parallel calls in another order', `[${rome}, ${paris}]`, `[${paris}, ${rome}]`, 1],
    ['one of two parallel calls', paris, `[${paris}, ${rome}]`, 0],
    ['the same call twice for two', `[${paris}, ${paris}]`, `[${paris}, ${rome}]`, 0],
    ['words where words are wanted', 'It is sunny.', 'The sun shines.', 1],
    ['a call where words are wanted', paris, 'The sun shines.', 0],
    ['words where a call is wanted', 'It is sunny.', paris, 0],
  ])('scores %s', (_, answer, expected, value) => {
    expect(score(answer, expected)?.measures).toEqual({ 'tool-calls': value });
  });

  it('takes the values that the leaderboard allows, and leaves out what may be left out', () => {
    const expected = '[{"get_weather": {"city": ["Paris", "Paris, France"], "unit": ["celsius", ""]}}]';
    for (const [answer, value] of [
      ['[get_weather(city="paris,france")]', 1],
      ['[get_weather(city="Paris", unit="Celsius")]', 1],
      ['[get_weather(city="Lyon")]', 0],
      ['[get_weather(unit="celsius")]', 0],
    ] as const)
      expect(score(answer, expected)?.measures).toEqual({ 'tool-calls': value });
  });

  it('pairs each wanted call with another one, whichever fits', () => {
    const expected = '[{"f": {"a": [1, 2]}}, {"f": {"a": [1]}}]';
    for (const answer of ['[f(a=1), f(a=2)]', '[f(a=2), f(a=1)]'])
      expect(score(answer, expected)?.measures).toEqual({ 'tool-calls': 1 });
    expect(score('[f(a=2), f(a=2)]', expected)?.measures).toEqual({ 'tool-calls': 0 });
  });

  it('checks types and required arguments by the definitions', () => {
    const options = { tools: [weather] };
    expect(score('[get_weather(city="Paris", days=3)]', paris, options)?.text).toBe('right call');
    expect(score('[get_weather(days=3)]', paris, options)?.text).toBe("'city' is missing");
    expect(
      score('[get_weather(city="Paris", days=3.5)]', '[{"get_weather": {"city": ["Paris"], "days": [3.5]}}]', options)?.text,
    ).toBe("'days' is not of the type integer");
    expect(
      score('[get_weather(city="Paris", hours=1)]', '[{"get_weather": {"city": ["Paris"], "hours": [1]}}]', options)?.text,
    ).toBe("'hours' is not defined");
  });

  it('compares texts exactly where that is wanted, and says nothing of rows without an answer', () => {
    expect(score('[get_weather(city="paris", days=3)]', paris, { text: 'exact' })?.measures).toEqual({ 'tool-calls': 0 });
    expect(score('x', ' ')).toBeNull();
  });
});
