/**
 * Scores with the evaluator `tool-calls` whether an answer calls the right functions with the right arguments. The rule is that
 * of the Berkeley Function-Calling Leaderboard: the parsed call is compared, never its text.
 */
import { answerKind, passed } from './evaluator.ts';
import { type Call, callsIn, deepest, nesting } from './calls-in-text.ts';
import { asObject, type Fields, isSameJson, parsedJson } from './json-text.ts';
import { Problem } from '../problem.ts';

/** Holds a call that is wanted: for each argument the values that are right. An argument with an empty text may be left out. */
interface WantedCall {
  readonly name: string;
  readonly allowed: Readonly<Record<string, readonly unknown[]>>;
}

export const toolCalls = answerKind({
  name: 'tool-calls',
  summary:
    "the answer calls the functions that the row's own answer calls, with the same arguments, or none where that has none",
  options: {
    tools: {
      kind: 'json',
      otherwise: [],
      help: 'lists definitions of functions, as OpenAI writes them; types and required arguments are then checked too',
    },
    text: {
      kind: 'choice',
      of: ['normalized', 'exact'],
      otherwise: 'normalized',
      help: 'compares texts without case, spaces and the marks ,./-_*^, as the leaderboard does, or exactly',
    },
  },
  open({ tools, text }) {
    const definitions = definitionsOf(tools);
    return {
      score({ expected }, answer) {
        if (expected.trim() === '') return null;
        const wanted = wantedCalls(expected);
        const given = callsIn(answer);
        if (wanted.length === 0 || given.length === 0) {
          if (wanted.length === given.length) return passed('tool-calls', true, 'no call, as expected');
          return passed('tool-calls', false, wanted.length === 0 ? `calls '${given[0]!.name}'` : 'no call');
        }
        const wrong = differenceOf(given, wanted, definitions, text);
        return passed('tool-calls', wrong === null, wrong ?? (wanted.length === 1 ? 'right call' : 'right calls'));
      },
    };
  },
});

// ── What is wanted ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads the row's own answer: calls in any form, or lists of allowed values as the leaderboard writes them. */
function wantedCalls(expected: string): WantedCall[] {
  const value = parsedJson(expected)?.value;
  const lists = nesting(value) > deepest ? [] : (Array.isArray(value) ? value : [value]).map(allowedValues);
  if (lists.length > 0 && lists.every((one) => one !== null)) return lists;
  return callsIn(expected).map(({ name, args }) => ({
    name,
    allowed: Object.fromEntries(Object.entries(args).map(([key, own]) => [key, [own]])),
  }));
}

/** Reads `{"function": {"argument": [values…]}}`; returns null for anything else. */
function allowedValues(value: unknown): WantedCall | null {
  const entries = Object.entries(asObject(value) ?? {});
  const [name, args] = entries[0] ?? [];
  const allowed = asObject(args);
  if (entries.length !== 1 || name === undefined || allowed === null) return null;
  return Object.values(allowed).every(Array.isArray) ? { name, allowed: allowed as WantedCall['allowed'] } : null;
}

// ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────────

type TextRule = 'normalized' | 'exact';

/** Returns in a few words what is wrong with the calls, or null. Their order does not matter. */
function differenceOf(
  given: readonly Call[],
  wanted: readonly WantedCall[],
  definitions: ReadonlyMap<string, Fields>,
  text: TextRule,
): string | null {
  if (given.length !== wanted.length) return `${given.length} of ${wanted.length} calls`;
  const problems = wanted.map((one) => given.map((call) => callProblem(call, one, definitions, text)));
  const partner = new Array<number>(given.length).fill(-1);
  // A call may fit several wanted ones; augmenting paths find a pairing where there is one (Kuhn 1955).
  const pair = (want: number, seen: Set<number>): boolean =>
    given.some((_, i) => {
      if (problems[want]![i] !== null || seen.has(i)) return false;
      seen.add(i);
      if (partner[i]! >= 0 && !pair(partner[i]!, seen)) return false;
      partner[i] = want;
      return true;
    });
  for (let want = 0; want < wanted.length; want++)
    if (!pair(want, new Set())) {
      const same = given.findIndex(({ name }) => name === wanted[want]!.name);
      return problems[want]![Math.max(0, same)] ?? `no call of '${wanted[want]!.name}'`;
    }
  return null;
}

function callProblem(
  { name, args }: Call,
  wanted: WantedCall,
  definitions: ReadonlyMap<string, Fields>,
  text: TextRule,
): string | null {
  if (name !== wanted.name) return `calls '${name}' instead of '${wanted.name}'`;
  const definition = definitions.get(name);
  const properties = asObject(definition?.['properties']) ?? {};
  const required = Array.isArray(definition?.['required']) ? (definition['required'] as unknown[]) : [];
  for (const key of required) if (typeof key === 'string' && !Object.hasOwn(args, key)) return `'${key}' is missing`;
  for (const [key, value] of Object.entries(args)) {
    if (!Object.hasOwn(wanted.allowed, key)) return `'${key}' is too many`;
    const type = asObject(properties[key])?.['type'];
    if (definition !== undefined && !Object.hasOwn(properties, key)) return `'${key}' is not defined`;
    if (typeof type === 'string' && !isOfType(value, type)) return `'${key}' is not of the type ${type}`;
    if (!wanted.allowed[key]!.some((one) => isSameValue(value, one, text))) return `'${key}' is wrong`;
  }
  for (const [key, allowed] of Object.entries(wanted.allowed))
    if (!Object.hasOwn(args, key) && !allowed.includes('')) return `'${key}' is missing`;
  return null;
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'number':
    case 'float':
      return typeof value === 'number';
    case 'array':
    case 'tuple':
      return Array.isArray(value);
    case 'object':
    case 'dict':
      return asObject(value) !== null;
    case 'string':
    case 'boolean':
      return typeof value === type;
    case 'null':
      return value === null;
    default:
      return true;
  }
}

function isSameValue(value: unknown, wanted: unknown, text: TextRule): boolean {
  return isSameJson(text === 'exact' ? value : withPlainTexts(value), text === 'exact' ? wanted : withPlainTexts(wanted));
}

/** Writes every text as the leaderboard compares it. */
function withPlainTexts(value: unknown): unknown {
  if (typeof value === 'string')
    return value
      .replace(/[ ,./\-_*^]/g, '')
      .replaceAll("'", '"')
      .toLowerCase();
  if (Array.isArray(value)) return value.map(withPlainTexts);
  const fields = asObject(value);
  return fields === null ? value : Object.fromEntries(Object.entries(fields).map(([key, own]) => [key, withPlainTexts(own)]));
}

/** Reads definitions of functions, bare or as OpenAI wraps them; returns the schema of the arguments of each. */
function definitionsOf(tools: unknown): ReadonlyMap<string, Fields> {
  const hint = 'Write {"type": "function", "function": {"name", "parameters"}} for each.';
  if (!Array.isArray(tools)) throw new Problem('request-invalid', "The option 'tools' of 'tool-calls' must be a list.", hint);
  const entries = tools.map((tool: unknown, i): [string, Fields] => {
    const own = asObject(asObject(tool)?.['function']) ?? asObject(tool);
    const parameters = own?.['parameters'] ?? {};
    if (typeof own?.['name'] !== 'string' || asObject(parameters) === null)
      throw new Problem(
        'request-invalid',
        `Tool ${i + 1} of the option 'tools' is no function with a name and parameters.`,
        hint,
      );
    return [own['name'], asObject(parameters)!];
  });
  return new Map(entries);
}
