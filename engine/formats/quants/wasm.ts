/**
 * Assembles just enough of WebAssembly's binary format for arithmetic on four float32 numbers at a time, which JavaScript
 * cannot do by itself. Every operation here is one instruction, rounded as IEEE 754 says on every processor. Code is a list of
 * bytes; an expression leaves one value on the stack. Opcodes: webassembly.github.io/spec, "Index of Instructions".
 */

/** Declares the parts of WebAssembly that are used here; the types of the ES library leave them to the browser's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

export type Code = readonly number[];
/** Holds the number of a local variable. */
export type Local = number;
/** Describes an expression's operand: the value of a local, or what code leaves on the stack. */
export type Operand = Local | Code;

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}

const vector = (items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
const i32 = 0x7f;
const v128 = 0x7b;

const value = (operand: Operand): Code => (typeof operand === 'number' ? [0x20, ...unsigned(operand)] : operand);
export const set = (local: Local, operand: Operand): Code => [...value(operand), 0x21, ...unsigned(local)];
export const number = (value: number): Code => [0x41, ...signed(value)];

const four =
  (opcode: number) =>
  (...operands: readonly Operand[]): Code => [...operands.flatMap(value), 0xfd, ...unsigned(opcode)];
const memory = (alignment: number, offset: number): Code => [alignment, ...unsigned(offset)];

/** `load` reads four numbers at the address plus a fixed offset; `loadSame` reads one number into all four lanes. */
export const load = (address: Operand, offset: number): Code => [...four(0x00)(address), ...memory(4, offset)];
export const loadSame = (address: Operand, offset: number): Code => [...four(0x09)(address), ...memory(2, offset)];
export const store = (address: Operand, offset: number, stored: Operand): Code => [
  ...four(0x0b)(address, stored),
  ...memory(4, offset),
];
export const constant = (value: number): Code => {
  const bytes = [...new Uint8Array(Float32Array.of(value).buffer)];
  return [...four(0x0c)(), ...bytes, ...bytes, ...bytes, ...bytes];
};

// Comparisons give masks of all ones or zeros.
export const equal = four(0x41);
export const less = four(0x43);
export const and = four(0x4e);
export const or = four(0x50);
/** Clears in `a` the bits of the mask. */
export const without = four(0x4f);
/** Takes `a` where the mask is set and `b` elsewhere. */
export const select = (mask: Operand, a: Operand, b: Operand): Code => four(0x52)(a, b, mask);
/** Rounds to the nearest integer, ties to even. */
export const nearest = four(0x6a);
export const abs = four(0xe0);
export const negate = four(0xe1);
export const add = four(0xe4);
export const subtract = four(0xe5);
export const multiply = four(0xe6);
export const divide = four(0xe7);
/** `least` is `b < a ? b : a`, and `most` is `a < b ? b : a`. */
export const least = four(0xea);
export const most = four(0xeb);

/** Runs `body` with `at` = 0, `stride`, 2 `stride` … below `end`, at least once. */
export function each(at: Local, stride: number, end: Local, body: Code): Code {
  const next = set(at, [...value(at), ...number(stride), 0x6a]);
  return [...set(at, number(0)), 0x03, 0x40, ...body, ...next, ...value(at), ...value(end), 0x49, 0x0d, 0, 0x0b];
}

export interface Kernel {
  /** Gives the number of integer parameters; they are the first locals. */
  readonly parameters: number;
  build(newLocals: NewLocals): Code;
}
export interface NewLocals {
  integers<Name extends string>(...names: readonly Name[]): Record<Name, Local>;
  vectors<Name extends string>(...names: readonly Name[]): Record<Name, Local>;
}

/** Compiles the kernels into one module. Returns them by name with their memory, which is one page of 64 KiB. */
export function compile<Name extends string>(
  kernels: Readonly<Record<Name, Kernel>>,
): { readonly memory: { readonly buffer: ArrayBuffer } } & Readonly<Record<Name, (...parameters: number[]) => void>> {
  const all = Object.entries<Kernel>(kernels);
  const name = (text: string): Code => vector([...Buffer.from(text)].map((byte) => [byte]));
  const types = all.map(([, { parameters }]) => [0x60, ...vector(Array.from({ length: parameters }, () => [i32])), 0]);
  const bodies = all.map(([, { parameters, build }]) => {
    const locals: number[] = [];
    const ofType =
      (type: number) =>
      <Name extends string>(...names: readonly Name[]) =>
        Object.fromEntries(names.map((name) => [name, parameters + locals.push(type) - 1])) as Record<Name, Local>;
    const code = build({ integers: ofType(i32), vectors: ofType(v128) });
    const body = [...vector(locals.map((type) => [1, type])), ...code, 0x0b];
    return [...unsigned(body.length), ...body];
  });
  const bytes = [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, vector(types)),
    ...section(3, vector(all.map((_, i) => unsigned(i)))),
    ...section(5, vector([[0, 1]])),
    ...section(7, vector([[...name('memory'), 2, 0], ...all.map(([key], i) => [...name(key), 0, ...unsigned(i)])])),
    ...section(10, vector(bodies)),
  ];
  return new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes))).exports as never;
}
