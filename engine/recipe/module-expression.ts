/** Reads the regular expressions by which PEFT names modules, which are written as in Python. */

/**
 * Limits the length of an expression. Names of modules are short, and an engine for expressions does not accept text of any
 * length.
 */
const longestExpression = 10_000;

/**
 * Converts a regular expression as Python writes it into one that matches the start of a path. Throws a SyntaxError where it is
 * invalid, or has more than 10,000 characters.
 */
export function moduleExpression(python: string): RegExp {
  if (python.length > longestExpression)
    throw new SyntaxError(`A pattern has ${python.length} characters, and ${longestExpression} are the most.`);
  const javascript = python.replaceAll('(?P<', '(?<').replaceAll('(?P=', '\\k<').replaceAll('\\A', '^').replaceAll('\\Z', '$');
  return new RegExp(`^(?:${javascript})`);
}

export function isExpression(text: string): boolean {
  try {
    moduleExpression(text);
    return true;
  } catch {
    return false;
  }
}
