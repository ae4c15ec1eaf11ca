/** Compares another program's logits and answer with ours. Logits are lists of `[vocabulary]`, one for every position. */

export function argmax(logits) {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
  return best;
}

/**
 * Measures how far logits are apart, in the spread (standard deviation) of ours at their position: `worst` is the largest
 * difference, `mean` the root of the mean of their squares. `agreement` is the share of positions with the same likeliest
 * token.
 */
export function compareLogits(ours, theirs) {
  if (ours.length !== theirs.length) throw new Error(`${theirs.length} positions instead of ${ours.length}`);
  let worst = 0;
  let squares = 0;
  let same = 0;
  for (const [t, own] of ours.entries()) {
    // Programs may pad the vocabulary.
    const other = theirs[t].subarray(0, own.length);
    if (other.length < own.length) throw new Error(`${other.length} logits instead of ${own.length}`);
    const spread = spreadOf(own);
    for (let id = 0; id < own.length; id++) {
      const difference = Math.abs(other[id] - own[id]) / spread;
      // Also where it is no number.
      if (!(difference <= worst)) worst = difference;
      squares += difference ** 2 / own.length;
    }
    if (argmax(other) === argmax(own)) same++;
  }
  return { worst, mean: Math.sqrt(squares / ours.length), agreement: same / ours.length };
}

/**
 * Returns the first place where another greedy answer differs from ours, null when none does. Where our two best logits are no
 * further apart than `rounding` spreads either is right, and what comes after means nothing.
 */
export function differsAt({ tokens, logits, promptLength }, answer, rounding) {
  for (let t = promptLength; t < tokens.length; t++) {
    if (answer[t - promptLength] === tokens[t]) continue;
    const own = logits[t - 1];
    const best = argmax(own);
    let second = -Infinity;
    for (let id = 0; id < own.length; id++) if (id !== best && own[id] > second) second = own[id];
    return (own[best] - second) / spreadOf(own) <= rounding ? null : t - promptLength;
  }
  return null;
}

function spreadOf(values) {
  let sum = 0;
  let squares = 0;
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return Math.sqrt(squares / values.length - mean * mean);
}
