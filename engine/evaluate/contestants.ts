/** Names contestants, reads them from the command line, and says what each needs. */
import type { Contestant, ContestantAt, EvaluationRequest } from '../contract.ts';
import { Problem } from '../problem.ts';

/** Returns what a contestant is called that was given no name. `adapter` is the name of its adapter. */
export function contestantName(
  { name, adapter, endpoint, shots, schema, constrained }: Contestant,
  adapterName: string,
): string {
  if (name !== undefined) return name;
  const who = adapter !== undefined ? [adapterName] : endpoint !== undefined ? [endpoint.model] : [];
  const parts = [
    ...who,
    ...(shots === undefined ? [] : [`${shots.rule === 'nearest' ? 'few-shot-nearest' : 'few-shot'}=${shots.count}`]),
    ...(schema === true ? ['schema'] : []),
    ...(constrained === true ? ['constrained'] : []),
  ];
  return parts.length === 0 ? 'base' : parts.join('+');
}

const forms =
  'base, few-shot=K, few-shot-nearest=K, few-shot=auto, schema, constrained, adapter, endpoint=URL#MODEL, or several joined by +';

/**
 * Reads a contestant as the command line names it, such as `few-shot=3+schema`. `adapter` in it stands for every adapter that
 * is given, so that several contestants may come of it. Throws a `Problem` for anything else.
 */
export function readContestant(text: string, adapters: readonly string[]): Contestant[] {
  if (text.startsWith('endpoint=')) {
    const at = text.lastIndexOf('#');
    if (at < 0 || at === text.length - 1) throw unknown(text);
    return [{ endpoint: { url: text.slice('endpoint='.length, at), model: text.slice(at + 1) } }];
  }
  const parts = text.split('+');
  if (new Set(parts).size < parts.length) throw unknown(text);
  let read: Contestant = {};
  for (const part of parts) {
    const [, nearest, count] = /^few-shot(-nearest)?=(\d+|auto)$/.exec(part) ?? [];
    if (count !== undefined && read.shots === undefined) {
      if (Number(count) === 0) throw new Problem('request-invalid', `'${text}' has no examples.`, 'Without any it is base.');
      const rule = nearest === undefined ? 'seed' : 'nearest';
      read = { ...read, shots: { count: count === 'auto' ? count : Number(count), rule } };
    } else if (part === 'schema') read = { ...read, schema: true };
    else if (part === 'constrained') read = { ...read, constrained: true };
    else if (part !== 'base' && part !== 'adapter') throw unknown(text);
  }
  if (!parts.includes('adapter')) return [read];
  if (parts.includes('base')) throw unknown(text);
  return adapters.map((path) => ({ ...read, adapter: { path } }));
}

function unknown(text: string): Problem {
  return new Problem('request-invalid', `There is no contestant '${text}'.`, `Use ${forms}.`);
}

/** Throws a `Problem` where contestants cannot be asked as they are given. */
export function requireContestants({
  contestants,
  train,
  validation,
}: Pick<EvaluationRequest, 'contestants' | 'train' | 'validation'>): void {
  if (contestants.length === 0)
    throw new Problem('request-invalid', 'Nobody is to answer the rows.', 'Name at least one contestant.');
  for (const { adapter, endpoint, shots, constrained } of contestants) {
    if (adapter !== undefined && endpoint !== undefined)
      throw new Problem('request-invalid', 'A contestant has an adapter and an endpoint.', 'Make two contestants of it.');
    if (endpoint !== undefined && constrained === true)
      throw new Problem('request-invalid', 'Answers of an endpoint cannot be constrained here.', 'Leave one of the two out.');
    if (shots === undefined) continue;
    if (train === undefined)
      throw new Problem(
        'request-invalid',
        'Examples are taken from training rows, and none are given.',
        'Name the training rows (--train).',
      );
    if (shots.count === 'auto' && validation === undefined)
      throw new Problem(
        'request-invalid',
        'The number of examples is chosen on validation rows, and none are given.',
        'Name validation rows (--validation), or give a number of examples.',
      );
  }
}

/** Says whether a contestant needs a schema. */
export function needsSchema({ schema, constrained }: Pick<Contestant, 'schema' | 'constrained'>): boolean {
  return schema === true || constrained === true;
}

/** Says whether a contestant is asked otherwise than as it was trained, so that its loss says nothing. */
export function isPrompted({ shots, schema, constrained, endpoint }: Contestant | ContestantAt): boolean {
  return shots !== undefined || schema === true || constrained === true || endpoint !== undefined;
}

/** Gives contestants of the same name, such as adapters in folders of the same name, a number each. */
export function withNamesOfTheirOwn<T extends { readonly name: string }>(contestants: readonly T[]): T[] {
  const taken = new Set<string>();
  return contestants.map((contestant) => {
    let name = contestant.name;
    for (let number = 2; taken.has(name); number++) name = `${contestant.name} ${number}`;
    taken.add(name);
    return { ...contestant, name };
  });
}
