import type { DataFormat, DatasetVersion } from '../../engine/contract.ts';

/** Names the formats of rows for people. */
export const formatNames: Readonly<Record<DataFormat, string>> = {
  messages: 'Chat messages',
  sharegpt: 'ShareGPT',
  alpaca: 'Alpaca',
  'prompt-completion': 'Prompt and completion',
  'question-answer': 'Question and answer',
  text: 'Plain text',
  tokens: 'Token ids',
  unknown: 'Unknown format',
};

/** Says what a data set is: a mix, or rows of a format. */
export function kindOf({ format, mix }: Pick<DatasetVersion, 'format' | 'mix'>): string {
  return mix === null ? formatNames[format] : 'Mix';
}
