/** Collects findings about the text of a row while it is read. */
import type { ChatMessage } from '../../contract.ts';
import type { Content } from '../content.ts';
import type { Said } from './check.ts';
import { textChecks } from './index.ts';
import type { TextMarks } from '../row.ts';
import { readWords } from './words.ts';

/** Returns what the checks find in the text of a row. */
export function markText(content: Content): TextMarks {
  const said = saidIn(content);
  const found: Record<string, readonly string[]> = {};
  for (const { name, find } of textChecks) {
    const names = find(said);
    if (names.length > 0) found[name] = names;
  }
  // System prompts are left out, because rows that are not alike often share one.
  const compared = said.messages === null ? said.texts : textsOf(said.messages.filter(({ role }) => role !== 'system'));
  const { sketch, language } = readWords(compared);
  return {
    ...(Object.keys(found).length === 0 ? {} : { found }),
    ...(sketch === null ? {} : { sketch }),
    ...(language === null ? {} : { language }),
    ...(said.messages === null ? {} : { turns: said.messages.filter(({ role }) => !isSystem(role)).length }),
  };
}

/** Returns whether a role speaks before the conversation: OpenAI calls that of the system the developer, too. */
function isSystem(role: ChatMessage['role']): boolean {
  return role === 'system' || role === 'developer';
}

function saidIn(content: Content): Said {
  switch (content.kind) {
    case 'messages':
      return { texts: textsOf(content.messages), messages: content.messages };
    case 'completion':
      return { texts: [content.prompt, content.completion], messages: null };
    case 'text':
      return { texts: [content.text], messages: null };
  }
}

/** Returns the texts of messages: their content, and the text fields beside it. */
function textsOf(messages: readonly object[]): string[] {
  const texts: string[] = [];
  for (const message of messages)
    for (const [name, value] of Object.entries(message) as [string, unknown][])
      if (name !== 'role' && typeof value === 'string') texts.push(value);
  return texts;
}
