/**
 * Computes the cross entropy of the next token, with the output head inside so that logits of all tokens never exist at once.
 */
import { assert } from '../../problem.ts';
import type { Dim } from '../dim.ts';
import { gradients } from '../gradient.ts';
import { Graph } from '../graph.ts';
import type { Value } from '../node.ts';
import { defineOp, type Op } from '../op.ts';
import { add, log, mul, neg, reciprocal, sub } from './elementwise.ts';
import { maxOfLast, sumOfMany } from './reduce.ts';
import { reshape } from './shape.ts';
import { softmax } from './softmax.ts';

export interface CrossEntropyAttributes {
  /**
   * Builds logits `[rows, vocabulary]` of hidden rows `[rows, hidden]`. `trained` are the op's further inputs, which it may
   * read.
   */
  readonly head: (g: Graph, hidden: Value, trained: readonly Value[], ofRows: readonly Value[]) => Value;
  /** Gives the number of further inputs that are not trained but int32 `[chunks, rows, 1]`, which the head reads row by row. */
  readonly ofRows?: number;
  /**
   * Gives the inputs that have a gradient. That of the hidden rows alone is computed beside the loss. That of the head's
   * trained inputs needs the weight of each row's loss, which only the backward knows, so the chunks are computed again.
   */
  readonly gradient: 'none' | 'hidden' | 'hidden and trained';
}

// For each row: logits z = head(h), target token t, p = softmax(z) as the runtime has it, m = max z, S = Σ p
//   loss = log Σ exp(z) - z_t = log (S / max p) + (m - z_t)
//   dloss/dz = 1/S (p - S [t]), and from there the gradient of the head
// S would be 1, did the runtime's own sum lose nothing over so many tokens; max p is 1 / Σ exp(z - m) before that. Softmax and the
// subtraction of S [t] write over the logits, so that a chunk has them once. A row of logits depends on its own row of h alone: the factor 1/S
// can wait for the gradient of h, which is small.
// h [chunks, rows, hidden], targets int64 [chunks, rows]; loss [chunks, rows]. How much each loss counts is the seed of the backward:
// what only fills up a chunk has the seed 0.
// One chunk at a time runs through a Scan; only one chunk's logits are alive, and gradients of the head add up from chunk to chunk.
export const headCrossEntropy: Op<CrossEntropyAttributes> = defineOp<CrossEntropyAttributes>({
  name: 'HeadCrossEntropy',
  forward(g, [h, targets, ...further], { head, gradient, ofRows = 0 }) {
    const [perRow, trained] = [further.slice(0, ofRows), further.slice(ofRows)];
    const chunk = new Chunk(g, h!);
    const { body, rows, hidden } = chunk;
    const { logits, tape } = chunk.logits(head, trained, perRow);
    const { probabilities, total } = chunk.softmax(logits);
    const surprise = chunk.surprise(logits, probabilities, total);
    chunk.output('loss', reshape(body, [surprise], { shape: [rows] }));
    if (gradient === 'hidden') {
      const dz = chunk.logitGradient(probabilities, total);
      const dh = gradients(body, tape, logits, dz, [hidden])[0]!;
      chunk.output('gradient', mul(body, [dh, reciprocal(body, [total])]));
    }
    const scanned = [h!, targets!, ...perRow];
    assert(body.inputs.length === scanned.length, 'a chunk has its own inputs only');
    const [tokenLoss, ...saved] = g.nodeWithOutputs('Scan', scanned, {
      body: { graph: body },
      num_scan_inputs: { int: scanned.length },
    });
    return [tokenLoss!, ...saved];
  },
  backward(g, { inputs: [h, targets, ...further], attributes, saved: [dh], dy }) {
    const { head, gradient, ofRows = 0 } = attributes;
    const [perRow, trained] = [further.slice(0, ofRows), further.slice(ofRows)];
    const ofHidden = (): Value => {
      assert(dh !== undefined, 'the loss was built without its gradient');
      return mul(g, [dh, reshape(g, [dy], { shape: [...h!.shape.slice(0, 2), 1] })]);
    };
    if (gradient !== 'hidden and trained') return [ofHidden, null, ...further.map(() => null)];

    let built: Value[] | null = null;
    const ofAll = (): Value[] => {
      const chunk = new Chunk(g, h!);
      const { body, rows } = chunk;
      const weight = chunk.input('weight', 'float32', [rows]);
      const sums = trained.map((value, i) => chunk.state(`sum ${i}`, value.shape));
      const { logits, tape } = chunk.logits(head, trained, perRow);
      const { probabilities, total } = chunk.softmax(logits);
      const factor = mul(body, [chunk.column(weight), reciprocal(body, [total])]);
      const dz = mul(body, [chunk.logitGradient(probabilities, total), factor]);
      const [ofRows, ...ofTrained] = gradients(body, tape, logits, dz, [chunk.hidden, ...trained]);
      sums.forEach((before, i) => {
        assert(ofTrained[i] !== null && ofTrained[i] !== undefined, 'the head does not depend on what it is trained by');
        chunk.output(`sum ${i} after`, add(body, [before, ofTrained[i]]));
      });
      chunk.output('gradient', ofRows!);
      const zeros = trained.map(({ shape }) => g.node('Expand', [g.scalar(0), g.shapeVector(shape)]));
      const scanned = [h!, targets!, dy, ...perRow];
      return g.nodeWithOutputs('Scan', [...zeros, ...scanned], {
        body: { graph: body },
        num_scan_inputs: { int: scanned.length },
      });
    };
    const part = (i: number) => () => (built ??= ofAll())[i]!;
    return [part(trained.length), null, ...perRow.map(() => null), ...trained.map((_, i) => part(i))];
  },
});

