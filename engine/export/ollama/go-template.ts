/**
 * Renders the part of Go's text/template that Ollama's chat templates use: text, `if`, `else`, `range` over a list, variables,
 * fields, `eq`, `ne`, `not`, `and`, `or`, `len`, `slice`, `index`, strings and numbers, and white space cut by `{{-` and `-}}`.
 */

/** Holds the values a template receives: `.System`, `.Messages` and whatever else it names. */
export type GoValues = Readonly<Record<string, unknown>>;

/** Reports a template that cannot be read or rendered here. */
export class GoTemplateError extends Error {}

type Expression =
  | { readonly kind: 'literal'; readonly value: unknown }
  /** A field such as `.A.B`, `$.A` or `$name.A`; `variable` is '' for the dot and '$' for the root. */
  | { readonly kind: 'field'; readonly variable: string; readonly path: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] };

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'if'; readonly condition: Expression; readonly then: readonly Node[]; readonly otherwise: readonly Node[] }
  | {
      readonly kind: 'range';
      readonly key: string | null;
      readonly item: string | null;
      readonly list: Expression;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

export function renderGoTemplate(source: string, values: GoValues): string {
  const parser = new Parser(cut(source));
  const nodes = parser.nodes();
  if (!parser.atEnd) throw new GoTemplateError('unexpected {{ end }}');
  return run(nodes, { dot: values, variables: new Map([['$', values as unknown]]) });
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

type Piece = { readonly text: string } | { readonly action: string };

/** Cuts a template into text and actions, without the white space that `{{-` and `-}}` remove. */
function cut(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimNext = false;
  while (at <= source.length) {
    const open = source.indexOf('{{', at);
    let text = open < 0 ? source.slice(at) : source.slice(at, open);
    if (trimNext) text = text.replace(/^[ \t\r\n]+/, '');
    const trimsBefore = open >= 0 && /^-[ \t\r\n]/.test(source.slice(open + 2, open + 4));
    if (trimsBefore) text = text.replace(/[ \t\r\n]+$/, '');
    if (text !== '') pieces.push({ text });
    if (open < 0) break;
    const [action] = /^(?:[^"`}]|"(?:[^"\\]|\\.)*"|`[^`]*`|\}(?!\}))*(?=\}\})/.exec(source.slice(open + 2)) ?? [];
    if (action === undefined) throw new GoTemplateError('an action has no end');
    at = open + 2 + action.length + 2;
    trimNext = /[ \t\r\n]-$/.test(action);
    const inner = action.slice(trimsBefore ? 1 : 0, trimNext ? -1 : undefined).trim();
    if (!inner.startsWith('/*')) pieces.push({ action: inner });
  }
  return pieces;
}

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  get atEnd(): boolean {
    return this.#at === this.#pieces.length;
  }

  /** Reads nodes up to an `else` or `end`, or to the end of the template. */
  nodes(): Node[] {
    const nodes: Node[] = [];
    for (let piece = this.#pieces[this.#at]; piece !== undefined; piece = this.#pieces[this.#at]) {
      if ('text' in piece) {
        nodes.push({ kind: 'text', text: piece.text });
        this.#at++;
        continue;
      }
      const [, word = '', rest = ''] = /^(\w+)?\s*([\s\S]*)$/.exec(piece.action)!;
      if (word === 'end' || word === 'else') return nodes;
      this.#at++;
      if (word === 'if') nodes.push(this.#if(rest));
      else if (word === 'range') nodes.push(this.#range(rest));
      else if (word === 'with' || word === 'define' || word === 'template' || word === 'block')
        throw new GoTemplateError(`'${word}' is not known here`);
      else {
        const [, name, value] = /^\$(\w+)\s*:?=\s*([\s\S]+)$/.exec(piece.action) ?? [];
        if (name !== undefined && value !== undefined)
          nodes.push({ kind: 'assign', name: `$${name}`, value: expression(value) });
        else nodes.push({ kind: 'print', value: expression(piece.action) });
      }
    }
    return nodes;
  }

  #if(condition: string): Node {
    const then = this.nodes();
    return { kind: 'if', condition: expression(condition), then, otherwise: this.#otherwise() };
  }

  #range(head: string): Node {
    const [, first, second, list] = /^(?:\$(\w+)\s*(?:,\s*\$(\w+))?\s*:=\s*)?([\s\S]+)$/.exec(head)!;
    const item = second ?? first;
    const body = this.nodes();
    return {
      kind: 'range',
      key: second === undefined ? null : `$${first!}`,
      item: item === undefined ? null : `$${item}`,
      list: expression(list!),
      body,
      otherwise: this.#otherwise(),
    };
  }

  /** Reads what follows `else`, through the `end` that closes the whole `if`. */
  #otherwise(): Node[] {
    const piece = this.#pieces[this.#at++];
    if (piece === undefined || !('action' in piece)) throw new GoTemplateError('an {{ end }} is missing');
    if (piece.action === 'end') return [];
    const [, condition] = /^else\s+if\s+([\s\S]+)$/.exec(piece.action) ?? [];
    if (condition !== undefined) return [this.#if(condition)];
    const nodes = this.nodes();
    this.#at++;
    return nodes;
  }
}

function expression(text: string): Expression {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|`[^`]*`|\(|\)|\||[^\s()|]+/g) ?? [];
  let at = 0;
  const operand = (): Expression => {
    const token = tokens[at++];
    if (token === undefined) throw new GoTemplateError(`'${text}' is not complete`);
    if (token === '(') {
      const inner = call();
      if (tokens[at++] !== ')') throw new GoTemplateError(`a bracket of '${text}' is not closed`);
      return inner;
    }
    if (token.startsWith('`')) return { kind: 'literal', value: token.slice(1, -1) };
    if (token.startsWith('"')) return { kind: 'literal', value: JSON.parse(token) as string };
    if (/^-?\d+$/.test(token)) return { kind: 'literal', value: Number(token) };
    if (token === 'true' || token === 'false') return { kind: 'literal', value: token === 'true' };
    const [, variable, path] = /^(\$\w*)?((?:\.\w+)*|\.)$/.exec(token) ?? [];
    if (path !== undefined) return { kind: 'field', variable: variable ?? '', path: path.split('.').filter(Boolean) };
    if (/^\w+$/.test(token)) return { kind: 'call', name: token, args: [] };
    throw new GoTemplateError(`'${token}' is not known here`);
  };
  const call = (): Expression => {
    const first = operand();
    const args: Expression[] = [];
    while (at < tokens.length && tokens[at] !== ')') {
      if (tokens[at] === '|') throw new GoTemplateError('pipes are not known here');
      args.push(operand());
    }
    if (first.kind !== 'call' || first.args.length > 0) {
      if (args.length > 0) throw new GoTemplateError(`'${text}' is no call`);
      return first;
    }
    return { ...first, args };
  };
  const whole = call();
  if (at < tokens.length) throw new GoTemplateError(`'${text}' has too many brackets`);
  return whole;
}

// ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Scope {
  readonly dot: unknown;
  readonly variables: Map<string, unknown>;
}

function run(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => runNode(node, scope)).join('');
}

function runNode(node: Node, scope: Scope): string {
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'print': {
      const value = valueOf(node.value, scope);
      return value === undefined || value === null ? '' : String(value as string | number | boolean);
    }
    case 'assign':
      scope.variables.set(node.name, valueOf(node.value, scope));
      return '';
    case 'if':
      return run(isTrue(valueOf(node.condition, scope)) ? node.then : node.otherwise, inner(scope, scope.dot));
    case 'range': {
      const list = valueOf(node.list, scope);
      if (!Array.isArray(list) || list.length === 0) return run(node.otherwise, inner(scope, scope.dot));
      return list
        .map((item: unknown, i) => {
          const own = inner(scope, item);
          if (node.key !== null) own.variables.set(node.key, i);
          if (node.item !== null) own.variables.set(node.item, item);
          return run(node.body, own);
        })
        .join('');
    }
  }
}

function inner({ variables }: Scope, dot: unknown): Scope {
  return { dot, variables: new Map(variables) };
}

function valueOf(expression: Expression, scope: Scope): unknown {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'field': {
      const { variable, path } = expression;
      const start = variable === '' ? scope.dot : scope.variables.get(variable);
      return path.reduce((value: unknown, key) => (value as Record<string, unknown> | null | undefined)?.[key], start);
    }
    case 'call':
      return call(
        expression.name,
        expression.args.map((arg) => valueOf(arg, scope)),
      );
  }
}

function call(name: string, args: readonly unknown[]): unknown {
  const [first, ...rest] = args;
  switch (name) {
    case 'eq':
      return rest.some((other) => other === first);
    case 'ne':
      return first !== rest[0];
    case 'not':
      return !isTrue(first);
    case 'and':
      return args.find((value) => !isTrue(value)) ?? args.at(-1);
    case 'or':
      return args.find(isTrue) ?? args.at(-1);
    case 'len':
      return (first as { readonly length: number }).length;
    case 'slice':
      return (first as readonly unknown[]).slice(...(rest as number[]));
    case 'index':
      return (first as readonly unknown[])[rest[0] as number];
    default:
      throw new GoTemplateError(`the function '${name}' is not known here`);
  }
}

/** Returns whether a value is true in Go's sense: it is not empty. */
function isTrue(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}
