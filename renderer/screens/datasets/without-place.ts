/** Returns what is wrong with a row without the file and line before it, which are shown beside the row already. */
export function withoutPlace(message: string): string {
  const what = message.replace(/^.*?, line \d+: /, '');
  return what.charAt(0).toUpperCase() + what.slice(1);
}
