/**
 * Turns a regular expression of JavaScript (with the flag `u`, as JSON Schema has it) into an automaton over code points. What no
 * automaton can do, as look-around and references, is refused by its name.
 */
import type { Automaton } from './automaton.ts';

type Range = readonly [low: number, high: number];
type Node =
  | { readonly kind: 'set'; readonly ranges: readonly Range[] }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number }
  | { readonly kind: 'start' | 'end' };

/** Says why a pattern cannot be used, in words that follow "the pattern". */
export class PatternRefused extends Error {}

/** Limits the states of a pattern, with and without the lengths that are asked for. */
const mostStates = 20_000;
const lastCodePoint = 0x10ffff;

/** Returns the automaton of the texts of `least` to `most` code points in which the pattern is found. */
export function patternAutomaton(pattern: string, least: number, most: number): Automaton {
  const moves = withLength(deterministic(automatonOf(new PatternReader(pattern).read())), least, most);
  return new PatternAutomaton(`pattern ${JSON.stringify([pattern, least, most])}`, moves);
}

// ── From text to a tree ─────────────────────────────────────────────────────────────────────────────────────────────────

const escapesOfOne = new Map(Object.entries({ n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 }));
const digit: readonly Range[] = [[0x30, 0x39]];
const word: readonly Range[] = [[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]; // prettier-ignore
const space: readonly Range[] = [
  ...([[9, 13], [0x20, 0x20], [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a], [0x2028, 0x2029]] as const), // prettier-ignore
  ...([[0x202f, 0x202f], [0x205f, 0x205f], [0x3000, 0x3000], [0xfeff, 0xfeff]] as const), // prettier-ignore
];
const lineEnds: readonly Range[] = [[10, 10], [13, 13], [0x2028, 0x2029]]; // prettier-ignore
const classes = new Map<string, readonly Range[]>([
  ['d', digit],
  ['D', without(digit)],
  ['w', word],
  ['W', without(word)],
  ['s', space],
  ['S', without(space)],
]);

class PatternReader {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(pattern: string) {
    this.#characters = [...pattern];
  }

  read(): Node {
    const node = this.#any();
    if (this.#at < this.#characters.length) throw new PatternRefused(`has a ${this.#peek()} that nothing opens`);
    return node;
  }

  #peek(): string | undefined {
    return this.#characters[this.#at];
  }

  #takes(text: string): boolean {
    const is = [...text].every((character, i) => this.#characters[this.#at + i] === character);
    if (is) this.#at += text.length;
    return is;
  }

  #any(): Node {
    const parts = [this.#all()];
    while (this.#takes('|')) parts.push(this.#all());
    return parts.length === 1 ? parts[0]! : { kind: 'any', parts };
  }

  #all(): Node {
    const parts: Node[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek())
      parts.push(this.#repeated(this.#one()));
    return { kind: 'all', parts };
  }

  #repeated(part: Node): Node {
    const [least, most] = this.#count() ?? [1, 1];
    // A repetition that takes as little as it can finds the same texts.
    if (least !== 1 || most !== 1) this.#takes('?');
    return least === 1 && most === 1 ? part : { kind: 'repeat', part, least, most };
  }

  #count(): readonly [least: number, most: number] | null {
    if (this.#takes('*')) return [0, Infinity];
    if (this.#takes('+')) return [1, Infinity];
    if (this.#takes('?')) return [0, 1];
    const found = /^\{(\d+)(,?)(\d*)\}/.exec(this.#characters.slice(this.#at, this.#at + 24).join(''));
    if (found === null) return null;
    this.#at += found[0].length;
    const least = Number(found[1]);
    const most = found[2] === '' ? least : found[3] === '' ? Infinity : Number(found[3]);
    if (least === 1 && most === 1) this.#takes('?');
    return [least, most];
  }

  #one(): Node {
    if (this.#takes('^')) return { kind: 'start' };
    if (this.#takes('$')) return { kind: 'end' };
    if (this.#takes('.')) return { kind: 'set', ranges: without(lineEnds) };
    if (this.#takes('[')) return { kind: 'set', ranges: this.#class() };
    if (this.#takes('(')) return this.#group();
    if (this.#takes('\\')) return { kind: 'set', ranges: this.#escape() };
    const codePoint = this.#characters[this.#at++]!.codePointAt(0)!;
    return { kind: 'set', ranges: [[codePoint, codePoint]] };
  }

  #group(): Node {
    for (const [opening, name] of [
      ...([['?=', 'a look-ahead'], ['?!', 'a look-ahead'], ['?<=', 'a look-behind'], ['?<!', 'a look-behind']] as const), // prettier-ignore
    ])
      if (this.#takes(opening)) throw new PatternRefused(`has ${name} '(${opening}'`);
    if (this.#takes('?<')) while (this.#characters[this.#at++] !== '>');
    else if (!this.#takes('?:') && this.#peek() === '?') throw new PatternRefused("has flags '(?'");
    const node = this.#any();
    if (!this.#takes(')')) throw new PatternRefused('has a ( that nothing closes');
    return node;
  }

  /** Reads what follows a backslash. */
  #escape(): readonly Range[] {
    const letter = this.#characters[this.#at++] ?? '';
    const set = classes.get(letter);
    if (set !== undefined) return set;
    if (letter === 'p' || letter === 'P') throw new PatternRefused(`has a property '\\${letter}'`);
    if (letter === 'b' || letter === 'B') throw new PatternRefused(`has a boundary of words '\\${letter}'`);
    if (letter === 'k' || /[1-9]/.test(letter)) throw new PatternRefused(`has a reference '\\${letter}'`);
    const codePoint = this.#codePoint(letter);
    return [[codePoint, codePoint]];
  }

  #codePoint(letter: string): number {
    const known = escapesOfOne.get(letter);
    if (known !== undefined) return known;
    if (letter === 'c') return this.#characters[this.#at++]!.codePointAt(0)! % 32;
    if (letter === 'x') return this.#hex(2);
    if (letter !== 'u') return letter.codePointAt(0)!;
    if (this.#takes('{')) {
      const end = this.#characters.indexOf('}', this.#at);
      const value = this.#hex(end - this.#at);
      this.#at++;
      return value;
    }
    const unit = this.#hex(4);
    const isPair =
      unit >= 0xd800 && unit <= 0xdbff && this.#characters[this.#at] === '\\' && this.#characters[this.#at + 1] === 'u';
    if (!isPair) return unit;
    this.#at += 2;
    return 0x10000 + (unit - 0xd800) * 0x400 + (this.#hex(4) - 0xdc00);
  }

  #hex(length: number): number {
    const text = this.#characters.slice(this.#at, this.#at + length).join('');
    this.#at += length;
    return parseInt(text, 16);
  }

  #class(): readonly Range[] {
    const isInverted = this.#takes('^');
    const ranges: Range[] = [];
    while (!this.#takes(']')) {
      if (this.#peek() === undefined) throw new PatternRefused('has a [ that nothing closes');
      const from = this.#classMember();
      const isRange = this.#peek() === '-' && this.#characters[this.#at + 1] !== ']';
      if (!isRange || typeof from !== 'number') {
        ranges.push(...(typeof from === 'number' ? [[from, from] as const] : from));
        continue;
      }
      this.#at++;
      const to = this.#classMember();
      if (typeof to === 'number') ranges.push([from, to]);
      else ranges.push([from, from], [0x2d, 0x2d], ...to);
    }
    return isInverted ? without(ranges) : ranges;
  }

  #classMember(): number | readonly Range[] {
    if (!this.#takes('\\')) return this.#characters[this.#at++]!.codePointAt(0)!;
    if (this.#takes('b')) return 8;
    if (this.#takes('-')) return 0x2d;
    const ranges = this.#escape();
    return ranges.length === 1 && ranges[0]![0] === ranges[0]![1] ? ranges[0]![0] : ranges;
  }
}

/** Returns all code points but those of the ranges. */
function without(ranges: readonly Range[]): readonly Range[] {
  const rest: Range[] = [];
  let from = 0;
  for (const [low, high] of [...ranges].sort(([a], [b]) => a - b)) {
    if (low > from) rest.push([from, low - 1]);
    from = Math.max(from, high + 1);
  }
  if (from <= lastCodePoint) rest.push([from, lastCodePoint]);
  return rest;
}

// ── From a tree to states ───────────────────────────────────────────────────────────────────────────────────────────────

/** Is an automaton that may be in several states at once. An edge without ranges is passed without a character. */
interface Edge {
  readonly to: number;
  readonly by: readonly Range[] | 'nothing' | 'start' | 'end';
}
interface Several {
  readonly edges: readonly (readonly Edge[])[];
  readonly start: number;
  readonly end: number;
}

function automatonOf(node: Node): Several {
  const edges: Edge[][] = [];
  const add = (): number => {
    if (edges.length >= mostStates) throw new PatternRefused('is too large');
    return edges.push([]) - 1;
  };
  /** Adds what leads from a state through a node, and returns the state after it. */
  const through = (node: Node, from: number): number => {
    switch (node.kind) {
      case 'set':
      case 'start':
      case 'end': {
        const to = add();
        edges[from]!.push({ to, by: node.kind === 'set' ? node.ranges : node.kind });
        return to;
      }
      case 'all':
        return node.parts.reduce((at, part) => through(part, at), from);
      case 'any': {
        const ends = node.parts.map((part) => through(part, from));
        const to = add();
        for (const end of ends) edges[end]!.push({ to, by: 'nothing' });
        return to;
      }
      case 'repeat': {
        let at = from;
        for (let i = 0; i < node.least; i++) at = through(node.part, at);
        const to = add();
        edges[at]!.push({ to, by: 'nothing' });
        if (node.most === Infinity) {
          const loop = add();
          edges[at]!.push({ to: loop, by: 'nothing' });
          const end = through(node.part, loop);
          edges[end]!.push({ to: loop, by: 'nothing' }, { to, by: 'nothing' });
        } else {
          for (let i = node.least; i < node.most; i++) {
            at = through(node.part, at);
            edges[at]!.push({ to, by: 'nothing' });
          }
        }
        return to;
      }
    }
  };
  const all: readonly Range[] = [[0, lastCodePoint]];
  const start = add();
  // A pattern is found anywhere, so anything may come before and after it.
  const end = through(node, start);
  edges[start]!.push({ to: start, by: all });
  edges[end]!.push({ to: end, by: all });
  return { edges, start, end };
}

/** Is an automaton in one state at a time. State 0 is the first; the ranges of a state are in order and do not overlap. */
interface Move {
  readonly low: number;
  readonly high: number;
  readonly to: number;
}
interface Moves {
  readonly of: readonly (readonly Move[])[];
  readonly accepts: readonly boolean[];
}

function deterministic({ edges, start, end }: Several): Moves {
  const cuts = new Set([0, 0xd800, 0xe000, lastCodePoint + 1]);
  for (const { by } of edges.flat()) if (typeof by !== 'string') for (const [low, high] of by) cuts.add(low).add(high + 1);
  const sorted = [...cuts].sort((a, b) => a - b);
  const atoms = sorted
    .slice(0, -1)
    .map((low, i): Range => [low, sorted[i + 1]! - 1])
    .filter(([low]) => low < 0xd800 || low >= 0xe000);
  const closed = (from: Iterable<number>, passes: (by: Edge['by']) => boolean): Set<number> => {
    const found = new Set(from);
    for (const state of found) for (const { to, by } of edges[state]!) if (passes(by)) found.add(to);
    return found;
  };
  const moves: Move[][] = [];
  const accepts: boolean[] = [];
  const numbers = new Map<string, number>();
  const sets: Set<number>[] = [];
  const numberOf = (set: Set<number>, isFirst: boolean): number => {
    const key = `${isFirst} ${[...set].sort((a, b) => a - b).join(' ')}`;
    let number = numbers.get(key);
    if (number === undefined) {
      if (sets.length >= mostStates / 10) throw new PatternRefused('is too large');
      number = sets.push(set) - 1;
      numbers.set(key, number);
      accepts.push(closed(set, (by) => by === 'nothing' || by === 'end' || (isFirst && by === 'start')).has(end));
    }
    return number;
  };
  numberOf(
    closed([start], (by) => by === 'nothing' || by === 'start'),
    true,
  );
  for (let state = 0; state < sets.length; state++) {
    const own: Move[] = [];
    for (const [low, high] of atoms) {
      const to = new Set<number>();
      for (const each of sets[state]!)
        for (const edge of edges[each]!)
          if (typeof edge.by !== 'string' && edge.by.some(([from, last]) => from <= low && high <= last)) to.add(edge.to);
      if (to.size > 0)
        own.push({
          low,
          high,
          to: numberOf(
            closed(to, (by) => by === 'nothing'),
            false,
          ),
        });
    }
    moves.push(own);
  }
  return { of: moves, accepts };
}

/** Returns the automaton of those texts that also have a length within bounds. */
function withLength(moves: Moves, least: number, most: number): Moves {
  if (least === 0 && most === Infinity) return moves;
  const last = most === Infinity ? least : most;
  const of: Move[][] = [];
  const accepts: boolean[] = [];
  const states: (readonly [state: number, length: number])[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (state: number, length: number): number => {
    const key = `${state} ${length}`;
    let number = numbers.get(key);
    if (number === undefined) {
      if (states.length >= mostStates) throw new PatternRefused('is too large together with the length');
      number = states.push([state, length]) - 1;
      numbers.set(key, number);
      accepts.push(moves.accepts[state]! && length >= least && length <= most);
    }
    return number;
  };
  numberOf(0, 0);
  for (let i = 0; i < states.length; i++) {
    const [state, length] = states[i]!;
    const longer = most === Infinity ? Math.min(length + 1, last) : length + 1;
    const own = longer > last ? [] : moves.of[state]!;
    of.push(own.map(({ low, high, to }) => ({ low, high, to: numberOf(to, longer) })));
  }
  return { of, accepts };
}

class PatternAutomaton implements Automaton {
  readonly key: string;
  readonly start = 0;
  readonly #moves: readonly (readonly Move[])[];
  readonly #accepts: readonly boolean[];
  readonly #least: readonly number[];

  constructor(key: string, { of, accepts }: Moves) {
    this.key = key;
    this.#accepts = accepts;
    this.#least = leastTokens(of, accepts);
    this.#moves = of.map((own) => own.filter(({ to }) => this.#least[to]! < Infinity));
  }

  accepts(state: number): boolean {
    return this.#accepts[state]!;
  }

  next(state: number, codePoint: number): number {
    return this.#moves[state]!.find(({ low, high }) => low <= codePoint && codePoint <= high)?.to ?? -1;
  }

  least(state: number): number {
    return this.#least[state]!;
  }

  nearest(state: number, low: number, high: number): number {
    let nearest = Infinity;
    for (const move of this.#moves[state]!)
      if (move.low <= high && low <= move.high) nearest = Math.min(nearest, this.#least[move.to]!);
    return nearest;
  }
}

/** Returns for each state how many tokens lead to one that accepts, if each byte is a token. */
function leastTokens(of: Moves['of'], accepts: Moves['accepts']): number[] {
  const into: { readonly from: number; readonly cost: number }[][] = of.map(() => []);
  of.forEach((own, from) => own.forEach(({ low, high, to }) => into[to]!.push({ from, cost: bytesOf(low, high) })));
  const least = accepts.map((is) => (is ? 0 : Infinity));
  // A character takes one to six bytes, so states are taken in order of their number of tokens from small buckets.
  const buckets: number[][] = [accepts.flatMap((is, state) => (is ? [state] : []))];
  for (let tokens = 0; tokens < buckets.length; tokens++)
    for (const state of buckets[tokens] ?? []) {
      if (least[state]! < tokens) continue;
      for (const { from, cost } of into[state]!)
        if (tokens + cost < least[from]!) {
          least[from] = tokens + cost;
          (buckets[tokens + cost] ??= []).push(from);
        }
    }
  return least;
}

/** Returns how many bytes the shortest of some characters takes in a JSON string. */
function bytesOf(low: number, high: number): number {
  const has = (from: number, to = from): boolean => low <= to && from <= high;
  if (has(0x20, 0x21) || has(0x23, 0x5b) || has(0x5d, 0x7e)) return 1;
  if (has(0x22) || has(0x5c) || has(8, 10) || has(12, 13) || has(0x80, 0x7ff)) return 2;
  if (has(0x800, 0xffff)) return 3;
  return has(0x10000, lastCodePoint) ? 4 : 6;
}
