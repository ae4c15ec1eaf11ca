/** Writes a graph as an ONNX model: ModelProto of onnx.proto3, IR version 10, opset 21 and com.microsoft 1. */
import { realpathSync } from 'node:fs';
import { parse, relative, sep } from 'node:path';
import { assert } from '../problem.ts';
import { dataTypes } from './dtype.ts';
import type { Attribute, GraphParts, Node, Value } from './node.ts';
import { fileOrder } from './order.ts';

const IR_VERSION = 10;
const OPSET = 21;
/** Holds the numbers of AttributeProto.AttributeType. */
const ATTRIBUTE = { float: 1, int: 2, string: 3, graph: 5, ints: 7 };

/**
 * Writes the protocol buffer wire format into one buffer that grows, because a training step has a hundred thousand messages.
 */
class Message {
  #buffer = Buffer.allocUnsafe(1 << 16);
  #length = 0;

  /** Makes room for `count` bytes after those written, and returns where they begin. */
  #room(count: number): number {
    const start = this.#length;
    this.#length += count;
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * this.#length);
      this.#buffer.copy(larger, 0, 0, start);
      this.#buffer = larger;
    }
    return start;
  }
  #byte(value: number): void {
    const at = this.#room(1);
    this.#buffer[at] = value;
  }
  #varint(value: number): void {
    let rest = value;
    // A negative number takes all of its 64 bits.
    const least = value < 0 ? 9 : 0;
    for (let bytes = 0; bytes < least || rest > 127; bytes++) {
      this.#byte((rest & 127) | 128);
      rest = Math.floor(rest / 128);
    }
    this.#byte(value < 0 ? 1 : rest);
  }
  #tag(field: number, wireType: 0 | 2 | 5): void {
    this.#varint((field << 3) | wireType);
  }
  int(field: number, value: number): this {
    this.#tag(field, 0);
    this.#varint(value);
    return this;
  }
  float(field: number, value: number): this {
    this.#tag(field, 5);
    const at = this.#room(4);
    this.#buffer.writeFloatLE(value, at);
    return this;
  }
  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, 2);
    this.#varint(value.length);
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
    return this;
  }
  string(field: number, value: string): this {
    const length = Buffer.byteLength(value);
    this.#tag(field, 2);
    this.#varint(length);
    const at = this.#room(length);
    this.#buffer.write(value, at);
    return this;
  }
  /**
   * Writes a message within this one. Its length precedes it but is known only afterwards, so the message is then moved to make
   * room.
   */
  message(field: number, write: (message: this) => void): this {
    this.#tag(field, 2);
    const start = this.#length;
    write(this);
    const size = this.#length - start;
    const width = 1 + Math.floor(Math.log2(Math.max(1, size)) / 7);
    this.#room(width);
    this.#buffer.copyWithin(start + width, start, start + size);
    this.#length = start;
    this.#varint(size);
    this.#length += size;
    return this;
  }
  messages<T>(field: number, values: Iterable<T>, write: (message: this, value: T) => void): this {
    for (const value of values) this.message(field, () => write(this, value));
    return this;
  }
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}

type Locate = (path: string) => string;

/**
 * Returns the bytes of the model. Weights stay in their files, which `locate` names, by default relative to the file system's
 * root.
 */
export function encodeModel(graph: GraphParts, locate: Locate = fromRoot()): Uint8Array {
  const opsets = [
    ['', OPSET],
    ['com.microsoft', 1],
  ] as const;
  return new Message()
    .int(1, IR_VERSION)
    .string(2, 'Lowrank Studio')
    .message(7, (message) => writeGraph(message, graph, locate))
    .messages(8, opsets, (message, [domain, version]) => message.string(1, domain).int(2, version))
    .finish();
}

function fromRoot(): Locate {
  const known = new Map<string, string>();
  return (path) => {
    let found = known.get(path);
    if (found === undefined) {
      const real = realpathSync(path);
      found = relative(parse(real).root, real).split(sep).join('/');
      known.set(path, found);
    }
    return found;
  };
}

