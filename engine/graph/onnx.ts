/** Writes a graph as an ONNX model: ModelProto of onnx.proto3, IR version 10, opset 21 and com.microsoft 1. */
import { realpathSync } from 'node:fs';
import { parse, relative, sep } from 'node:path';
import { assert } from '../problem.ts';
import type { Attribute, DataType, Graph, Node, Value } from './graph.ts';
import { fileOrder } from './order.ts';

const IR_VERSION = 10;
const OPSET = 21;
/** TensorProto.DataType */
const TYPES: Record<DataType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10 };
/** AttributeProto.AttributeType */
const ATTRIBUTE = { float: 1, int: 2, string: 3, graph: 5, ints: 7 };

/** Protocol buffer wire format, written field by field. */
class Message {
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#size += bytes.length;
  }
  #varint(value: bigint): void {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    while (rest > 127n) {
      bytes.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.#push(Uint8Array.from(bytes));
  }
  int(field: number, value: number): this {
    this.#varint(BigInt(field << 3));
    this.#varint(BigInt(value));
    return this;
  }
  float(field: number, value: number): this {
    this.#varint(BigInt((field << 3) | 5));
    this.#push(new Uint8Array(Float32Array.of(value).buffer));
    return this;
  }
  bytes(field: number, value: Uint8Array): this {
    this.#varint(BigInt((field << 3) | 2));
    this.#varint(BigInt(value.length));
    this.#push(value);
    return this;
  }
  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }
  message(field: number, value: Message): this {
    return this.bytes(field, value.finish());
  }
  messages(field: number, values: Iterable<Message>): this {
    for (const value of values) this.message(field, value);
    return this;
  }
  finish(): Uint8Array {
    return Buffer.concat(this.#parts, this.#size);
  }
}

/** The model's bytes. Weights stay in their files, which `locate` names: relative to the root of the file system unless said otherwise. */
export function encodeModel(graph: Graph, locate: (path: string) => string = fromRoot): Uint8Array {
  const opset = (domain: string, version: number) => new Message().string(1, domain).int(2, version);
  return new Message()
    .int(1, IR_VERSION)
    .string(2, 'Lowrank Studio')
    .message(7, graphProto(graph, fileOrder(graph), locate))
    .messages(8, [opset('', OPSET), opset('com.microsoft', 1)])
    .finish();
}

function fromRoot(path: string): string {
  const real = realpathSync(path);
  return relative(parse(real).root, real).split(sep).join('/');
}

function graphProto(graph: Graph, nodes: readonly Node[], locate: (path: string) => string): Message {
  const produced = new Set(graph.nodes.flatMap((node) => node.outputs));
  const outputNames = new Map<Value, string>();
  for (const [name, value] of graph.outputs) {
    assert(produced.has(value) && !outputNames.has(value), `output ${name} is no node's own result`);
    outputNames.set(value, name);
  }
  const nameOf = (value: Value) => outputNames.get(value) ?? value.name;
  return new Message()
    .messages(
      1,
      nodes.map((node) => nodeProto(node, nameOf, locate)),
    )
    .string(2, graph.scopeName === '' ? 'lowrank' : graph.scopeName)
    .messages(
      5,
      [...graph.weights.values()].map(({ value, data }) => {
        const entry = (key: string, text: string) => new Message().string(1, key).string(2, text);
        return tensorProto(value)
          .messages(13, [
            entry('location', locate(data.path)),
            entry('offset', String(data.offset)),
            entry('length', String(data.length)),
          ])
          .int(14, 1);
      }),
    )
    .messages(
      5,
      [...graph.constants.values()].map(({ value, data }) => tensorProto(value).bytes(9, rawData(value.dtype, data))),
    )
    .messages(
      5,
      [...graph.emptyInputs].map(([{ name, dtype }, shape]) => tensorProto({ name, dtype, shape }).bytes(9, new Uint8Array(0))),
    )
    .messages(
      11,
      graph.inputs.map((value) => valueInfo(value, value.name)),
    )
    .messages(
      12,
      [...graph.outputs].map(([name, value]) => valueInfo(value, name)),
    )
    .messages(
      13,
      // Of what shape every result is. Left to find that out, ONNX Runtime gives each unknown dimension a name of its own, finds no memory
      // to use again, and goes through all that is free for every node: seconds for a training step.
      nodes
        .flatMap(({ outputs }) => outputs)
        .filter((value) => !outputNames.has(value))
        .map((value) => valueInfo(value, value.name)),
    );
}

function nodeProto(node: Node, nameOf: (value: Value) => string, locate: (path: string) => string): Message {
  const message = new Message();
  for (const input of node.inputs) message.string(1, nameOf(input));
  for (const output of node.outputs) message.string(2, nameOf(output));
  return message
    .string(3, node.name)
    .string(4, node.type)
    .messages(
      5,
      Object.entries(node.attributes).map(([name, attribute]) => attributeProto(name, attribute, locate)),
    )
    .string(7, node.domain);
}

function attributeProto(name: string, attribute: Attribute, locate: (path: string) => string): Message {
  const message = new Message().string(1, name);
  if ('float' in attribute) return message.float(2, attribute.float).int(20, ATTRIBUTE.float);
  if ('int' in attribute) return message.int(3, attribute.int).int(20, ATTRIBUTE.int);
  if ('string' in attribute) return message.string(4, attribute.string).int(20, ATTRIBUTE.string);
  if ('graph' in attribute) {
    return message.message(6, graphProto(attribute.graph, fileOrder(attribute.graph), locate)).int(20, ATTRIBUTE.graph);
  }
  for (const value of attribute.ints) message.int(8, value);
  return message.int(20, ATTRIBUTE.ints);
}

function tensorProto({ name, dtype, shape }: Value): Message {
  const message = new Message();
  for (const dim of shape) message.int(1, dim as number);
  return message.int(2, TYPES[dtype]).string(8, name);
}

function rawData(dtype: DataType, data: readonly number[]): Uint8Array {
  switch (dtype) {
    case 'float32':
      return new Uint8Array(Float32Array.from(data).buffer);
    case 'int32':
      return new Uint8Array(Int32Array.from(data).buffer);
    case 'int64':
      return new Uint8Array(BigInt64Array.from(data, BigInt).buffer);
    case 'bool':
    case 'uint8':
      return Uint8Array.from(data);
    case 'float16':
      throw new Error('constants of half precision are not written');
  }
}

function valueInfo({ dtype, shape }: Value, name: string): Message {
  const dims = shape.map((dim) => (typeof dim === 'number' ? new Message().int(1, dim) : new Message().string(2, dim)));
  const tensor = new Message().int(1, TYPES[dtype]).message(2, new Message().messages(1, dims));
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}
