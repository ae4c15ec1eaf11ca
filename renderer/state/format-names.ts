import type { DataFormat } from '../../engine/contract.ts';

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
