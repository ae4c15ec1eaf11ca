/** Writes a folder that `ollama create` takes: a GGUF and the Modelfile beside it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProofCheck } from '../../contract.ts';
import { openTemplate } from '../../data/template.ts';
import type { Tokenizer } from '../../data/tokenizer.ts';
import { writeFileAtomic } from '../../formats/files.ts';
import { builtInConversations, type OwnConversations } from '../conversations.ts';
import { writeGguf } from '../gguf.ts';
import type { OnProgress } from '../progress.ts';
import type { GgufQuantization } from '../quant-mix.ts';
import type { ExportSource } from '../source.ts';
import { compareOllama, ollamaChat, trimmedRoles } from './chat-template.ts';
import { canBeQuoted, formatModelfile, parseModelfile } from './modelfile.ts';

export const ollamaGguf = 'model.gguf';
export const modelfileName = 'Modelfile';

export async function writeOllamaFolder(
  folder: string,
  source: ExportSource,
  quantization: GgufQuantization,
  onProgress: OnProgress,
): Promise<void> {
  await writeGguf(join(folder, ollamaGguf), source, quantization, onProgress);
  writeFileAtomic(join(folder, modelfileName), await makeModelfile(source));
}

async function makeModelfile({ tokenizer, conversations, day }: ExportSource): Promise<string> {
  const shared = { from: ollamaGguf, stops: [], template: null, system: null };
  if (tokenizer === null)
    return formatModelfile({ ...shared, notes: ['The model has no tokenizer: only token ids can be used.'] });
  const system = commonSystem(conversations);
  const { missing, ...chat } = await ollamaChat(
    tokenizer,
    { conversations: [...builtInConversations, ...conversations], day },
    system,
  );
  // Ollama compares texts, so a stop that is an ordinary piece would cut answers short. The GGUF names it nevertheless.
  const stops = tokenizer.stopTokens.flatMap((id) => tokenizer.addedTokens.get(id) ?? []);
  const isDated = tokenizer.chatTemplate?.includes('strftime_now') === true;
  const fixed = isDated ? [`The date in the TEMPLATE is fixed: ${day}.`] : [];
  const notes = missing === null ? fixed : [`No TEMPLATE: ${missing}. Ollama goes by the template in the GGUF.`];
  return formatModelfile({ ...shared, ...chat, notes, stops });
}

/** Returns the system prompt that all conversations share, or null where they differ or have none that can be quoted. */
function commonSystem(conversations: ExportSource['conversations']): string | null {
  const [said, ...others] = new Set(conversations.map(([first]) => (first?.role === 'system' ? first.content : null)));
  return others.length > 0 || said === undefined || said === null || !canBeQuoted(said) ? null : said;
}

/** Compares the Modelfile in the folder with the model: the tokens of conversations, and the tokens that end an answer. */
export async function compareModelfile(
  folder: string,
  tokenizer: Tokenizer | null,
  { conversations: own, day }: OwnConversations,
): Promise<ProofCheck> {
  const check = (passed: boolean, text: string): ProofCheck => ({ name: 'Modelfile', value: null, limit: null, text, passed });
  const { template, system, stops, notes } = parseModelfile(readFileSync(join(folder, modelfileName), 'utf8'));
  if (tokenizer === null) {
    const found = check(template === null, 'the model has no tokenizer');
    return found.passed ? { ...found, compared: false } : found;
  }
  const ends = await Promise.all(stops.map((stop) => tokenizer.encode(stop)));
  const named = tokenizer.stopTokens.filter((id) => tokenizer.addedTokens.has(id));
  const [expected, found] = [named, ends.map((ids) => (ids.length === 1 ? ids[0]! : -1))].map((ids) =>
    ids.toSorted((a, b) => a - b).join(),
  );
  if (expected !== found) return check(false, `an answer ends at the tokens ${expected}, but at ${found} in the Modelfile`);
  if (template === null) return check(true, notes[0] ?? 'it has no TEMPLATE');
  const conversations = [...builtInConversations, ...own];
  const difference = await compareOllama(tokenizer, { template, system }, { conversations, day });
  if (difference !== null) return check(false, difference);
  const trimmed = trimmedRoles(openTemplate(tokenizer)).size > 0;
  const without = trimmed ? ', white space around messages left out, which Ollama does not cut' : '';
  return check(true, `the same tokens for ${conversations.length} conversations${without}; the same ends of an answer`);
}
