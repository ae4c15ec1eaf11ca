/** Tells a model in plain words which JSON it is to answer with, and learns from answers which that is. */
import { asObject, type Fields, jsonObject } from './json-text.ts';
import { Problem } from '../problem.ts';

/** Writes the instruction for a JSON Schema, or for a list of definitions of tools. Throws a `Problem` for anything else. */
export function schemaInstruction(schema: unknown): string {
  if (Array.isArray(schema))
    return [
      'You can call these functions:',
      ...schema.map((tool) => JSON.stringify(tool)),
      'Where a function is to be called, answer only with one JSON object for each call, and nothing else: {"name": the name of the function, "arguments": an object with its arguments}. Where none fits, answer in words.',
    ].join('\n');
  if (typeof schema !== 'object' || schema === null)
    throw new Problem(
      'request-invalid',
      'The schema is neither a JSON Schema nor a list of tools.',
      'Give an object or a list.',
    );
  return `Answer only with one JSON object, and nothing else: no explanation and no code fence. It must be valid by this JSON Schema:\n${JSON.stringify(schema)}`;
}

/** Returns the JSON Schema of the documents that are asked for: of one call where the schema is a list of tools. */
export function documentSchema(schema: unknown): unknown {
  if (!Array.isArray(schema)) return schema;
  return {
    anyOf: schema.map((tool) => {
      const { name, parameters = { type: 'object' } } = (asObject(asObject(tool)?.['function']) ??
        asObject(tool) ??
        {}) as Fields;
      return {
        type: 'object',
        properties: { name: { const: name }, arguments: parameters },
        ...{ required: ['name', 'arguments'], additionalProperties: false },
      };
    }),
  };
}

/** Says of how many different values a text is one at most, and how often each must be met, before the values are listed. */
const mostValues = 8;
const leastPerValue = 3;

/**
 * Learns a plain schema from answers that are all JSON objects: types, the fields that all have, and the values of texts that
 * have few. Returns null where an answer is no object, or there is none.
 */
export function learnedSchema(answers: readonly string[]): Fields | null {
  const objects = answers.map((answer) => jsonObject(answer));
  return objects.length === 0 || objects.includes(null) ? null : schemaOf(objects);
}

function schemaOf(values: readonly unknown[]): Fields {
  const types = [...new Set(values.map(typeOf))].toSorted();
  // A whole number is a number.
  const known = types.includes('number') ? types.filter((type) => type !== 'integer') : types;
  const type = known.length === 1 ? known[0]! : known;
  const objects = values.filter((value) => typeOf(value) === 'object') as Readonly<Record<string, unknown>>[];
  const items = values.filter(Array.isArray).flat();
  return {
    type,
    ...(type === 'string' ? enumOf(values as readonly string[]) : {}),
    ...(objects.length === 0 ? {} : fieldsOf(objects)),
    ...(items.length === 0 ? {} : { items: schemaOf(items) }),
  };
}

function fieldsOf(objects: readonly Readonly<Record<string, unknown>>[]): Fields {
  const names = [...new Set(objects.flatMap((object) => Object.keys(object)))];
  const having = (name: string) => objects.filter((object) => Object.hasOwn(object, name));
  const properties = names.map((name) => [name, schemaOf(having(name).map((object) => object[name]))] as const);
  const required = names.filter((name) => having(name).length === objects.length);
  return { properties: Object.fromEntries(properties), required, additionalProperties: false };
}

function enumOf(values: readonly string[]): Fields {
  const different = new Set(values);
  if (different.size > mostValues || values.length < leastPerValue * different.size) return {};
  return { enum: [...different].toSorted() };
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'number' ? (Number.isInteger(value) ? 'integer' : 'number') : typeof value;
}
