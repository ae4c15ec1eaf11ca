/** Reads rows that consist of token ids, with the columns that say which tokens are present and which are trained. */
import { checkColumns, type Fields, sequenceLengths, tokenColumns, tokenMasks } from './columns.ts';
import { ignored } from '../labels.ts';
import { Problem } from '../problem.ts';
import { integers, invalid, isMissing } from './values.ts';

/**
 * Reads ids and labels, `[tokens]` each. A token is trained where `labels` has it and every mask has a 1. Padding, a 0 in
 * `attention_mask`, is removed at both ends. A row of several packed sequences is refused, because each sequence would attend
 * to those before it. A row whose labels or masks train padding is refused too: the end of the text may be meant, where padding
 * is the same token.
 */
export function tokensOf(value: Fields, unused: Set<string>): { inputIds: Int32Array; labels: Int32Array } {
  checkColumns(value, tokenColumns, { where: 'the row', path: '' }, unused);
  const all = integers(value['input_ids'], 'input_ids');
  const requireLength = (entries: { readonly length: number }, name: string) => {
    if (entries.length !== all.length)
      throw invalid(
        `'${name}' has ${entries.length} entries, 'input_ids' ${all.length}.`,
        `Give one entry of '${name}' per token id.`,
      );
  };
  const column = (name: string): Int32Array | null => {
    if (isMissing(value[name])) return null;
    const numbers = integers(value[name], name);
    requireLength(numbers, name);
    return numbers;
  };
  const labels = column('labels') ?? all.slice();
  for (const name of tokenMasks) {
    const mask = value[name];
    if (isMissing(mask)) continue;
    if (!Array.isArray(mask)) throw invalid(`'${name}' is not a list.`, `Give one entry of '${name}' per token id.`);
    requireLength(mask, name);
    mask.forEach((trained: unknown, t) => {
      if (trained === 0 || trained === false) labels[t] = ignored;
      else if (trained !== 1 && trained !== true)
        throw new Problem(
          'format-unsupported',
          `the row has '${name}' with something else than 0 and 1 at position ${t}: a token is trained or it is not.`,
          `Give 0 and 1, or write "labels" instead of '${name}'.`,
        );
    });
  }
  const [from, to] = withoutPadding(column('attention_mask'), all.length);
  const choosing = ['labels', ...tokenMasks].find((name) => !isMissing(value[name]));
  const padding = labels.findIndex((label, t) => label !== ignored && (t < from || t >= to));
  if (choosing !== undefined && padding >= 0)
    throw invalid(
      `'${choosing}' trains the token ${all[padding]} at position ${padding}, where 'attention_mask' is 0.`,
      'Give 1 in "attention_mask" to the token that ends the text, and -100 in "labels" to what is padding.',
    );
  requireOneSequence(value, column, from, to);
  const types = column('token_type_ids')?.find((type) => type !== 0);
  if (types !== undefined)
    throw new Problem(
      'format-unsupported',
      `the row has 'token_type_ids' with ${types}: only text of one kind can be trained on.`,
      'Leave the row out, or remove the column if it means nothing.',
    );
  return { inputIds: all.slice(from, to), labels: labels.slice(from, to) };
}

/** Returns the position of the first token that is not padding, and the position after the last. */
function withoutPadding(mask: Int32Array | null, length: number): [number, number] {
  if (mask === null) return [0, length];
  const from = mask.findIndex((entry) => entry !== 0);
  const to = mask.findLastIndex((entry) => entry !== 0) + 1;
  const at = mask.subarray(Math.max(0, from), to).findIndex((entry) => entry !== 1);
  if (at >= 0)
    throw new Problem(
      'format-unsupported',
      `the row has 'attention_mask' with ${mask[from + at]} at position ${from + at}: every token sees all those before it.`,
      'Write each sequence as a row of its own, and padding at its ends only.',
    );
  return [Math.max(0, from), to];
}

function requireOneSequence(value: Fields, column: (name: string) => Int32Array | null, from: number, to: number): void {
  const packed = (name: string) =>
    new Problem(
      'format-unsupported',
      `the row has '${name}' of other sequences than one of all its tokens.`,
      'Write each sequence as a row of its own; training packs them by itself.',
    );
  if (
    column('position_ids')
      ?.subarray(from, to)
      .some((position, t) => position !== t)
  )
    throw packed('position_ids');
  for (const name of sequenceLengths) {
    const given = value[name];
    if (isMissing(given)) continue;
    // Lists of sequence ends begin with a 0.
    const lengths = integers(Array.isArray(given) ? given : [given], name).filter((length) => length !== 0);
    if ((lengths[0] ?? 0) !== to - from || lengths.some((length) => length !== to - from)) throw packed(name);
  }
}
