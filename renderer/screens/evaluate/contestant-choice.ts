/** Turns what is ticked in the form into contestants, and back. */
import type { Contestant, EvaluationRequest, ShotsChoice } from '../../../engine/contract.ts';

/** Names a kind of contestant without an adapter. */
type PromptedKind = 'base' | 'few-shot' | 'schema' | 'few-shot+schema' | 'constrained';
/** Names what is ticked: a kind, or an adapter by its id with or without the schema. */
export type Ticked = PromptedKind | `adapter:${string}` | `adapter+schema:${string}`;

export const promptedKinds: readonly { readonly kind: PromptedKind; readonly title: string; readonly help: string }[] = [
  { kind: 'base', title: 'Base', help: 'the model as it is' },
  { kind: 'few-shot', title: 'Few-shot', help: 'examples from the training rows before each question' },
  { kind: 'schema', title: 'Schema in the prompt', help: 'the schema in plain words in the system prompt' },
  { kind: 'few-shot+schema', title: 'Few-shot + schema', help: 'both' },
  { kind: 'constrained', title: 'Constrained', help: 'only tokens that can lead to a document of the schema' },
];

export interface EndpointFields {
  readonly url: string;
  readonly model: string;
  readonly keyVariable: string;
}
export interface ContestantChoice {
  readonly ticked: readonly Ticked[];
  readonly shots: ShotsChoice;
  readonly endpoint: EndpointFields | null;
}

export function needsSchema(ticked: readonly Ticked[]): boolean {
  return ticked.some((one) => one === 'constrained' || one.includes('schema'));
}

export function needsExamples(ticked: readonly Ticked[]): boolean {
  return ticked.some((one) => one.startsWith('few-shot'));
}

/** Returns the contestants in the order of the form: those without training first. */
export function contestantsOf({ ticked, shots, endpoint }: ContestantChoice): Contestant[] {
  const prompted = promptedKinds.filter(({ kind }) => ticked.includes(kind)).map(({ kind }) => promptedContestant(kind, shots));
  const trained = ticked.flatMap((one): Contestant[] => {
    const [, schema, id] = /^adapter(\+schema)?:(.+)$/.exec(one) ?? [];
    if (id === undefined) return [];
    return [{ adapter: { id }, ...(schema === undefined ? {} : { schema: true }) }];
  });
  if (endpoint === null) return [...prompted, ...trained];
  const { url, model, keyVariable } = endpoint;
  const key = keyVariable.trim() === '' ? {} : { keyVariable: keyVariable.trim() };
  return [...prompted, { endpoint: { url: url.trim(), model: model.trim(), ...key } }, ...trained];
}

function promptedContestant(kind: PromptedKind, shots: ShotsChoice): Contestant {
  if (kind === 'constrained') return { constrained: true };
  return { ...(kind.startsWith('few-shot') ? { shots } : {}), ...(kind.includes('schema') ? { schema: true } : {}) };
}

/** Returns what is ticked in the form for the contestants of a request; those that the form does not know are left out. */
export function choiceOf({ contestants }: Pick<EvaluationRequest, 'contestants'>): ContestantChoice {
  const ticked = contestants.flatMap((one): Ticked[] => {
    const { adapter, shots, schema, constrained, endpoint } = one;
    if (endpoint !== undefined) return [];
    if (adapter !== undefined) {
      if (!('id' in adapter) || shots !== undefined || constrained === true) return [];
      return [schema === true ? `adapter+schema:${adapter.id}` : `adapter:${adapter.id}`];
    }
    if (constrained === true) return shots === undefined && schema !== true ? ['constrained'] : [];
    if (shots !== undefined) return [schema === true ? 'few-shot+schema' : 'few-shot'];
    return [schema === true ? 'schema' : 'base'];
  });
  const endpoint = contestants.find((one) => one.endpoint !== undefined)?.endpoint;
  return {
    ticked,
    shots: contestants.find(({ shots }) => shots !== undefined)?.shots ?? { count: 3, rule: 'seed' },
    endpoint: endpoint === undefined ? null : { ...endpoint, keyVariable: endpoint.keyVariable ?? '' },
  };
}
