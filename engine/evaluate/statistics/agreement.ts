/** Measures how far two ratings of the same rows agree beyond chance. */

/**
 * Returns Cohen's kappa (1960) of two lists of ratings. It is null without ratings, and where both raters always say the same
 * one thing, because agreement by chance is then certain.
 */
export function kappa(one: readonly (string | number)[], other: readonly (string | number)[]): number | null {
  const count = one.length;
  if (count === 0) return null;
  const agreed = one.filter((rating, i) => rating === other[i]).length / count;
  const byChance = [...new Set(one)].reduce((sum: number, rating) => {
    const [a, b] = [one, other].map((ratings) => ratings.filter((own) => own === rating).length / count);
    return sum + a! * b!;
  }, 0);
  return byChance === 1 ? null : (agreed - byChance) / (1 - byChance);
}
