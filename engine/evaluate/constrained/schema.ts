/** Turns a JSON Schema into the language of its documents. What it says and no language can hold is refused by its place. */
import { compiledSchema } from '../json-schema.ts';
import { Problem } from '../../problem.ts';
import { anyText, LengthAutomaton, type Automaton } from './automaton.ts';
import { ItemsTerm, type ArrayForm } from './items.ts';
import { MembersTerm, type ObjectForm } from './members.ts';
import { NumberTerm } from './number.ts';
import { patternAutomaton, PatternRefused } from './pattern.ts';
import { Rule, type Grammar, type Term } from './terms.ts';
import { TextTerm } from './text.ts';

type Schema = boolean | Readonly<Record<string, unknown>>;
type Fields = Readonly<Record<string, unknown>>;
type Type = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

const keywordsOfType = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
} as const;
const typed: readonly string[] = Object.values(keywordsOfType).flat();
/** These keywords say what a document is, and are read here. */
const read: ReadonlySet<string> = new Set([...typed, 'type', 'enum', 'const', '$ref', 'allOf', 'anyOf', 'oneOf']);
/** These keywords allow and forbid nothing. `format` does neither in draft 2020-12. */
const silent: ReadonlySet<string> = new Set([
  ...['$schema', '$id', '$comment', '$defs', 'definitions', 'title', 'description', 'default', 'example', 'examples'],
  ...['deprecated', 'readOnly', 'writeOnly', 'format', 'contentEncoding', 'contentMediaType', 'contentSchema', '$anchor'],
]);
const anyType: readonly Type[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];

/** Returns the language of the documents that a schema allows, written compactly. */
export function documentsOf(schema: unknown, grammar: Grammar): Term {
  compiledSchema(schema, 'The schema');
  const reader = new SchemaReader(schema as Schema, grammar);
  const documents = reader.value(schema as Schema, '');
  reader.finish();
  if (documents.least === Infinity)
    throw refused('', 'no document is allowed by it that ends', 'Check what it requires, and what refers to itself.');
  return documents;
}

class SchemaReader {
  readonly #root: Schema;
  readonly #grammar: Grammar;
  readonly #rules = new Map<string, Rule>();
  /** Lists what is to be read once all before it is: a schema may refer to itself. */
  readonly #waiting: (() => void)[] = [];
  /** Is one optional space, as models write it after a colon and a comma. */
  readonly #space: Term;

  constructor(root: Schema, grammar: Grammar) {
    this.#root = root;
    this.#grammar = grammar;
    this.#space = grammar.either(grammar.literal(' '), grammar.empty);
  }

  /** Returns the language of the values that a part of the schema allows. */
  value(schema: Schema, at: string): Rule {
    // Schemas that allow everything are the same language, wherever they stand.
    const place = schema === true || Object.keys(schema).length === 0 ? 'anything' : at;
    const held = this.#rules.get(place);
    if (held !== undefined) return held;
    const rule = new Rule(this.#grammar);
    this.#rules.set(place, rule);
    this.#waiting.push(() => (rule.body = this.#body(schema, at)));
    return rule;
  }

  /** Reads all parts that are referred to. */
  finish(): void {
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) next();
    for (const [place, rule] of this.#rules)
      if (rule.beginsWith(rule))
        throw refused(place, 'it is a reference to itself', 'Let it refer to itself only in properties and items.');
    this.#grammar.settle(this.#rules.values());
  }

  #body(schema: Schema, at: string): Term {
    if (schema === false) return this.#grammar.none;
    if (schema === true) return this.#ofTypes({}, at, anyType);
    if (at !== '' && '$id' in schema) throw refused(`${at}/$id`, 'it is a schema of its own', 'Put all parts under "$defs".');
    const own = Object.keys(schema).filter((key) => !silent.has(key));
    if (own.includes('enum') || own.includes('const')) return this.#values(schema, at);
    const strange = own.find((key) => !read.has(key));
    if (strange !== undefined && !isSilent(strange, schema))
      throw refused(
        `${at}/${pointed(strange)}`,
        'this keyword is not supported',
        `Leave '${strange}' out, or say it in other words.`,
      );
    const joining = ['$ref', 'allOf', 'anyOf', 'oneOf'].filter((key) => own.includes(key));
    if (joining.length > 1) throw beside(at, joining[1]!, joining[0]!);
    const beyond = own.filter((key) => !joining.includes(key));
    switch (joining[0]) {
      case '$ref':
        if (beyond.length > 0) throw beside(at, '$ref', beyond[0]!);
        return this.#referred(schema['$ref'] as string, at);
      case 'allOf': {
        const parts = schema['allOf'] as readonly Schema[];
        if (parts.length === 1 && beyond.length === 0) return this.value(parts[0]!, `${at}/allOf/0`);
        throw refused(`${at}/allOf`, 'schemas that hold together are not joined', 'Write them as one schema.');
      }
      case 'anyOf':
      case 'oneOf':
        return this.#branches(schema, joining[0], at);
    }
    return this.#ofTypes(schema, at, typesOf(schema));
  }

