/**
 * Reads and writes the frames of the host's local socket, each of which is one line of JSON. Neither side trusts the other: a
 * line that is too long or not a message ends that connection, and so does a peer that leaves too much unread.
 */
import type { Socket } from 'node:net';
import type { Answer, HostMessage, ProblemValue } from './contract.ts';
import { logError, Problem } from './problem.ts';

/** Limits the bytes of a frame, in either direction. A longer request is refused; a longer answer comes in parts. */
export const longestFrame = 16 * 2 ** 20;
/** Limits the characters of an answer, in all its parts together. A longer answer is refused instead of sent. */
export const longestAnswer = 16 * longestFrame;
/**
 * Limits the characters of a part. A part fits into a frame even with three bytes for each character, or with every other one
 * escaped.
 */
const longestPart = longestFrame / 4;
/**
 * Gives the bytes a peer may leave unread before its connection is closed: a few of the longest answers and a minute of busy
 * events.
 */
export const longestBacklog = 4 * longestFrame;

/** Gives the bytes that all connections together may have received of lines that have not ended. */
const longestBegun = 8 * longestFrame;

const newline = 10;

/** Returns the bytes of a message, or null when they are too many for a frame. */
export function encodeFrame(message: HostMessage): Buffer | null {
  const line = stringify(message);
  if (line === null || line.length > longestFrame) return null;
  const frame = Buffer.from(`${line}\n`);
  return frame.length > longestFrame ? null : frame;
}

/**
 * Returns the JSON of a value, or null where it has more characters than a string of V8 can have, or more levels than its
 * stack.
 */
