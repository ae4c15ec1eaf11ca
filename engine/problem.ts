/** Failures a person can act on. Everything expected to go wrong is a `Problem`; anything else that throws is a bug of ours. */

/** The closed set of codes. A code names what happened, never where. */
export type ProblemCode =
  | 'file-missing'
  | 'file-unreadable'
  | 'file-damaged'
  | 'folder-unwritable'
  | 'folder-not-empty'
  | 'disk-full'
  | 'download-failed'
  | 'format-unknown'
  | 'format-unsupported'
  | 'config-invalid'
  | 'model-unsupported'
  | 'field-unknown'
  | 'tensor-missing'
  | 'tensor-shape'
  | 'tokenizer-missing'
  | 'tokenizer-unsupported'
  | 'template-missing'
  | 'template-failed'
  | 'data-invalid'
  | 'data-empty'
  | 'token-out-of-range'
  | 'nothing-to-train'
  | 'row-too-long'
  | 'adapter-mismatch'
  | 'recipe-invalid'
  | 'loss-not-finite'
  | 'checkpoint-missing'
  | 'checkpoint-damaged'
  | 'device-unavailable'
  | 'out-of-memory'
  | 'export-unsupported'
  | 'proof-failed'
  | 'store-newer'
  | 'store-damaged'
  | 'host-unreachable'
  | 'job-crashed'
  | 'not-found'
  | 'not-allowed'
  | 'request-invalid'
  | 'stopped'
  | 'internal';

/** A Problem as it crosses a process border or is written to a file. */
export interface ProblemValue {
  readonly code: ProblemCode;
  /** One sentence: what happened and where. */
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
  /** 1-based line of the input file, when the problem belongs to one. */
  readonly line?: number;
  /** The config field or metadata key that a `field-unknown` is about; it can be accepted by this name. */
  readonly field?: string;
}

/** An expected failure, shown to people as a sentence and a hint. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly hint: string;
  readonly line: number | undefined;
  readonly field: string | undefined;

  constructor(
    code: ProblemCode,
    message: string,
    hint: string,
    options: { line?: number | undefined; field?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Problem';
    this.code = code;
    this.hint = hint;
    this.line = options.line;
    this.field = options.field;
  }

  toValue(): ProblemValue {
    return {
      code: this.code,
      message: this.message,
      hint: this.hint,
      ...(this.line === undefined ? {} : { line: this.line }),
      ...(this.field === undefined ? {} : { field: this.field }),
    };
  }

  static fromValue({ code, message, hint, line, field }: ProblemValue): Problem {
    return new Problem(code, message, hint, { line, field });
  }
}

/** The value to report for anything caught: a Problem as it is, the system errors people meet, and `internal` for our own bugs. */
export function toProblemValue(error: unknown): ProblemValue {
  if (error instanceof Problem) return error.toValue();
  const code = (error as { readonly code?: unknown } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  if (code === 'ENOENT') return { code: 'file-missing', message, hint: 'Check the path.' };
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return { code: 'folder-unwritable', message, hint: 'Choose a place you may read and write.' };
  if (code === 'ELOOP' || code === 'ENAMETOOLONG' || code === 'ENOTDIR')
    return { code: 'file-unreadable', message, hint: 'The path leads nowhere: give another one.' };
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL')
    return { code: 'disk-full', message, hint: 'Free some space and try again; nothing half-written was kept.' };
  return {
    code: 'internal',
    message: `Something in the studio itself went wrong: ${message}`,
    hint: 'This is a bug. The log in the data folder has the details.',
  };
}

/** States what must be true of our own code. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
