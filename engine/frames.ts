/**
 * Frames of the host's local socket: each is one line of JSON. Neither side trusts the other: a line that is too long or no message ends
 * that connection, and so does a peer that leaves too much unread.
 */
import type { Socket } from 'node:net';
import type { HostMessage, ProblemValue } from './contract.ts';
import { logError } from './problem.ts';

/** Bytes of the longest frame, in either direction. A request or answer that would be longer is refused instead of sent. */
export const longestFrame = 16 * 2 ** 20;
/** Bytes a peer may leave unread before its connection is closed: a few of the longest answers and a minute of busy events. */
export const longestBacklog = 4 * longestFrame;

const newline = 10;

/** The bytes of a message, or null when they are too many for a frame. */
export function encodeFrame(message: HostMessage): Buffer | null {
  let line: string;
  try {
    line = JSON.stringify(message);
  } catch (error) {
    // More characters than a string of V8 can have, or more levels than its stack.
    if (error instanceof RangeError) return null;
    throw error;
  }
  if (line.length > longestFrame) return null;
  const frame = Buffer.from(`${line}\n`);
  return frame.length > longestFrame ? null : frame;
}

/** Sends a frame; a peer that has left too much unread is closed instead. */
export function writeFrame(socket: Socket, frame: Buffer): void {
  if (!socket.writable) return;
  if (socket.writableLength + frame.length > longestBacklog) {
    logError(`${new Date().toISOString()} A connection was closed: ${socket.writableLength} bytes were left unread.`);
    socket.destroy();
  } else socket.write(frame);
}

/** Resolves at the next turn of the event loop, or once the peer has read what it was sent where that is more than a frame. */
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
 * Calls `onMessage` for every message that arrives; where it answers a promise, nothing more is read until that resolves. What is no
 * message ends the connection: `onBad` is told why.
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
      if (end === -1) return begun.add(part);
      const message = parseMessage(begun.take(part));
      if (message === null) return bad('a line that is no message');
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
  socket.on('data', take);
}

/** The beginning of a line whose end has not arrived yet, in one piece however small the parts it comes in. */
class LineBuffer {
  #bytes = Buffer.alloc(0);
  length = 0;

  add(part: Buffer): void {
    const needed = this.length + part.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(2 * needed, longestFrame));
      this.#bytes.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    part.copy(this.#bytes, this.length);
    this.length = needed;
  }

  /** The whole line with its last part; it is empty afterwards. */
  take(last: Buffer): string {
    if (this.length === 0) return last.toString('utf8');
    this.add(last);
    const line = this.#bytes.toString('utf8', 0, this.length);
    this.#bytes = Buffer.alloc(0);
    this.length = 0;
    return line;
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

/** What stands in a request's params or an event's payload is looked at by whoever it is for. */
function isMessage(value: unknown): value is HostMessage {
  if (!isRecord(value)) return false;
  switch (value['type']) {
    case 'hello':
      return Number.isInteger(value['pid']) && (value['studio'] === undefined || typeof value['studio'] === 'string');
    case 'request':
      return Number.isSafeInteger(value['id']) && typeof value['name'] === 'string';
    case 'answer':
      return Number.isSafeInteger(value['id']) && isAnswer(value['answer']);
    case 'event':
      return typeof value['name'] === 'string' && 'payload' in value;
    default:
      return false;
  }
}

function isAnswer(value: unknown): boolean {
  return isRecord(value) && ('ok' in value || isProblem(value['problem']));
}

function isProblem(value: unknown): value is ProblemValue {
  return isRecord(value) && ['code', 'message', 'hint'].every((key) => typeof value[key] === 'string');
}