  #referred(reference: string, at: string): Term {
    const { schema, place } = this.#find(reference, at);
    return this.value(schema, place);
  }

  /** Returns the part of the schema that a reference names. */
  #find(reference: string, at: string): { readonly schema: Schema; readonly place: string } {
    const elsewhere = (): Problem =>
      refused(`${at}/$ref`, `'${reference}' is no place in the schema`, 'Refer to parts as "#/$defs/name".');
    if (reference !== '#' && !reference.startsWith('#/')) throw elsewhere();
    let found: unknown = this.#root;
    let place = '';
    for (const part of reference.slice(1).split('/').slice(1)) {
      const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) throw elsewhere();
      found = (found as Fields)[name];
      place += `/${pointed(name)}`;
    }
    if (!isSchema(found)) throw elsewhere();
    return { schema: found, place };
  }

  /** Returns the language of the listed values that the rest of the schema allows too. */
  #values(schema: Fields, at: string): Term {
    const { enum: listed = [schema['const']], ...rest } = schema as { readonly enum?: readonly unknown[] } & Fields;
    const root = typeof this.#root === 'object' ? this.#root : {};
    const parts = { $defs: root['$defs'] ?? {}, definitions: root['definitions'] ?? {} };
    const allows = compiledSchema({ ...parts, ...rest }, `The schema at ${at || 'its root'}`);
    return this.#grammar.either(...listed.filter((value) => allows(value)).map((value) => this.#constant(value)));
  }

  #constant(value: unknown): Term {
    const grammar = this.#grammar;
    if (typeof value !== 'object' || value === null) return grammar.literal(bytesOf(JSON.stringify(value)));
    const comma = grammar.sequence(grammar.literal(','), this.#space);
    const parts = Array.isArray(value)
      ? value.map((item) => this.#constant(item))
      : Object.entries(value).map(([name, item]) => grammar.sequence(this.#name(name), this.#constant(item)));
    const [open, close] = Array.isArray(value) ? '[]' : '{}';
    const listed = parts.flatMap((part, i) => (i === 0 ? [part] : [comma, part]));
    return grammar.sequence(grammar.literal(open!), ...listed, grammar.literal(close!));
  }

  #name(name: string): Term {
    return this.#grammar.sequence(this.#grammar.literal(bytesOf(`${JSON.stringify(name)}:`)), this.#space);
  }

  #branches(schema: Fields, keyword: 'anyOf' | 'oneOf', at: string): Term {
    const branches = schema[keyword] as readonly Schema[];
    const { [keyword]: _, ...around } = schema;
    const beyond = Object.keys(around).filter((key) => !silent.has(key));
    const joined = branches.map((branch, i) => {
      const place = `${at}/${keyword}/${i}`;
      if (beyond.length === 0 || branch === false) return { branch, place };
      const own = branch === true ? {} : branch;
      const extra = Object.keys(own).filter((key) => !silent.has(key) && !sameValue(own[key], around[key]));
      // More can be required, or one type of several, without a change in what the rest means.
      if (extra.some((key) => key !== 'required' && (key in around || beyond.some((each) => each !== 'type'))))
        throw beside(at, keyword, beyond.find((each) => each !== 'type') ?? beyond[0]!);
      const required = [...list(around['required']), ...list(own['required'])];
      return { branch: { ...around, ...own, ...(required.length > 0 ? { required } : {}) }, place };
    });
    if (keyword === 'oneOf')
      joined.forEach(({ branch }, i) => {
        const other = joined.slice(0, i).findIndex((each) => !this.#areApart(branch, each.branch, at));
        if (other >= 0)
          throw refused(
            `${at}/oneOf`,
            `a document may be allowed by both branch ${other} and branch ${i}`,
            'Give the branches different types, or a required property with a "const" of its own; or use "anyOf".',
          );
      });
    return this.#grammar.either(...joined.map(({ branch, place }) => this.value(branch, place)));
  }

  /** Returns whether no value is allowed by both schemas, as far as their types and constants tell. */
  #areApart(a: Schema, b: Schema, at: string): boolean {
    const [first, second] = [this.#resolved(a, at), this.#resolved(b, at)];
    if (first === null || second === null) return true;
    const [values, others] = [constants(first), constants(second)];
    if (values !== null && others !== null) return !values.some((value) => others.some((other) => sameValue(value, other)));
    const types = exactTypes(first);
    const common = exactTypes(second).filter((type) => types.includes(type));
    if (common.length === 0) return true;
    if (common.some((type) => type !== 'object')) return false;
    const named = fields(first['properties']);
    const namedToo = fields(second['properties']);
    return list(first['required']).some((name) => {
      if (!list(second['required']).includes(name) || !Object.hasOwn(named, name) || !Object.hasOwn(namedToo, name))
        return false;
      return this.#areApart(named[name] as Schema, namedToo[name] as Schema, at);
    });
  }

  /** Returns what a schema refers to, and null for one that allows nothing. */
  #resolved(schema: Schema, at: string): Fields | null {
    let found: Schema = schema;
    for (let i = 0; typeof found === 'object' && typeof found['$ref'] === 'string' && i < 100; i++)
      found = this.#find(found['$ref'], at).schema;
    return found === true ? {} : found === false ? null : found;
  }

  #ofTypes(schema: Fields, at: string, types: readonly Type[]): Term {
    return this.#grammar.either(...types.map((type) => this.#ofType(schema, at, type)));
  }

  #ofType(schema: Fields, at: string, type: Type): Term {
    const grammar = this.#grammar;
    switch (type) {
      case 'null':
        return grammar.literal('null');
      case 'boolean':
        return grammar.either(grammar.literal('true'), grammar.literal('false'));
      case 'integer':
      case 'number': {
        const bound = (name: string, otherwise: number): number => (schema[name] as number | undefined) ?? otherwise;
        return NumberTerm.begin(grammar, {
          isInteger: type === 'integer',
          minimum: bound('minimum', -Infinity),
          maximum: bound('maximum', Infinity),
          exclusiveMinimum: bound('exclusiveMinimum', -Infinity),
          exclusiveMaximum: bound('exclusiveMaximum', Infinity),
        });
      }
      case 'string':
        return grammar.sequence(grammar.literal('"'), TextTerm.begin(grammar, texts(schema, at)));
      case 'array':
        return grammar.sequence(grammar.literal('['), ItemsTerm.begin(grammar, this.#array(schema, at)));
      case 'object':
        return grammar.sequence(grammar.literal('{'), MembersTerm.begin(grammar, this.#object(schema, at)));
    }
  }

  #array(schema: Fields, at: string): ArrayForm {
    const comma = this.#grammar.sequence(this.#grammar.literal(','), this.#space);
    const first = list<Schema>(schema['prefixItems']).map((item, i) => this.value(item, `${at}/prefixItems/${i}`));
    const rest = this.value((schema['items'] as Schema | undefined) ?? true, `${at}/items`);
    const [least, most] = [
      (schema['minItems'] as number | undefined) ?? 0,
      (schema['maxItems'] as number | undefined) ?? Infinity,
    ];
    return { key: at, comma, first, rest, least, most };
  }

  #object(schema: Fields, at: string): ObjectForm {
    const properties = fields(schema['properties']);
    const other = (schema['additionalProperties'] as Schema | undefined) ?? true;
    const others = this.value(other, `${at}/additionalProperties`);
    const required = list<string>(schema['required']);
    const unnamed = required.filter((name) => !Object.hasOwn(properties, name));
    const members = [
      ...Object.keys(properties).map((name) => ({
        name,
        value: this.value(properties[name] as Schema, `${at}/properties/${pointed(name)}`),
      })),
      ...[...new Set(unnamed)].map((name) => ({ name, value: others })),
    ];
    return {
      key: at,
      comma: this.#grammar.sequence(this.#grammar.literal(','), this.#space),
      space: this.#space,
      members: members.map(({ name, value }) => ({
        value,
        start: this.#name(name),
        isRequired: required.includes(name),
      })),
      names: members.map(({ name }) => name),
      others,
    };
  }
}

