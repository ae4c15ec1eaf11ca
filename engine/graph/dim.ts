/** Sizes of tensors: numbers, names of sizes that are known only when a graph runs, and what is computed from names. */
import { assert } from '../problem.ts';

export type Dim = number | string | DerivedDim;
export type Shape = readonly Dim[];

/** `numerator / denominator` times a named size; the name of 1 is ''. Fractions are not reduced: parts of a whole keep its denominator. */
interface Term {
  readonly name: string;
  readonly numerator: number;
  readonly denominator: number;
}

/** A sum of named sizes, each times a fraction: what `share` and `sum` make of names. */
export class DerivedDim {
  readonly terms: readonly Term[];

  constructor(terms: readonly Term[]) {
    this.terms = terms;
  }

  /** How it is named in an ONNX file: `time 3/16`, `room + time`. */
  toString(): string {
    return this.terms
      .map(({ name, numerator, denominator }) => {
        if (name === '') return String(numerator / denominator);
        return numerator === denominator ? name : `${name} ${numerator}/${denominator}`;
      })
      .join(' + ');
  }
}

function termsOf(dim: Dim): readonly Term[] {
  if (typeof dim === 'number') return [{ name: '', numerator: dim, denominator: 1 }];
  return typeof dim === 'string' ? [{ name: dim, numerator: 1, denominator: 1 }] : dim.terms;
}

/** A number or a plain name where the terms are no more than that. */
function made(terms: readonly Term[]): Dim {
  const present = terms.filter(({ numerator }) => numerator !== 0);
  const [first, ...others] = present;
  if (first === undefined) return 0;
  if (others.length === 0 && first.name === '') return first.numerator / first.denominator;
  if (others.length === 0 && first.numerator === first.denominator) return first.name;
  return new DerivedDim(present);
}

/** A dimension times `numerator / denominator`. */
export function share(dim: Dim, numerator: number, denominator: number): Dim {
  if (typeof dim === 'number') return (dim * numerator) / denominator;
  return made(
    termsOf(dim).map(({ name, numerator: own, denominator: below }) => {
      const product = own * numerator;
      return product % denominator === 0
        ? { name, numerator: product / denominator, denominator: below }
        : { name, numerator: product, denominator: below * denominator };
    }),
  );
}

export function sum(dims: readonly Dim[]): Dim {
  const terms = new Map<string, Term>();
  for (const term of dims.flatMap(termsOf)) {
    const known = terms.get(term.name);
    if (known === undefined) terms.set(term.name, term);
    else if (known.denominator === term.denominator)
      terms.set(term.name, { ...known, numerator: known.numerator + term.numerator });
    else {
      const numerator = known.numerator * term.denominator + term.numerator * known.denominator;
      terms.set(term.name, { ...known, numerator, denominator: known.denominator * term.denominator });
    }
  }
  return made([...terms.values()]);
}

/** Whether two dimensions are equal whatever the sizes of their names. */
export function sameDim(a: Dim, b: Dim): boolean {
  if (a === b) return true;
  return (typeof a === 'object' || typeof b === 'object') && sum([a, share(b, -1, 1)]) === 0;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!));
}

/** Shape of an elementwise operation, with NumPy's broadcasting. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    assert(x === 1 || y === 1 || sameDim(x, y), `shapes [${a.join()}] and [${b.join()}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

export type Dimensions = ReadonlyMap<string, number>;

/** A dimension as a number, where named ones are `dims`. */
export function extent(dim: Dim, dims: Dimensions): number {
  if (typeof dim === 'number') return dim;
  return termsOf(dim).reduce((total, { name, numerator, denominator }) => {
    const value = name === '' ? 1 : dims.get(name);
    assert(value !== undefined, `nobody says how large '${name}' is`);
    return total + (value * numerator) / denominator;
  }, 0);
}

/** Axis counted from the front. */
export function positiveAxis(shape: Shape, axis: number): number {
  return axis < 0 ? axis + shape.length : axis;
}

/** A shape with another size along an axis. */
export function replaced(shape: Shape, axis: number, dim: Dim): Shape {
  return shape.map((own, i) => (i === positiveAxis(shape, axis) ? dim : own));
}