/** Builds the body of a Scan over chunks of rows. */
class Chunk {
  readonly body: Graph;
  readonly rows: Dim;
  readonly hidden: Value;
  readonly target: Value;

  constructor(g: Graph, h: Value) {
    const [, rows, hidden] = h.shape as [Dim, Dim, number];
    this.body = new Graph(g.scope('chunk', () => g.scopeName));
    this.rows = rows;
    this.hidden = this.input('hidden', 'float32', [rows, hidden]);
    this.target = this.input('target', 'int64', [rows]);
  }

  input(name: string, dtype: 'float32' | 'int32' | 'int64', shape: readonly Dim[]): Value {
    return this.body.input(`${this.body.scopeName}/${name}`, dtype, shape);
  }

  /** Declares a state that one chunk passes to the next; ONNX wants states before the inputs. */
  state(name: string, shape: readonly Dim[]): Value {
    const value = this.input(name, 'float32', shape);
    const { inputs } = this.body;
    inputs.splice(inputs.indexOf(this.hidden), 0, ...inputs.splice(-1));
    return value;
  }

  output(name: string, value: Value): void {
    this.body.output(`${this.body.scopeName}/${name}`, value);
  }

  column(values: Value): Value {
    return reshape(this.body, [values], { shape: [this.rows, 1] });
  }

  logits(head: CrossEntropyAttributes['head'], trained: readonly Value[], ofRows: readonly Value[]) {
    const slices = ofRows.map(({ shape }, i) => this.input(`of rows ${i}`, 'int32', shape.slice(1)));
    const { result: logits, tape } = this.body.record(() => head(this.body, this.hidden, trained, slices));
    return { logits, tape };
  }

  /** Builds the probabilities `[rows, vocabulary]`; `total` is their sum `[rows, 1]`. */
  softmax(logits: Value): { probabilities: Value; total: Value } {
    const { body } = this;
    const probabilities = softmax(body, [logits]);
    return { probabilities, total: sumOfMany(body, probabilities) };
  }

  /**
   * Builds -log of the probability of the targets, `[rows, 1]`. The nodes that read the logits are built last and so run first,
   * so that the logits may then be overwritten.
   */
  surprise(logits: Value, probabilities: Value, total: Value): Value {
    const { body } = this;
    const logSum = log(body, [mul(body, [total, reciprocal(body, [maxOfLast(body, probabilities)])])]);
    const targetLogit = body.node('GatherElements', [logits, this.column(this.target)], { axis: { int: 1 } });
    return add(body, [logSum, sub(body, [maxOfLast(body, logits), targetLogit])]);
  }

  /** Builds p - S [t], the gradient of the logits but for the factor 1/S. */
  logitGradient(probabilities: Value, total: Value): Value {
    return this.body.node('ScatterElements', [probabilities, this.column(this.target), neg(this.body, [total])], {
      axis: { int: 1 },
      reduction: { string: 'add' },
    });
  }
}
