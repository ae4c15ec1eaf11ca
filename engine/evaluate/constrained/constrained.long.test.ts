/**
 * Holds greedy and sampled answers of both models of the project to forty schemas: 2,000 of the tiny one, and of SmolLM2 400,
 * or as many as LOWRANK_ANSWERS says.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tokenizerOf } from '../../data/tokenizer.ts';
import { GenerationSession } from '../../decoder/generation.ts';
import { openModel } from '../../models/open.ts';
import { openSession } from '../../runtime/session.ts';
import { constrainedSchemas } from '../../testing/constrained-schemas.ts';
import { generate } from '../generate.ts';
import { compiledSchema } from '../json-schema.ts';
import { openConstraint } from './open.ts';

const ofLarge = Number(process.env['LOWRANK_ANSWERS'] ?? 400);

it.each([
  ['resources/tiny/model', 2000, 'What colour is a lemon?'],
  ['resources/models/SmolLM2-135M-Instruct.Q4_1.gguf', ofLarge, 'Write an order of two cups as JSON.'],
])('%s answers %i times as the schemas allow', { timeout: 4 * 3_600_000 }, async (path, answers, question) => {
  const model = openModel(path, []);
  const tokenizer = tokenizerOf(model)!;
  const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-constrained-'));
  const session = await GenerationSession.open(model, { threads: 1, cacheDir, openSession });
  const promptTokens = await tokenizer.encode(question);
  /** Holds the milliseconds that each token's choices took, of those in the whole answer. */
  const taken: number[] = [];
  const texts = new Set<string>();
  for (const schema of constrainedSchemas) {
    const constraint = openConstraint(schema, tokenizer);
    const timed: typeof constraint = {
      enough: constraint.enough,
      begin() {
        const answer = constraint.begin();
        return {
          get isComplete() {
            return answer.isComplete;
          },
          get isFinal() {
            return answer.isFinal;
          },
          allowed(logits, left) {
            const began = process.cpuUsage();
            const allowed = answer.allowed(logits, left);
            taken.push(process.cpuUsage(began).user / 1000);
            return allowed;
          },
          accept: (token) => answer.accept(token),
        };
      },
    };
    const validate = compiledSchema(schema);
    for (let seed = 0; seed < answers / constrainedSchemas.length; seed++) {
      const [maxTokens, temperature, topP] = [
        60 + (seed % 40),
        seed === 0 ? 0 : 0.5 + (seed % 3) * 0.5,
        seed % 4 === 0 ? 0.9 : 1,
      ];
      const settings = { maxTokens, temperature, topK: 0, topP, seed, ignoreStop: false };
      const given = { promptTokens, settings, contextLength: 256, tokenizer, constraint: timed };
      const answer = await generate(session, given);
      texts.add(answer.text);
      expect([schema, answer.text, answer.constrained]).toEqual([schema, answer.text, 'complete']);
      expect([schema, answer.text, validate(JSON.parse(answer.text))]).toEqual([schema, answer.text, true]);
    }
  }
  await session.release();
  taken.sort((a, b) => a - b);
  const at = (share: number): string => taken[Math.floor(share * (taken.length - 1))]!.toFixed(2);
  console.log(
    `${path}: ${answers} answers, ${texts.size} different, ${taken.length} tokens; ms of the processor for the choices of a token: ` +
      `median ${at(0.5)}, 95% ${at(0.95)}, worst ${at(1)}`,
  );
  // A median is not moved by a machine that is busy for a moment.
  expect(Number(at(0.5))).toBeLessThan(2);
});
