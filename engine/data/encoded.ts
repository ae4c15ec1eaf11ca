/** Holds the type of a row as token ids and labels, whatever its format. */
import type { ChatMessage } from '../contract.ts';
import type { LabelledTokens } from '../labels.ts';

export interface Encoded extends LabelledTokens {
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}
