import type { Dataset } from '../../../engine/contract.ts';
import { kindOf } from '../../state/format-names.ts';
import { fileName } from '../../ui/format.ts';

/** Names the files of a data set, or the parts of a mix, in a few words: `faq.csv`, `train.jsonl and 2 more`. */
export function filesOf({ version }: Pick<Dataset, 'version'>): string {
  const [first = '', ...more] = version.mix?.parts.map(({ name }) => name) ?? [
    ...new Set(version.files.map(({ path, folder }) => fileName(folder ?? path))),
  ];
  return more.length === 0 ? first : `${first} and ${more.length} more`;
}

/** Returns the data sets that have every word of a text in their name, parts, files or format, whatever the case. */
export function foundDatasets(datasets: readonly Dataset[], text: string): readonly Dataset[] {
  const words = text
    .toLocaleLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0) return datasets;
  return datasets.filter(({ name, version }) => {
    const parts = version.mix?.parts.map((part) => part.name) ?? [];
    const paths = version.files.map(({ path }) => path);
    const said = [name, kindOf(version), ...parts, ...paths].join('\n').toLocaleLowerCase();
    return words.every((word) => said.includes(word));
  });
}
