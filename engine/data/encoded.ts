/** A row as ids and labels, whatever its format. */
import type { ChatMessage } from '../contract.ts';

export interface Encoded {
  readonly inputIds: Int32Array;
  /** -100 is ignored; `labels[t]` belongs to `inputIds[t]`. */
  readonly labels: Int32Array;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
}