function writeGraph(message: Message, graph: GraphParts, locate: Locate): void {
  const nodes = fileOrder(graph);
  const produced = new Set(graph.nodes.flatMap((node) => node.outputs));
  const outputNames = new Map<Value, string>();
  for (const [name, value] of graph.outputs) {
    assert(produced.has(value) && !outputNames.has(value), `output ${name} is no node's own result`);
    outputNames.set(value, name);
  }
  const nameOf = (value: Value) => outputNames.get(value) ?? value.name;
  const tensors = 5;
  message
    .messages(1, nodes, (part, node) => writeNode(part, node, nameOf, locate))
    .string(2, graph.scopeName === '' ? 'lowrank' : graph.scopeName)
    .messages(tensors, graph.weights.values(), (part, { value, data }) => {
      const entries = Object.entries({
        location: locate(data.path),
        offset: String(data.offset),
        length: String(data.length),
      });
      writeTensor(part, value)
        .messages(13, entries, (entry, [key, text]) => entry.string(1, key).string(2, text))
        .int(14, 1);
    })
    .messages(tensors, graph.constants.values(), (part, { value, data }) =>
      writeTensor(part, value).bytes(9, dataTypes[value.dtype].bytes(data)),
    )
    .messages(tensors, graph.emptyInputs, (part, [{ name, dtype }, shape]) =>
      writeTensor(part, { name, dtype, shape }).bytes(9, new Uint8Array(0)),
    )
    .messages(11, graph.inputs, (part, value) => writeValueInfo(part, value, value.name))
    .messages(12, graph.outputs, (part, [name, value]) => writeValueInfo(part, value, name))
    .messages(
      13,
      // The shape of every result is stated. Otherwise ONNX Runtime gives each unknown dimension its own name, cannot reuse
      // memory, and searches all free blocks for every node, which takes seconds for a training step.
      nodes.flatMap(({ outputs }) => outputs).filter((value) => !outputNames.has(value)),
      (part, value) => writeValueInfo(part, value, value.name),
    );
}

function writeNode(message: Message, node: Node, nameOf: (value: Value) => string, locate: Locate): void {
  for (const input of node.inputs) message.string(1, nameOf(input));
  for (const output of node.outputs) message.string(2, nameOf(output));
  message
    .string(3, node.name)
    .string(4, node.type)
    .messages(5, Object.entries(node.attributes), (part, [name, attribute]) => writeAttribute(part, name, attribute, locate))
    .string(7, node.domain);
}

function writeAttribute(message: Message, name: string, attribute: Attribute, locate: Locate): void {
  message.string(1, name);
  if ('float' in attribute) message.float(2, attribute.float).int(20, ATTRIBUTE.float);
  else if ('int' in attribute) message.int(3, attribute.int).int(20, ATTRIBUTE.int);
  else if ('string' in attribute) message.string(4, attribute.string).int(20, ATTRIBUTE.string);
  else if ('graph' in attribute)
    message.message(6, (part) => writeGraph(part, attribute.graph, locate)).int(20, ATTRIBUTE.graph);
  else {
    for (const value of attribute.ints) message.int(8, value);
    message.int(20, ATTRIBUTE.ints);
  }
}

function writeTensor(message: Message, { name, dtype, shape }: Value): Message {
  for (const dim of shape) message.int(1, dim as number);
  return message.int(2, dataTypes[dtype].onnx).string(8, name);
}

function writeValueInfo(message: Message, { dtype, shape }: Value, name: string): void {
  message
    .string(1, name)
    .message(2, (type) =>
      type.message(1, (tensor) =>
        tensor
          .int(1, dataTypes[dtype].onnx)
          .message(2, (dims) =>
            dims.messages(1, shape, (part, dim) => (typeof dim === 'number' ? part.int(1, dim) : part.string(2, String(dim)))),
          ),
      ),
    );
}