function stringify(value: unknown): string | null {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Yields the frames of an answer: one, or several with its parts. An answer that is too long becomes a Problem. */
export function* answerFrames(
  { id, name }: { readonly id: number; readonly name: string },
  answer: Answer<unknown>,
  longest = longestAnswer,
): Generator<Buffer> {
  const frame = encodeFrame({ type: 'answer', id, answer });
  if (frame !== null) return yield frame;
  const text = stringify(answer);
  if (text === null || text.length > longest) {
    const problem = tooLong(`The answer to '${name}'`, longest, 'Request less at a time: fewer rows, or a smaller file.');
    return yield encodeFrame({ type: 'answer', id, answer: { problem: problem.toValue() } })!;
  }
  for (let from = 0; from < text.length; from += longestPart) {
    const last = from + longestPart >= text.length;
    yield encodeFrame({ type: 'part', id, text: text.slice(from, from + longestPart), last })!;
  }
}

/** Makes the Problem of something that is longer than can be sent; `longest` is in bytes. */
export function tooLong(what: string, longest: number, hint: string): Problem {
  return new Problem('request-invalid', `${what} is larger than the ${longest / 2 ** 20} MB that can be sent.`, hint);
}

/** Sends a frame, or closes the connection of a peer that has left too much unread. */
export function writeFrame(socket: Socket, frame: Buffer): void {
  if (!socket.writable) return;
  if (socket.writableLength + frame.length > longestBacklog) {
    logError(
      `${new Date().toISOString()} A connection was closed because its client left ${socket.writableLength} bytes unread.`,
    );
    socket.destroy();
  } else socket.write(frame);
}

/** Resolves at the next turn of the event loop or, where the peer has more than a frame left to read, once it has read that. */
export async function untilRead(socket: Socket): Promise<void> {
  await new Promise((done) => setImmediate(done));
  if (socket.destroyed || socket.writableLength <= longestFrame) return;
  await new Promise<void>((done) => {
    const read = () => {
      socket.off('drain', read).off('close', read);
      done();
    };
    socket.on('drain', read).on('close', read);
  });
}

/**
 * Calls `onMessage` for every message that arrives. Where that returns a promise, nothing more is read until it resolves.
 * Anything that is not a message ends the connection, and `onBad` receives the reason.
 */
export function readFrames(
  socket: Socket,
  onMessage: (message: HostMessage) => void | Promise<void>,
  onBad: (why: string) => void,
): void {
  const begun = new LineBuffer();
  let isHeld = false;

  const take = (arrived: Buffer): void => {
    let chunk = arrived;
    while (chunk.length > 0 && !socket.destroyed) {
      const end = chunk.indexOf(newline);
      const part = end === -1 ? chunk : chunk.subarray(0, end);
      if (begun.length + part.length >= longestFrame) return bad(`a line of more than ${longestFrame} bytes`);
      if (!begun.hasRoomFor(part.length))
        return bad('an unfinished line while unfinished lines of all connections took too much memory');
      if (end === -1) return begun.add(part);
      const message = parseMessage(begun.take(part));
      if (message === null) return bad('a line that is not a message');
      chunk = chunk.subarray(end + 1);
      const hold = onMessage(message);
      if (hold instanceof Promise) {
        isHeld = true;
        socket.pause();
        const rest = chunk;
        void hold.then(() => {
          isHeld = false;
          take(rest);
          if (!isHeld) socket.resume();
        });
        return;
      }
    }
  };
  const bad = (why: string): void => {
    socket.destroy();
    onBad(why);
  };
  socket.on('data', take).on('close', () => begun.clear());
}

/** Holds the beginning of a line whose end has not arrived yet, in one piece however small the parts it comes in. */
class LineBuffer {
  /** Holds the bytes that all of these buffers take together. */
  static #taken = 0;
  #bytes = Buffer.alloc(0);
  length = 0;

  hasRoomFor(bytes: number): boolean {
    return LineBuffer.#taken - this.#bytes.length + Math.max(this.#bytes.length, 2 * (this.length + bytes)) <= longestBegun;
  }

  add(part: Buffer): void {
    const needed = this.length + part.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(2 * needed, longestFrame));
      this.#bytes.copy(larger, 0, 0, this.length);
      LineBuffer.#taken += larger.length - this.#bytes.length;
      this.#bytes = larger;
    }
    part.copy(this.#bytes, this.length);
    this.length = needed;
  }

  /** Returns the whole line with its last part; the buffer is empty afterwards. */
  take(last: Buffer): string {
    if (this.length === 0) return last.toString('utf8');
    this.add(last);
    const line = this.#bytes.toString('utf8', 0, this.length);
    this.clear();
    return line;
  }

  clear(): void {
    LineBuffer.#taken -= this.#bytes.length;
    this.#bytes = Buffer.alloc(0);
    this.length = 0;
  }
}

function parseMessage(line: string): HostMessage | null {
  try {
    const value = JSON.parse(line) as unknown;
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns whether a value is a message. The content of a request's params or an event's payload is checked by its receiver. */
function isMessage(value: unknown): value is HostMessage {
  if (!isRecord(value)) return false;
  switch (value['type']) {
    case 'hello':
      return Number.isInteger(value['pid']) && (value['studio'] === undefined || typeof value['studio'] === 'string');
    case 'request':
      return Number.isSafeInteger(value['id']) && typeof value['name'] === 'string';
    case 'cancel':
      return Number.isSafeInteger(value['id']);
    case 'answer':
      return Number.isSafeInteger(value['id']) && isAnswer(value['answer']);
    case 'part':
      return Number.isSafeInteger(value['id']) && typeof value['text'] === 'string' && typeof value['last'] === 'boolean';
    case 'event':
      return typeof value['name'] === 'string' && 'payload' in value;
    default:
      return false;
  }
}

/** Returns whether a value is an answer. The caller checks its content. */
export function isAnswer(value: unknown): value is Answer<unknown> {
  return isRecord(value) && ('ok' in value || isProblem(value['problem']));
}

function isProblem(value: unknown): value is ProblemValue {
  return isRecord(value) && ['code', 'message', 'hint'].every((key) => typeof value[key] === 'string');
}
