/**
 * Reads the tools of rows. Definitions and calls may be in the forms of OpenAI, Hermes, ShareGPT, LLaMA-Factory and ms-swift;
 * all are converted to OpenAI's, which is the form that chat templates read.
 */
import type { ToolCall } from '../contract.ts';
import { type Fields, isEmpty } from './columns.ts';
import { JsonNumber, parseKeepingNumbers, pythonNumber } from './json-numbers.ts';
import { invalid, isMissing, shown } from './values.ts';

/** A tool definition is an object in OpenAI's form. Fields that OpenAI does not define are passed on to the chat template. */
export type ToolDefinition = Fields;

const definitionHint = 'Write it as {"type": "function", "function": {"name", "description", "parameters"}}.';
const callHint = 'Write it as {"type": "function", "function": {"name", "arguments"}}.';

/**
 * Reads the tools of a row from a list or its JSON. Returns null where the row has none. A bare function, as `functions` holds
 * them, is wrapped.
 */
export function toolsOf(row: Fields): readonly ToolDefinition[] | null {
  const [name, other] = ['tools', 'functions'].filter((column) => !isEmpty(row[column]));
  if (name === undefined) return null;
  if (other !== undefined) throw invalid(`the row has '${name}' and '${other}'.`, 'Keep one of them.');
  const list = parsed(row[name], `'${name}'`, definitionHint);
  const all: unknown[] = Array.isArray(list) ? list : [list];
  return all.map((entry, i) => {
    const where = `tool ${i + 1} of '${name}'`;
    // Tables that cannot hold objects of different shapes hold each tool as JSON text.
    const tool = parsed(entry, where, definitionHint);
    if (!isFields(tool)) throw invalid(`${where} is not an object.`, definitionHint);
    if (nameOf(tool) !== null) return tool;
    if (typeof tool['name'] !== 'string') throw invalid(`${where} has no name.`, definitionHint);
    return isMissing(tool['type']) || tool['type'] === 'function' ? { type: 'function', function: withoutType(tool) } : tool;
  });
}

/** Returns the name of the function that a definition describes. */
export function nameOf(tool: ToolDefinition): string | null {
  const own = isFields(tool['function']) ? tool['function']['name'] : null;
  return typeof own === 'string' ? own : null;
}

function withoutType({ type: _, ...tool }: Fields): Fields {
  return tool;
}

/** Reads the calls of a message from `tool_calls`, or from `function_call`, which OpenAI used before. */
export function callsOf(message: Fields, where: string): readonly ToolCall[] {
  const [name, other] = ['tool_calls', 'function_call'].filter((column) => !isEmpty(message[column]));
  if (name === undefined) return [];
  if (other !== undefined) throw invalid(`${where} has '${name}' and '${other}'.`, 'Keep one of them.');
  const list = parsed(message[name], `'${name}' of ${where}`, callHint);
  return (Array.isArray(list) ? list : [list]).map((call: unknown, i) => callOf(call, `call ${i + 1} of ${where}`));
}

/**
 * Reads a turn whose whole text is a tool call, as ShareGPT and LLaMA-Factory write it: one call, a list of calls, or one call
 * per line.
 */
export function callsInText(text: string, where: string): readonly ToolCall[] {
  const hint = 'Write it as {"name": ..., "arguments": {...}}.';
  const lines = text.trim().split('\n');
  const whole = parse(text);
  const each = whole === undefined && lines.length > 1 ? lines.map(parse) : [whole];
  if (each.includes(undefined)) throw invalid(`${where} is a call and is not written as JSON.`, hint);
  return each.flat().map((call: unknown, i) => callOf(call, `call ${i + 1} of ${where}`));
}

const hermesCall = /<tool_call>([\s\S]*?)<\/tool_call>/g;

/** Reads the calls that Hermes writes at the end of a turn. Returns null where there are none, or where text follows them. */
export function hermesCalls(content: string): { readonly said: string; readonly calls: readonly ToolCall[] } | null {
  const first = content.indexOf('<tool_call>');
  if (first < 0 || content.slice(first).replace(hermesCall, '').trim() !== '') return null;
  const calls = [...content.matchAll(hermesCall)].map(([, json]) => parse(json!));
  const isCall = (call: unknown) => isFields(call) && typeof call['name'] === 'string' && !isMissing(call['arguments']);
  if (!calls.every(isCall)) return null;
  return { said: content.slice(0, first).trimEnd(), calls: calls.map((call, i) => callOf(call, `call ${i + 1}`)) };
}

/** Returns the tool result inside the tags that Hermes puts around it, or null where there are no tags. */
export function hermesResult(content: string): string | null {
  return /^\s*<tool_response>\n?([\s\S]*?)\n?<\/tool_response>\s*$/.exec(content)?.[1] ?? null;
}

/** Returns the arguments of a call as an object, or null where their text is not a JSON object. */
export function argumentsOf({ function: { arguments: given } }: ToolCall): Fields | null {
  if (typeof given !== 'string') return given;
  const value = given.trim() === '' ? {} : parse(given);
  return isFields(value) ? value : null;
}

/** Returns every text in a call. The rendered call contains all of them, in an order that the template chooses. */
export function wordsOf(call: ToolCall): readonly string[] {
  const given = argumentsOf(call);
  return [call.function.name, ...(given === null ? [String(call.function.arguments)] : leavesOf(given))];
}

function leavesOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(leavesOf);
  if (isFields(value)) return Object.entries(value).flatMap(([key, inner]) => [key, ...leavesOf(inner)]);
  if (typeof value === 'number' || value instanceof JsonNumber) return [pythonNumber(value)];
  return typeof value === 'string' ? [value] : [];
}

function callOf(given: unknown, where: string): ToolCall {
  const call = parsed(given, where, callHint);
  if (!isFields(call)) throw invalid(`${where} is not an object.`, callHint);
  const { id, type } = call;
  if (!isMissing(type) && type !== 'function') throw invalid(`${where} has the type ${shown(type)}.`, callHint);
  const said = isMissing(call['function']) ? call : parsed(call['function'], where, callHint);
  if (!isFields(said) || typeof said['name'] !== 'string' || said['name'] === '')
    throw invalid(`${where} names no function.`, callHint);
  const args = said['arguments'] ?? said['parameters'] ?? {};
  if (typeof args !== 'string' && !isFields(args))
    throw invalid(`${where} has arguments that are ${shown(args)}.`, 'Give them as an object, or as its JSON.');
  return {
    ...(typeof id === 'string' && id !== '' ? { id } : {}),
    ...{ type: 'function', function: { name: said['name'], arguments: args } },
  };
}

/** Returns a value, parsed from JSON where it is a text. */
function parsed(value: unknown, where: string, hint: string): unknown {
  if (typeof value !== 'string') return value;
  const found = parse(value);
  if (found === undefined) throw invalid(`${where} is a text that is not JSON.`, hint);
  return found;
}

function parse(text: string): unknown {
  try {
    return parseKeepingNumbers(text);
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}
