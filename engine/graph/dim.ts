/**
 * Defines the sizes of tensors: numbers, names of sizes that are known only when a graph runs, and sizes derived from names.
 */
import { assert } from '../problem.ts';

export type Dim = number | string | DerivedDim;
export type Shape = readonly Dim[];

/**
 * Represents a fraction of a named size, or of 1 when the name is ''. Fractions stay unreduced: parts of a whole keep its
 * denominator.
 */
interface Term {
  readonly name: string;
  readonly numerator: number;
  readonly denominator: number;
}

/** Represents a sum of named sizes, each times a fraction, as `share` and `sum` make it. */
export class DerivedDim {
  readonly terms: readonly Term[];

  constructor(terms: readonly Term[]) {
    this.terms = terms;
  }

  /** Returns its name in an ONNX file, such as `time 3/16` or `room + time`. */
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

/** Returns the dimension of these terms, as a number or a plain name where possible. */
function made(terms: readonly Term[]): Dim {
  const present = terms.filter(({ numerator }) => numerator !== 0);
  const [first, ...others] = present;
  if (first === undefined) return 0;
  if (others.length === 0 && first.name === '') return first.numerator / first.denominator;
  if (others.length === 0 && first.numerator === first.denominator) return first.name;
  return new DerivedDim(present);
}

/** Multiplies a dimension by `numerator / denominator`. */
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

/** Says whether two dimensions are equal for all sizes of their names. */
export function sameDim(a: Dim, b: Dim): boolean {
  if (a === b) return true;
  return (typeof a === 'object' || typeof b === 'object') && sum([a, share(b, -1, 1)]) === 0;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!));
}

/** Returns the shape of an elementwise operation, with NumPy's broadcasting. */
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

/** Returns a dimension as a number, with the sizes of names in `dims`. */
export function extent(dim: Dim, dims: Dimensions): number {
  if (typeof dim === 'number') return dim;
  return termsOf(dim).reduce((total, { name, numerator, denominator }) => {
    const value = name === '' ? 1 : dims.get(name);
    assert(value !== undefined, `nobody says how large '${name}' is`);
    return total + (value * numerator) / denominator;
  }, 0);
}

/** Returns an axis counted from the front, given one that may be negative. */
export function positiveAxis(shape: Shape, axis: number): number {
  return axis < 0 ? axis + shape.length : axis;
}

/** Returns a shape with another size along an axis. */
export function replaced(shape: Shape, axis: number, dim: Dim): Shape {
  return shape.map((own, i) => (i === positiveAxis(shape, axis) ? dim : own));
}
