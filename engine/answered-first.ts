/**
 * Gives the answers of each contestant of an evaluation that come first, so that the time left is known early: as many as are
 * given together. Afterwards one contestant answers after the other; whoever counts the answers of each goes by the same number.
 */
export const answeredFirst = 16;
