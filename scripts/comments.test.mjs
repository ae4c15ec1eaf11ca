// Doc comments begin with a sentence: fragments mostly begin with a question word, and those of fields and functions with an article.
import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { root } from './setup.mjs';

const docComment = /\/\*\*\s*(?:\*\s*)?([\w-]+)(?:[^*]|\*(?!\/))*\*\/\s*([^\n]*)/g;
const questionWords = /^(?:How|Of|Told|What|When|Whether|Where|Which|Why)$/;
const articles = /^(?:A|All|An|Its|The)$/;
// A table or a type may be described by a sentence about what is in it; so may a member of a union.
const mayHaveArticle = /^(?:export )?(?:abstract |declare )?(?:class|const|interface|let|type)\b|^\|/;

function fragmentsIn(name) {
  const comments = [...fs.readFileSync(path.join(root, name), 'utf8').matchAll(docComment)];
  return comments
    .filter(([, word, code]) => questionWords.test(word) || (articles.test(word) && code !== '' && !mayHaveArticle.test(code)))
    .map(([comment]) => `${name}: ${comment.split('\n').slice(0, 2).join(' ')}`);
}

it.each(['electron', 'engine', 'renderer'])('begins every doc comment in %s with a sentence', (folder) => {
  const names = fs.readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.join(folder, String(name)));
  expect(names.filter((name) => /(?<!\.test)\.(?:svelte|ts)$/.test(name)).flatMap(fragmentsIn)).toEqual([]);
});
