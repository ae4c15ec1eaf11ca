/** Describes how a version of a data set differs from the version that it was made from. */
import { basename } from 'node:path';
import type { DataChange, DatasetVersion, Mix } from '../contract.ts';
import { amountText } from '../mixing.ts';
import { shown } from '../problem.ts';
import { mappingText } from './mapping.ts';

/** Says in a few words what distinguishes a version from `parent`: `30 of 300 rows held back for evaluation, seed 7`. */
export function differenceOf(version: DatasetVersion, parent: DatasetVersion | null): string {
  if (parent === null) return 'As it was added';
  const rows = (of: DatasetVersion) => of.trainRows + of.evalRows;
  if (version.mix !== null && parent.mix !== null && JSON.stringify(version.mix) !== JSON.stringify(parent.mix))
    return mixDifference(version.mix, parent.mix);
  const hashes = ({ files }: DatasetVersion) => JSON.stringify(files.map(({ split, sha256 }) => [split, sha256]));
  if (JSON.stringify(version.files) !== JSON.stringify(parent.files) && hashes(version) === hashes(parent)) {
    const moved = version.files
      .filter(({ path }, i) => path !== parent.files[i]?.path)
      .map(({ folder, path }) => folder ?? path);
    return `Read at another place: ${[...new Set(moved)].join(', ')}`;
  }
  if (JSON.stringify(version.files) !== JSON.stringify(parent.files)) {
    const lost = named(parent) - named(version);
    const gone =
      lost === 0 ? '' : `; ${plural(lost)} left out or written anew before ${lost === 1 ? 'is' : 'are'} no longer there`;
    return `Files read again: ${plural(rows(version))}, ${rows(parent)} before${gone}`;
  }
  if (JSON.stringify(version.mapping) !== JSON.stringify(parent.mapping))
    return version.mapping === null
      ? 'Columns read by their names'
      : `Columns mapped: ${shown(mappingText(version.mapping), 160)}`;
  const before = parent.changes.map((change) => JSON.stringify(change));
  // The same change may be made again: what was replaced comes back with a row that is written anew.
  const made = version.changes.filter((change) => {
    const at = before.indexOf(JSON.stringify(change));
    if (at >= 0) before.splice(at, 1);
    return at < 0;
  });
  return made.map((change) => said(change, version, parent)).join('; ');
}

/** Says in what a mix differs from another one: `support ×2 instead of ×1; news added ×1`. */
function mixDifference(mix: Mix, before: Mix): string {
  const named = (parts: Mix['parts'], name: string) => parts.find((part) => part.name === name);
  const ofParts = mix.parts.flatMap((part) => {
    const was = named(before.parts, part.name);
    if (was === undefined) return `${part.name} added ${amountText(part)}`;
    const [from, to] = [was.version?.sequence, part.version?.sequence];
    return [
      ...(amountText(was) === amountText(part) ? [] : [`${part.name} ${amountText(part)} instead of ${amountText(was)}`]),
      ...(to === undefined || from === to
        ? []
        : [`${part.name} at version ${to}${from === undefined ? '' : ` instead of ${from}`}`]),
    ];
  });
  const gone = before.parts.filter(({ name }) => named(mix.parts, name) === undefined).map(({ name }) => `${name} taken out`);
  const seed = mix.seed === before.seed ? [] : [`seed ${mix.seed} instead of ${before.seed}`];
  const all = [...ofParts, ...gone, ...seed];
  return all.length === 0 ? 'Parts in another order, or read from other files' : all.join('; ');
}

/** Counts the rows that a version's changes name individually. */
function named({ changes }: DatasetVersion): number {
  return changes.reduce((sum, change) => {
    if (change.kind === 'exclude') return sum + change.files.reduce((all, { rows }) => all + rows.length, 0);
    return change.kind === 'edit' ? sum + 1 : sum;
  }, 0);
}

function said(change: DataChange, version: DatasetVersion, parent: DatasetVersion): string {
  const all = version.trainRows + version.evalRows;
  const fewer = parent.trainRows + parent.evalRows - all;
  switch (change.kind) {
    case 'split':
      return `${version.evalRows} of ${plural(all)} held back for evaluation, ${change.by === undefined ? '' : `by ${change.by}, `}seed ${change.seed}`;
    case 'exclude':
      return `${plural(change.files.reduce((sum, { rows }) => sum + rows.length, 0))} left out`;
    case 'edit':
      return `Row ${change.row.row + 1} of ${basename(change.path)} written anew`;
    case 'replace': {
      const where = change.column === undefined ? '' : ` in ${change.column}`;
      return change.with === ''
        ? `${quoted(change.find)} taken out${where}`
        : `${quoted(change.find)} replaced by ${quoted(change.with)}${where}`;
    }
    case 'balance':
      return `${plural(fewer)} left out: at most ${change.most} with the same ${quoted(change.column)}${change.seed === undefined ? '' : `, seed ${change.seed}`}`;
    case 'deduplicate':
      return `${plural(fewer)} left out that ${fewer === 1 ? 'was' : 'were'} there already`;
  }
}

function quoted(text: string): string {
  return `'${shown(text, 40)}'`;
}

function plural(rows: number): string {
  return rows === 1 ? '1 row' : `${rows} rows`;
}
