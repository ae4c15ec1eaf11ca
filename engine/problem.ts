/**
 * Defines failures a person can act on. Everything expected to go wrong is a `Problem`; anything else that throws is a bug of
 * ours.
 */

/** Names all problems. A code says what happened, never where. */
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
  | 'template-unsupported'
  | 'data-invalid'
  | 'data-empty'
  | 'data-changed'
  | 'token-out-of-range'
  | 'nothing-to-train'
  | 'row-too-long'
  | 'adapter-mismatch'
  | 'adapter-changed'
  | 'recipe-invalid'
  | 'loss-not-finite'
  | 'checkpoint-missing'
  | 'checkpoint-damaged'
  | 'device-unavailable'
  | 'out-of-memory'
  | 'export-unsupported'
  | 'proof-failed'
  | 'gate-missed'
  | 'endpoint-failed'
  | 'store-newer'
  | 'store-damaged'
  | 'store-unavailable'
  | 'host-unreachable'
  | 'job-crashed'
  | 'not-found'
  | 'not-allowed'
  | 'request-invalid'
  | 'stopped'
  | 'internal';

/** Describes a Problem in the form in which it crosses a process border or is written to a file. */
export interface ProblemValue {
  readonly code: ProblemCode;
  /** Says in one sentence what happened and where. */
  readonly message: string;
  /** Gives a sentence that says what to do about it. */
  readonly hint: string;
  /** Gives the line of the input file, counted from 1, when the problem belongs to one. */
  readonly line?: number;
  /** Holds the beginning of a row that could not be read. */
  readonly text?: string;
  /** Gives the config field or metadata key that a `field-unknown` is about; it can be accepted by this name. */
  readonly field?: string;
}
/**
 * Holds an answer that crosses a process border: a value, or the fields of a `Problem`, because an `Error` does not survive
 * that.
 */
export type Answer<T> = { readonly ok: T } | { readonly problem: ProblemValue };

// ── Text from elsewhere ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Gives a number of characters that no sentence meant for reading exceeds, even with two paths in it. */
const longestSentence = 4000;
/** Gives a number of characters that no name of a model, data set or tensor exceeds. */
export const longestName = 200;

/**
 * Matches C0 except tab and newline, DEL, C1, characters that reverse or separate lines, tags, and characters without any
 * width.
 */
const inText =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
/** Matches in addition line breaks, and marks that are useful in running text only. */
const inSentence =
  /[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/**
 * Returns one line of text that is safe to show to a person. Text from a file may clear a terminal, set its title, forge a line
 * or reverse the order of letters, and may have millions of characters. Characters that do not print are spelled out
 * (`\u001b`), and the middle of a text longer than `longest` characters is left out.
 */
export function shown(text: string, longest = longestSentence): string {
  // An escaped character takes up to six.
  return shortened(shortened(text, longest).replace(inSentence, spelled), longest);
}

/**
 * Returns text of several lines that is safe to show, as `shown` does. Lines and tabs stay, and so do the marks that Persian,
 * Hebrew or an emoji need.
 */
export function shownText(text: string): string {
  return text.replace(inText, spelled);
}

/** Returns a value as JSON with the same meaning, in which characters that do not print are escaped. */
export function shownJson(value: unknown): string {
  return JSON.stringify(value).replace(inSentence, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

function shortened(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const end = Math.floor(longest / 3);
  const left = `${text.slice(0, longest - end)} … (${text.length - longest} characters left out) … ${text.slice(-end)}`;
  // A cut may separate the two halves of a character.
  return left.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '');
}

function spelled(character: string): string {
  const usual = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
  const code = character.codePointAt(0)!;
  return usual ?? (code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`);
}

/** Writes an unexpected error to the log, with where it happened and up to four of its causes. */
export function logError(error: unknown): void {
  const parts: string[] = [];
  for (let at = error; at !== undefined && parts.length < 5; at = at instanceof Error ? at.cause : undefined)
    parts.push(at instanceof Error ? (at.stack ?? at.message) : String(at));
  console.error(shownText(shortened(parts.join('\ncaused by: '), 10 * longestSentence)));
}

// ── Failures ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reports an expected failure, which people see as a sentence and a hint. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly hint: string;
  readonly line: number | undefined;
  readonly text: string | undefined;
  readonly field: string | undefined;

  constructor(
    code: ProblemCode,
    message: string,
    hint: string,
    options: { line?: number | undefined; text?: string | undefined; field?: string | undefined; cause?: unknown } = {},
  ) {
    super(shown(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Problem';
    this.code = code;
    this.hint = shown(hint);
    this.line = options.line;
    this.text = options.text === undefined ? undefined : shown(options.text);
    // A longer name is left out, because no person could type it.
    this.field = (options.field?.length ?? 0) > longestSentence ? undefined : options.field;
  }

  toValue(): ProblemValue {
    return {
      code: this.code,
      message: this.message,
      hint: this.hint,
      ...(this.line === undefined ? {} : { line: this.line }),
      ...(this.text === undefined ? {} : { text: this.text }),
      ...(this.field === undefined ? {} : { field: this.field }),
    };
  }

  static fromValue({ code, message, hint, line, text, field }: ProblemValue): Problem {
    return new Problem(code, message, hint, { line, text, field });
  }
}

/** Holds the error codes of a disk or network drive that fails, is gone, or does not let a file be read or written. */
const unanswered = new Set(['EIO', 'ENXIO', 'ENODEV', 'ESTALE', 'EREMOTEIO', 'EBUSY']);
export const unansweredHint =
  'The disk or network drive may have failed, or may not allow this: try again, or copy the file to another disk.';

/**
 * Returns the value to report for anything caught: a Problem as it is, the system errors that people meet as the matching
 * codes, and `internal` for bugs of ours.
 */
export function toProblemValue(error: unknown): ProblemValue {
  if (error instanceof Problem) return error.toValue();
  const code = (error as { readonly code?: unknown } | null)?.code;
  const message = shown(error instanceof Error ? error.message : String(error));
  if (code === 'ENOENT') return { code: 'file-missing', message, hint: 'Check the path.' };
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return { code: 'folder-unwritable', message, hint: 'Choose a place you may read and write.' };
  if (code === 'ELOOP' || code === 'ENAMETOOLONG' || code === 'ENOTDIR')
    return { code: 'file-unreadable', message, hint: 'The path leads nowhere: give another one.' };
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'SQLITE_FULL')
    return { code: 'disk-full', message, hint: 'Free some space and try again; nothing half-written was kept.' };
  // These errors may pass by themselves; the store has already reported lasting damage as its own Problem.
  if (typeof code === 'string' && /^SQLITE_(BUSY|LOCKED|IOERR|CANTOPEN|READONLY|NOMEM)/.test(code))
    return {
      code: 'store-unavailable',
      message: `The database in the data folder cannot be used just now: ${message}.`,
      hint: 'Another program may hold it, or its disk does not answer. Try again later; what ends until then is stored then.',
    };
  if (code === 'EMFILE' || code === 'ENFILE')
    return {
      code: 'not-allowed',
      message,
      hint: 'The system allows the studio no more open files: raise the limit (ulimit -n).',
    };
  if (typeof code === 'string' && unanswered.has(code)) return { code: 'file-unreadable', message, hint: unansweredHint };
  if (code === 'EISDIR')
    return { code: 'file-unreadable', message, hint: 'A folder lies in the place of a file: move it away.' };
  return {
    code: 'internal',
    message: `Something in the studio itself went wrong: ${message}`,
    hint: 'This is a bug. The log in the data folder has the details.',
  };
}

/** Throws unless `condition`, which states what must be true of our own code, holds. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
