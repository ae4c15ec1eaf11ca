/** Lists forty schemas to hold answers to, of the kinds that people write and of those that are hard. */
const text = { type: 'string' };
const whole = { type: 'integer' };
const closed = { additionalProperties: false };

export const constrainedSchemas: readonly (boolean | Readonly<Record<string, unknown>>)[] = [
  true,
  { type: 'object' },
  { type: 'array' },
  text,
  { type: 'number' },
  whole,
  { type: ['boolean', 'null'] },
  { enum: ['red', 'grün', '藍', 'a"b\\c\n', 7, -1.5e30, null, [1, { k: [] }]] },
  { const: { a: [1, 2], b: { c: 'd, e: f' } } },
  { type: 'object', properties: { name: text, age: whole }, required: ['name', 'age'], ...closed },
  { type: 'object', properties: { a: text, b: whole, c: { type: 'boolean' } }, ...closed },
  { type: 'object', properties: { a: whole, b: whole, c: whole }, required: ['b'], ...closed },
  { properties: { a: { enum: ['x', 'y'] } }, required: ['a', 'z'] },
  { type: 'object', additionalProperties: whole },
  { type: 'object', properties: { a: whole, ab: whole, '': whole }, additionalProperties: { type: 'boolean' } },
  { type: 'object', properties: { 'a "b"': whole, 'é/~': text }, required: ['a "b"', 'é/~'], ...closed },
  { type: 'array', items: whole, minItems: 2, maxItems: 4 },
  { type: 'array', items: { type: 'object', properties: { i: whole }, required: ['i'], ...closed }, minItems: 1 },
  { type: 'array', prefixItems: [text, whole], items: false, minItems: 2 },
  { type: 'array', prefixItems: [whole], items: { type: 'boolean' }, maxItems: 5 },
  { type: 'string', minLength: 3, maxLength: 5 },
  { type: 'string', maxLength: 2 },
  { type: 'string', minLength: 6 },
  { type: 'string', pattern: '^[A-Z]{2}-\\d{3,5}$' },
  { type: 'string', pattern: '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$' },
  { type: 'string', pattern: 'ab+c|^[^a-z]*$', minLength: 2, maxLength: 9 },
  { type: 'string', pattern: '^(?:[äöü]|😀|[\\u4e00-\\u4e10])+$', maxLength: 4 },
  { type: 'integer', minimum: 18, maximum: 65 },
  { type: 'integer', exclusiveMinimum: -12, exclusiveMaximum: 1234 },
  { type: 'integer', minimum: 1000000 },
  { type: 'number', minimum: 0, maximum: 1 },
  { type: 'number', exclusiveMinimum: -0.5, exclusiveMaximum: 0.25 },
  { anyOf: [whole, { type: 'array', items: text, maxItems: 2 }, { type: 'null' }] },
  {
    oneOf: [
      { type: 'object', properties: { kind: { const: 'circle' }, r: { type: 'number' } }, required: ['kind', 'r'], ...closed },
      { type: 'object', properties: { kind: { const: 'square' }, a: whole }, required: ['kind', 'a'], ...closed },
    ],
  },
  { type: 'object', properties: { a: whole, b: whole }, ...closed, anyOf: [{ required: ['a'] }, { required: ['b'] }] },
  {
    $defs: { node: { type: 'object', properties: { v: whole, next: { $ref: '#/$defs/node' } }, required: ['v'], ...closed } },
    $ref: '#/$defs/node',
  },
  {
    $defs: { tree: { anyOf: [text, { type: 'array', items: { $ref: '#/$defs/tree' }, maxItems: 3 }] } },
    type: 'object',
    properties: { tree: { $ref: '#/$defs/tree' } },
    required: ['tree'],
    ...closed,
  },
  { type: 'object', properties: { more: { $ref: '#' } }, additionalProperties: { type: 'null' } },
  {
    type: 'object',
    title: 'Order',
    properties: {
      id: { type: 'string', pattern: '^#\\d+$' },
      items: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          properties: { n: { type: 'string', maxLength: 12 }, q: { type: 'integer', minimum: 1 } },
          required: ['n', 'q'],
          ...closed,
        },
      },
      paid: { type: ['boolean', 'null'], description: 'null where it is not known' },
    },
    required: ['id', 'items'],
    ...closed,
  },
  {
    type: 'object',
    properties: {
      name: { const: 'weather' },
      arguments: { type: 'object', properties: { city: text, unit: { enum: ['C', 'F'] } }, required: ['city'], ...closed },
    },
    required: ['name', 'arguments'],
    ...closed,
  },
];
