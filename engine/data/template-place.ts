/** Finds the place in a chat template's source that the template library cannot read. */
import { parse, tokenize } from '@huggingface/jinja';

/** Names a place of a template by its line, from 1, and the tag that stands there. */
export interface TemplatePlace {
  readonly line: number;
  readonly tag: string;
}

/** Limits how much of a tag is shown. */
const mostCharacters = 160;

/** Returns the tag at which a template cannot be read, or null where it can be, or where the tag cannot be told. */
export function unreadableTag(source: string): TemplatePlace | null {
  const tags = tagsOf(source);
  const failing = tags.find(({ text }) => !isRead(() => tokenize(text))) ?? tags[tagsBeforeFault(source) - 1];
  return failing === undefined ? null : placeOf(source, failing);
}

/** Returns the first tag in which a filter or a test is used, or null where there is none. */
export function tagWith(source: string, kind: 'filter' | 'test', name: string): TemplatePlace | null {
  const use = new RegExp(kind === 'filter' ? `\\|\\s*${name}\\b` : `\\bis\\s+(?:not\\s+)?${name}\\b`);
  const found = tagsOf(source).find(({ text }) => use.test(text));
  return found === undefined ? null : placeOf(source, found);
}

interface Tag {
  readonly at: number;
  readonly text: string;
}

/** Matches a text in quotes, the end of a tag, and the braces of objects. */
const pieces = /'(?:\\[\s\S]|[^'\\])*'|"(?:\\[\s\S]|[^"\\])*"|[%}]\}|[{}]/g;

/** Returns the tags of a template, without its comments. */
function tagsOf(source: string): Tag[] {
  const tags: Tag[] = [];
  let at = 0;
  const opening = /\{#[\s\S]*?#\}|\{[{%]/g;
  for (;;) {
    opening.lastIndex = at;
    const open = opening.exec(source);
    if (open === null) return tags;
    const start = open.index;
    at = opening.lastIndex;
    if (open[0].startsWith('{#')) continue;
    at = endOf(source, at, open[0] === '{%' ? '%}' : '}}');
    tags.push({ at: start, text: source.slice(start, at) });
  }
}

/** Returns the position behind a tag whose inside begins at `from`. Braces of objects in it do not end it. */
function endOf(source: string, from: number, close: string): number {
  pieces.lastIndex = from;
  let depth = 0;
  for (let piece = pieces.exec(source); piece !== null; piece = pieces.exec(source)) {
    const [text] = piece;
    if (text === close && (depth === 0 || close === '%}')) return pieces.lastIndex;
    for (const unit of text.startsWith('"') || text.startsWith("'") ? '' : text)
      depth += unit === '{' ? 1 : unit === '}' ? -1 : 0;
    // The first of two braces has ended an object, and the second one is the first of the tag's end.
    if (close === '}}' && depth < 0) return pieces.lastIndex + 1;
  }
  return source.length;
}

/** Counts the tags through the one at which the library stops to read. */
function tagsBeforeFault(source: string): number {
  let tokens: { readonly type: string }[];
  try {
    tokens = tokenize(source, { lstrip_blocks: true, trim_blocks: true });
  } catch {
    return 0;
  }
  let furthest = 0;
  // The library does not say where it stops, so the tokens note how far they were read.
  const watched = new Proxy(tokens, {
    get(all, name) {
      if (typeof name === 'string' && /^\d+$/.test(name)) furthest = Math.max(furthest, Number(name));
      return Reflect.get(all, name) as unknown;
    },
  });
  if (isRead(() => parse(watched as ReturnType<typeof tokenize>))) return 0;
  const opens = new Set<string>(['OpenStatement', 'OpenExpression']);
  return tokens.slice(0, furthest + 1).filter(({ type }) => opens.has(type)).length;
}

function isRead(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

function placeOf(source: string, { at, text }: Tag): TemplatePlace {
  const tag = text.replace(/\s+/g, ' ');
  return {
    line: source.slice(0, at).split('\n').length,
    tag: tag.length > mostCharacters ? `${tag.slice(0, mostCharacters)}…` : tag,
  };
}
