/** Finds the bytes that each token of a tokenizer writes. */
import { Problem } from '../problem.ts';
import type { TokenizerJson } from './tokenizer-parts.ts';

/** Holds the parts of a decoder of tokenizer.json that are read here. */
interface Decoder {
  readonly type?: string;
  readonly decoders?: readonly Decoder[];
  readonly pattern?: { readonly String?: string };
  readonly content?: string;
  readonly replacement?: string;
}

/**
 * Returns the bytes of each token of `vocabulary`, one character of the string for each byte. The decoders of byte-level BPE
 * and of SentencePiece are known; with another one the tokens cannot be told apart from their text, and it is refused.
 */
export function tokenBytes(
  { decoder }: Pick<TokenizerJson, 'decoder'>,
  vocabulary: Iterable<readonly [token: string, id: number]>,
): Map<number, string> {
  const write = writer(steps(decoder as Decoder | null));
  const bytes = new Map<number, string>();
  for (const [token, id] of vocabulary) bytes.set(id, write(token));
  return bytes;
}

function steps(decoder: Decoder | null): readonly Decoder[] {
  if (decoder === null || typeof decoder !== 'object') return [];
  return decoder.type === 'Sequence' ? (decoder.decoders ?? []).flatMap(steps) : [decoder];
}

function writer(decoders: readonly Decoder[]): (token: string) => string {
  const replaced: [from: string, to: string][] = [];
  let [isByteLevel, hasFallback, isFused] = [false, false, false];
  for (const { type, pattern, content, replacement } of decoders) {
    if (type === 'ByteLevel') isByteLevel = true;
    else if (type === 'ByteFallback') hasFallback = true;
    else if (type === 'Fuse') isFused = true;
    else if (type === 'Replace' && pattern?.String !== undefined) replaced.push([pattern.String, content ?? '']);
    else if (type === 'Metaspace') replaced.push([replacement ?? '\u2581', ' ']);
    // Of a fused text only the beginning and the end are stripped, which is no matter of a token.
    else if (type !== 'Strip' || !isFused) throw unsupported(type);
  }
  if (isByteLevel) return byteLevel;
  if (replaced.length === 0) throw unsupported(undefined);
  return (token) => {
    const byte = hasFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1] : undefined;
    if (byte !== undefined) return String.fromCharCode(parseInt(byte, 16));
    return latin1(replaced.reduce((text, [from, to]) => text.replaceAll(from, to), token));
  };
}

/** Maps the characters with which byte-level BPE writes bytes: printable ones stand for themselves, the others follow U+0100. */
const byteOf = new Map<string, string>();
for (let byte = 0, others = 0; byte < 256; byte++) {
  const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
  byteOf.set(String.fromCharCode(isPrintable ? byte : 256 + others++), String.fromCharCode(byte));
}

/** Returns the bytes of a token of byte-level BPE. One with any other character is text as it is. */
function byteLevel(token: string): string {
  let bytes = '';
  for (const character of token) {
    const byte = byteOf.get(character);
    if (byte === undefined) return latin1(token);
    bytes += byte;
  }
  return bytes;
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function unsupported(type: string | undefined): Problem {
  return new Problem(
    'tokenizer-unsupported',
    `What the tokens of this tokenizer write is not known: its decoder is ${type === undefined ? 'missing' : `'${type}'`}.`,
    'Use a model with byte-level BPE or SentencePiece.',
  );
}
