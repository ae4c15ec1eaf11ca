/** Finds keys that an object of JSON has twice, of which parsers silently take the last. */
const [quote, backslash, colon] = [0x22, 0x5c, 0x3a];
const [braceOpen, braceClose, bracketOpen, bracketClose] = [0x7b, 0x7d, 0x5b, 0x5d];

/** Returns the first key that an object of a valid JSON text has twice, or null where there is none. */
export function repeatedKey(text: string): string | null {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === braceOpen || code === bracketOpen) open.push(new Set());
    else if (code === braceClose || code === bracketClose) open.pop();
    else if (code === quote) {
      const end = endOfString(text, at);
      let next = end + 1;
      while (text.charCodeAt(next) <= 0x20) next++;
      if (text.charCodeAt(next) === colon) {
        const written = text.slice(at, end + 1);
        const key = written.includes('\\') ? (JSON.parse(written) as string) : written.slice(1, -1);
        const keys = open.at(-1)!;
        if (keys.has(key)) return key;
        keys.add(key);
      }
      at = end;
    }
  }
  return null;
}

/** Returns the index of the quote that ends the string that begins at `start`. Strings are long, so the search is a native one. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text.charCodeAt(first - 1) === backslash) first--;
    if ((end - first) % 2 === 0) return end;
  }
}
