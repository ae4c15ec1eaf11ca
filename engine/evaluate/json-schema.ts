/** Scores with the evaluator `json-schema` whether an answer is JSON that a schema allows (draft 2020-12). */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { longestMs, within } from './bounded.ts';
import { answerKind, passed, unscored } from './evaluator.ts';
import { foundJson, notAnObject } from './json-text.ts';
import { Problem } from '../problem.ts';

export const jsonSchema = answerKind({
  name: 'json-schema',
  summary: 'the answer is JSON that the schema allows',
  options: {
    schema: { kind: 'json', help: 'is the schema, of draft 2020-12; `format` is not checked, as that draft has it' },
    fenced: { kind: 'flag', otherwise: true, help: 'reads JSON in a fenced block of Markdown too' },
  },
  open({ schema, fenced }) {
    const validate = compiledSchema(schema);
    return {
      score(_, answer) {
        const found = foundJson(answer);
        if (found === null || (found.fenced && !fenced)) return passed('json-schema', false, notAnObject(answer));
        const checked = within(() => isValid(validate, found.value));
        if (checked === null) return unscored(`the schema takes longer than ${longestMs} ms`);
        if (!checked.value.valid) return passed('json-schema', false, checked.value.why);
        return passed('json-schema', true, found.fenced ? 'valid, in a fenced block' : 'valid');
      },
    };
  },
});

/**
 * Compiles a schema. Nothing is loaded for it: what it refers to is in it, or it is refused with a `Problem`, in which `called`
 * names it.
 */
export function compiledSchema(schema: unknown, called = "The schema of 'json-schema'"): ValidateFunction {
  const refused = (why: string, hint: string): Problem =>
    new Problem('request-invalid', `${called} cannot be used: ${why}.`, hint);
  if (typeof schema !== 'boolean' && (typeof schema !== 'object' || schema === null || Array.isArray(schema)))
    throw refused('it is no object', 'Give the schema itself, as JSON.');
  const ajv = new Ajv2020({
    // An unknown keyword is refused by its name; the rest of the strictness is of style.
    ...{ strictSchema: true, strictTypes: false, strictTuples: false, strictRequired: false, logger: false },
    // Without this `required: ["toString"]` would hold for every object.
    ...{ ownProperties: true, validateFormats: false },
  });
  ajv.addVocabulary(['example']);
  let validate: { readonly value: ValidateFunction } | null;
  try {
    validate = within(() => ajv.compile(schema), 10 * longestMs);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const missing = /can't resolve reference (\S+)/.exec(error.message)?.[1];
    if (missing !== undefined)
      throw refused(
        `it refers to ${missing}, which is not in it`,
        'Put that part under "$defs"; nothing is loaded from elsewhere.',
      );
    if (error instanceof RangeError) throw refused('it is nested too deeply', 'Use a smaller schema.');
    const draft = /no schema with key or ref "(\S+)"/.exec(error.message)?.[1];
    if (draft !== undefined) throw refused(`its $schema is ${draft}`, 'Write it in draft 2020-12, or leave $schema out.');
    throw refused(error.message.replace(/^strict mode: /, ''), 'Correct the schema; it is read as draft 2020-12.');
  }
  if (validate === null) throw refused('it takes longer than ten seconds to read', 'Use a smaller schema.');
  if ('$async' in validate.value) throw refused('it has the keyword $async', 'Leave it out.');
  return validate.value;
}

function isValid(validate: ValidateFunction, value: unknown): { readonly valid: boolean; readonly why: string } {
  try {
    if (validate(value)) return { valid: true, why: '' };
    const error = validate.errors?.[0];
    const detail = error?.keyword === 'additionalProperties' ? ` ('${String(error.params['additionalProperty'])}')` : '';
    return { valid: false, why: `${error?.instancePath ?? ''} ${error?.message ?? 'is not valid'}${detail}`.trim() };
  } catch (error) {
    // A schema that refers to itself goes as deep as the answer is nested.
    if (error instanceof RangeError) return { valid: false, why: 'nested too deeply' };
    throw error;
  }
}
