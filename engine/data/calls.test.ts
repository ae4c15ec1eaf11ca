/** Tools and calls in the forms that people have them in, and what the template makes of them. */
import { expect, test } from 'vitest';
import { argumentsOf, callsInText, callsOf, hermesCalls, hermesResult, toolsOf } from './calls.ts';

const definition = { name: 'weather', parameters: { type: 'object' } };
const tool = { type: 'function', function: definition };
const call = (args: unknown) => ({ type: 'function', function: { name: 'weather', arguments: args } });

test('tools are a list or its JSON, whole or without their wrap', () => {
  for (const given of [
    { tools: [tool] },
    { tools: JSON.stringify([tool]) },
    { tools: [JSON.stringify(tool)] },
    { tools: [definition] },
    { functions: JSON.stringify([definition]) },
    { functions: [{ ...definition, type: 'function' }] },
    { tools: tool },
  ])
    expect(toolsOf(given)).toEqual([tool]);
  for (const none of [{}, { tools: null }, { tools: '[]', functions: [] }]) expect(toolsOf(none)).toBeNull();
  expect(() => toolsOf({ tools: '[{' })).toThrow(/'tools' is a text that is not JSON/);
  expect(() => toolsOf({ tools: [tool, {}] })).toThrow(/tool 2 of 'tools' has no name/);
  expect(() => toolsOf({ tools: [tool], functions: [definition] })).toThrow(/'tools' and 'functions'/);
});

test('a call is read from every field that has one, with arguments as text or object', () => {
  const asText = '{"city": "Bern"}';
  expect(callsOf({ tool_calls: [{ id: 'a', ...call({ city: 'Bern' }) }] }, 'm')).toEqual([
    { id: 'a', ...call({ city: 'Bern' }) },
  ]);
  expect(callsOf({ tool_calls: [call(asText)] }, 'm')).toEqual([call(asText)]);
  expect(callsOf({ function_call: { name: 'weather', arguments: asText } }, 'm')).toEqual([call(asText)]);
  expect(callsOf({ tool_calls: JSON.stringify([call({})]) }, 'm')).toEqual([call({})]);
  expect(callsOf({ tool_calls: [] }, 'm')).toEqual([]);
  expect(argumentsOf(callsOf({ tool_calls: [call(asText)] }, 'm')[0]!)).toEqual({ city: 'Bern' });
  expect(argumentsOf(callsOf({ tool_calls: [call('[1')] }, 'm')[0]!)).toBeNull();
  expect(() => callsOf({ tool_calls: [{ type: 'function' }] }, 'message 2')).toThrow(/call 1 of message 2 names no function/);
  expect(() => callsOf({ tool_calls: [call(7)] }, 'message 2')).toThrow(/arguments that are 7/);
});

test('a turn that is a call has one, a list, or one a line', () => {
  const one = '{"name": "weather", "arguments": {"city": "Bern"}}';
  const expected = call({ city: 'Bern' });
  expect(callsInText(one, 'm')).toEqual([expected]);
  expect(callsInText(`[${one}, ${one}]`, 'm')).toEqual([expected, expected]);
  expect(callsInText(`${one}\n${one}`, 'm')).toEqual([expected, expected]);
  expect(() => callsInText("weather('Bern')", 'message 2')).toThrow(/message 2 is a call and is not written as JSON/);
});

test('Hermes writes calls behind what a turn says', () => {
  const written = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>';
  expect(hermesCalls(`I look.\n${written}\n${written}`)).toEqual({
    said: 'I look.',
    calls: [call({ city: 'Bern' }), call({ city: 'Bern' })],
  });
  for (const none of ['plain', `${written} and more`, '<tool_call>{"a": 1}</tool_call>', '<tool_call>{broken'])
    expect(hermesCalls(none)).toBeNull();
  expect(hermesResult('<tool_response>\n{"sky": "grey"}\n</tool_response>')).toBe('{"sky": "grey"}');
  expect(hermesResult('grey')).toBeNull();
});
