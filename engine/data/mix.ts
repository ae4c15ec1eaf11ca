/** Rows that are put together from several data sets: which rows of each part are taken and how often, and all of them as one data set. */
import type { DataChange, Split } from '../contract.ts';
import { sizeOfAll } from '../formats/files.ts';
import { allRecords, chooseRows, noRowLeft, Ranking, rankOf, RowChoice } from './changes.ts';
import { Column } from './column.ts';
import { type Amount, amountOf } from '../mixing.ts';
import { hashOf } from './record-hash.ts';
import { rewritings } from './rewriting.ts';
import type { MixFiles, PartFiles, RowFiles } from './row-files.ts';
import type { ReadingWatch } from './row.ts';

/** Files of rows that are a mix. */
export type MixedFiles = RowFiles & { readonly mix: MixFiles };

export function isMixed(files: RowFiles): files is MixedFiles {
  return files.mix !== undefined;
}

/**
 * Returns the files of a part by itself, without what chooses among its rows: how they are written by now is the same, so that tokens which
 * are kept of the part are those of the mix.
 */
export function filesOfPart({ changes = [] }: RowFiles, part: PartFiles): RowFiles {
  const { paths, mapping, folders } = part;
  const ofMix = rewritings(changes).filter((change) => change.kind === 'replace' || paths.includes(change.path));
  const anew = [...rewritings(part.changes ?? []), ...ofMix];
  return { paths, ...(mapping && { mapping }), ...(folders && { folders }), ...(anew.length > 0 && { changes: anew }) };
}

/** Tells a watch where the reading of a part is within that of all parts. `rows` are those of the parts before it. */
export function watchOfPart(watch: ReadingWatch, parts: readonly PartFiles[], part: number, rows: number): ReadingWatch {
  const bytes = parts.map(({ paths }) => sizeOfAll(paths));
  const sum = (all: readonly number[]) => all.reduce((total, one) => total + one, 0);
  const [before, totalBytes] = [sum(bytes.slice(0, part)), sum(bytes)];
  return (at) => watch({ ...at, rows: rows + at.rows, bytes: before + at.bytes, totalBytes });
}

/**
 * Reads the records of all parts and chooses the rows of each. What was done to the rows of a part comes first, then what was done to the
 * rows of the mix, and of those that are left `repeat` and `most` take some or several times. Throws a Problem where no row is left.
 */
export async function chooseMixed(files: MixedFiles, watch: ReadingWatch = () => {}): Promise<readonly RowChoice[]> {
  const { changes = [], split = 'train', paths } = files;
  const {
    parts,
    trained,
    of: { seed },
  } = files.mix;
  const seen = trained.length === 0 ? null : await rankParts(trained, changes, seed, watch);
  const own = parts.filter(({ isDivided }) => seen === null || !isDivided);
  const ranked = await rankParts(own, seen === null ? changes : changes.filter(({ kind }) => kind !== 'split'), seed, watch);
  const choices = parts.map((part) => {
    const [by, among] = seen !== null && part.isDivided ? [seen, trained] : [ranked, own];
    const at = among.findIndex(({ number }) => number === part.number);
    return drawn(by.taken(at, part.isDivided ? split : 'train'), by.draws[at]!, part);
  });
  if (choices.every(({ count }) => count === 0)) throw noRowLeft(paths, ranked.length + (seen?.length ?? 0));
  return choices;
}

/** Rows of files that are read together, and which of them are taken; null: all of them. */
export interface ChosenPart {
  readonly files: RowFiles;
  readonly choice: RowChoice | null;
}

/** Returns the rows of each part of a mix that are taken, and those of other files as one part. */
export async function chosenParts(files: RowFiles, watch: ReadingWatch): Promise<readonly ChosenPart[]> {
  if (isMixed(files)) {
    const choices = await chooseMixed(files, watch);
    return files.mix.parts.map((part, i) => ({ files: filesOfPart(files, part), choice: choices[i]! }));
  }
  const { paths, changes = [], split = 'train' } = files;
  const isAll = changes.length === rewritings(changes).length;
  return [{ files, choice: isAll ? null : await chooseRows({ paths, changes, split }, watch) }];
}

interface Ranked {
  readonly length: number;
  /** Says of each row of a part whether it is taken. */
  taken(part: number, side: Split): Uint8Array;
  /** Gives the place of each row of a part in the order in which rows are drawn. */
  readonly draws: readonly Column[];
}

async function rankParts(
  parts: readonly PartFiles[],
  changes: readonly DataChange[],
  seed: number,
  watch: ReadingWatch,
): Promise<Ranked> {
  const ranking = new Ranking(
    changes,
    parts.flatMap(({ paths }) => paths),
  );
  const starts: number[] = [];
  const draws: Column[] = [];
  for (const [i, part] of parts.entries()) {
    const following = watchOfPart(watch, parts, i, ranking.length);
    const { paths, changes: ofPart = [], split = 'train', isDivided, repeat, most } = part;
    const anew = rewritings(ofPart);
    const chosen = ofPart.length === anew.length ? null : await chooseRows({ paths, changes: ofPart, split }, following);
    const isDrawn = !Number.isInteger(repeat) || most !== undefined;
    const draw = new Column(Float64Array);
    starts.push(ranking.length);
    for await (const record of allRecords(paths, following)) {
      ranking.add(record, { isDivided, isThere: chosen === null || chosen.times(draw.length) > 0, anew });
      draw.add(isDrawn ? rankOf(seed, `draw ${hashOf(record.record)}`) : 0);
    }
    draws.push(draw);
  }
  const held = ranking.heldBack();
  return {
    length: ranking.length,
    draws,
    taken: (part, side) =>
      Uint8Array.from({ length: draws[part]!.length }, (_, row) => (ranking.isTaken(starts[part]! + row, held, side) ? 1 : 0)),
  };
}

/** Takes rows evenly until there are as many as are wanted: those that come first in the order of `draw` once more than the others. */
function drawn(isTaken: Uint8Array, draw: Column, amount: Amount): RowChoice {
  const rows = Uint32Array.from({ length: isTaken.reduce((sum, one) => sum + one, 0) });
  let found = 0;
  isTaken.forEach((one, row) => {
    if (one === 1) rows[found++] = row;
  });
  const times = new Uint32Array(isTaken.length);
  if (found === 0) return new RowChoice(times);
  const wanted = amountOf(found, amount);
  const each = Math.floor(wanted / found);
  for (const row of rows) times[row] = each;
  const more = wanted - each * found;
  if (more > 0) for (const row of rows.sort((a, b) => draw.at(a) - draw.at(b) || a - b).subarray(0, more)) times[row]!++;
  return new RowChoice(times);
}
