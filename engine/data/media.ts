/** Removes images, audio and video from a row, so that its text can be trained on. */
import { type Fields, isEmpty, mediaColumns } from './columns.ts';

/** Lists the types of message parts that are not text, by their names in OpenAI, transformers and ms-swift. */
export const mediaParts: ReadonlySet<unknown> = new Set([
  ...['image', 'image_url', 'input_image', 'video', 'video_url', 'audio', 'audio_url', 'input_audio'],
]);
/** Matches the placeholder of an image, a video or audio in a text. */
const placeholder = /[ \t]*<(?:image|video|audio)>\n?/g;
const lists: readonly string[] = ['messages', 'conversations', 'prompt', 'completion'];

/** Returns a row without its media, and how many of them were removed. */
export function withoutMedia(row: Fields): { readonly row: Fields; readonly dropped: number } {
  let dropped = 0;
  const withoutColumns = (fields: Fields): Fields => {
    const kept = Object.entries(fields).filter(([name, value]) => {
      const isMedia = mediaColumns.includes(name) && !isEmpty(value);
      if (isMedia) dropped += Array.isArray(value) ? value.length : 1;
      return !isMedia;
    });
    return Object.fromEntries(kept);
  };
  const isMediaPart = (part: unknown): boolean => isFields(part) && mediaParts.has(part['type']);
  const withoutParts = (message: unknown): unknown => {
    if (!isFields(message)) return message;
    const kept = withoutColumns(message);
    const { content } = kept;
    if (!Array.isArray(content) || !content.some(isMediaPart)) return kept;
    const parts = content.filter((part) => !isMediaPart(part));
    dropped += content.length - parts.length;
    return { ...kept, content: parts };
  };
  const kept = Object.entries(withoutColumns(row)).map(([name, value]): [string, unknown] => [
    name,
    lists.includes(name) && Array.isArray(value) ? value.map(withoutParts) : value,
  ]);
  return { row: dropped === 0 ? row : (withoutPlaceholders(Object.fromEntries(kept)) as Fields), dropped };
}

function withoutPlaceholders(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(placeholder, '');
  if (Array.isArray(value)) return value.map(withoutPlaceholders);
  return isFields(value)
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, withoutPlaceholders(inner)]))
    : value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