function texts(schema: Fields, at: string): Automaton {
  const least = (schema['minLength'] as number | undefined) ?? 0;
  const most = (schema['maxLength'] as number | undefined) ?? Infinity;
  const pattern = schema['pattern'] as string | undefined;
  if (pattern === undefined) return least === 0 && most === Infinity ? anyText : new LengthAutomaton(least, most);
  try {
    return patternAutomaton(pattern, least, most);
  } catch (error) {
    if (!(error instanceof PatternRefused)) throw error;
    throw refused(`${at}/pattern`, `the pattern ${error.message}`, 'Write it without; or leave it out.');
  }
}

// ── What a schema says ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Returns the types that are written for a schema. Where it names none, they are those that its keywords are about. */
function typesOf(schema: Fields): readonly Type[] {
  if (schema['type'] !== undefined) {
    const types = [schema['type']].flat() as Type[];
    return types.includes('number') ? types.filter((type) => type !== 'integer') : types;
  }
  const about = Object.entries(keywordsOfType).filter(([, keywords]) => keywords.some((each) => each in schema));
  return about.length > 0 ? about.map(([type]) => type as Type) : anyType;
}

/** Returns all types that a schema allows; an integer is a number too. */
function exactTypes(schema: Fields): readonly string[] {
  const types: readonly unknown[] = constants(schema)?.map(typeOf) ?? [schema['type'] ?? anyType].flat();
  return types.map((type) => (type === 'integer' ? 'number' : String(type)));
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

function constants(schema: Fields): readonly unknown[] | null {
  if ('const' in schema) return [schema['const']];
  return (schema['enum'] as readonly unknown[] | undefined) ?? null;
}

/** Returns whether a keyword that is not read says nothing here, as `uniqueItems: false`. */
function isSilent(keyword: string, schema: Fields): boolean {
  const value = schema[keyword];
  return (keyword === 'uniqueItems' && value === false) || (keyword === 'minProperties' && value === 0);
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'boolean' || (typeof value === 'object' && value !== null && !Array.isArray(value));
}

function list<T = string>(value: unknown): readonly T[] {
  return (value as readonly T[] | undefined) ?? [];
}

function fields(value: unknown): Fields {
  return (value as Fields | undefined) ?? {};
}

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [names, others] = [Object.keys(a), Object.keys(b)];
  if (Array.isArray(a) !== Array.isArray(b) || names.length !== others.length) return false;
  return names.every((name) => Object.hasOwn(b, name) && sameValue((a as Fields)[name], (b as Fields)[name]));
}

function pointed(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function beside(at: string, keyword: string, other: string): Problem {
  return refused(`${at}/${keyword}`, `it stands beside '${other}'`, 'Write what they say together as one schema.');
}

function refused(at: string, why: string, hint: string): Problem {
  const where = at === '' ? 'the schema' : `the schema at ${at}`;
  return new Problem('request-invalid', `An answer cannot be held to ${where}: ${why}.`, hint);
}
