/**
 * Counts rows with personal data and secrets, recognized by pattern. It is only a count, because a pattern does not show whose
 * they are.
 */
import type { TextCheck } from './check.ts';

/**
 * Lists what is searched for. Every pattern must take linear time, so repetitions in it are bounded or cannot begin within
 * themselves.
 */
const patterns: readonly {
  readonly name: string;
  /** Returns quickly whether a text may contain a match. For most texts it returns false. */
  readonly mayBeIn: (text: string) => boolean;
  readonly isIn: (text: string) => boolean;
}[] = [
  {
    name: 'e-mail address',
    mayBeIn: (text) => text.includes('@'),
    isIn: (text) => /(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.){1,8}[a-z]{2,24}(?![\w-])/i.test(text),
  },
  { name: 'phone number', mayBeIn: hasDigits, isIn: hasPhone },
  { name: 'key or password', mayBeIn: () => true, isIn: (text) => secrets.test(text) },
  { name: 'card number', mayBeIn: hasDigits, isIn: hasCard },
  { name: 'IBAN', mayBeIn: hasDigits, isIn: hasIban },
];

export const personalData: TextCheck = {
  ...{ looksAt: 'text', name: 'personal-data', severity: 'note', fix: { kind: 'replace' } },
  why: 'A model can say word by word what it was trained on, to anybody who asks.',
  find: ({ texts }) =>
    patterns.filter(({ mayBeIn, isIn }) => texts.some((text) => mayBeIn(text) && isIn(text))).map(({ name }) => name),
  title: (counted) => `${counted} with what looks like personal data`,
  advice: 'Replace them where they are of real people, or leave the rows out.',
};

function hasDigits(text: string): boolean {
  return /\d\D?\d\D?\d/.test(text);
}

/** Matches keys of well-known services by their prefix, private keys, and web tokens (JWT). */
const secrets = new RegExp(
  [
    String.raw`\bsk-(?:[a-z]+-)?[\w-]{20}`,
    String.raw`\bgh[oprsu]_[A-Za-z\d]{30}|\bgithub_pat_\w{30}|\bglpat-[\w-]{20}`,
    String.raw`\bA(?:KIA|SIA)[A-Z\d]{16}\b|\bAIza[\w-]{35}`,
    String.raw`\bxox[abeprs]-[\w-]{10}|\bhf_[A-Za-z]{30}`,
    '-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----',
    String.raw`\beyJ[\w-]{10,4096}\.eyJ[\w-]{10,4096}\.[\w-]{10}`,
  ].join('|'),
);

/**
 * Returns whether a text has a phone number with a country code (E.164, at least ten digits), or as written in North America.
 */
function hasPhone(text: string): boolean {
  if (/(?<![\w.-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])/.test(text)) return true;
  for (const [found] of text.matchAll(/(?<![\w+])\+[1-9](?:[ ().-]{0,2}\d){9,14}(?![\d.]?\d)/g)) if (found !== '') return true;
  return false;
}

/** Returns whether a text has a card number: thirteen to nineteen digits with an issuer's prefix and a Luhn check digit. */
function hasCard(text: string): boolean {
  for (const [found] of text.matchAll(/(?<![\d.,+-])[2-6](?:[ -]?\d){12,18}(?![ -]?\d)/g)) {
    const digits = found.replaceAll(/\D/g, '');
    if (issued.test(digits) && isLuhn(digits)) return true;
  }
  return false;
}
const issued = /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|35\d{14}|6\d{15,18})$/;

function isLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 1 ? 2 * digit : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/**
 * Returns whether a text has an IBAN: a country, two check digits and up to thirty more characters that fulfil ISO 7064 (mod
 * 97-10). Words in capitals may follow.
 */
function hasIban(text: string): boolean {
  for (const [found] of text.matchAll(/(?<![A-Z\d])[A-Z]{2}\d{2}(?: ?[A-Z\d]){11,30}/g)) {
    const code = found.replaceAll(' ', '');
    for (let length = Math.min(34, code.length); length >= 15; length--) if (isIban(code.slice(0, length))) return true;
  }
  return false;
}

/** Gives the length of an IBAN by country. Accounts of other countries are not found. */
const ibanLengths: Readonly<Record<string, number>> = {
  ...{ AT: 20, BE: 16, BG: 22, CH: 21, CY: 28, CZ: 24, DE: 22, DK: 18, EE: 20, ES: 24, FI: 18, FR: 27, GB: 22, GR: 27 },
  ...{ HR: 21, HU: 28, IE: 22, IL: 23, IT: 27, LT: 20, LU: 20, LV: 21, MT: 31, NL: 18, NO: 15, PL: 28, PT: 25, RO: 24 },
  ...{ AE: 23, BR: 29, SA: 24, SE: 24, SI: 19, SK: 24, TR: 26, UA: 29 },
};

function isIban(code: string): boolean {
  if (ibanLengths[code.slice(0, 2)] !== code.length) return false;
  let rest = 0;
  for (const character of code.slice(4) + code.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}
