import { describe, expect, it } from 'vitest';
import { defaultRecipe } from '../recipe.ts';
import { modelCard, type CardFacts } from './card.ts';

const facts = (name: string): CardFacts => ({
  ...{ format: 'gguf', quantization: 'f16', name, title: 'GGUF', runsIn: 'Runs in llama.cpp.', hubBase: null, proof: null },
  lineage: {
    ...{ exportId: 'x', studio: '1' },
    base: { name, hash: 'ab', licence: name },
    adapters: [{ name, hash: 'cd', weight: 1, run: null }],
    data: { name, hash: 'ef', rows: 3 },
  },
  training: { recipe: { ...defaultRecipe(), ...{ [name]: name } }, steps: 1, trainableParameters: 1, evaluation: null },
});

describe('a model card', () => {
  it('has usual names as they are', () => {
    const card = modelCard(facts('SmolLM2-135M_it (v2), 3.5'));
    expect(card).toContain('# SmolLM2-135M_it (v2), 3.5\n');
    expect(card).toContain('GGUF: SmolLM2-135M_it (v2), 3.5 with ‘SmolLM2-135M_it (v2), 3.5’.');
  });

  it.each([
    '![x](https://tracker.example/pixel.png)',
    '<img src=x onerror=alert(1)>',
    '[free](javascript:alert(1))',
    'https://evil.example/model',
    'www.evil.example',
    'a`b ![x](http://a/b) `c',
    '**certified** safe | yes',
    'one\n\n# Certified safe\n\n```sh\nrm -rf ~\n```',
    'a\u202ebc',
  ])('has %j as text only', (name) => {
    const card = modelCard(facts(name));
    // Code, in which Markdown has no meaning, is cut out; nothing of the name may be left.
    const text = card
      .split('\n')
      .slice(card.split('\n').indexOf('---', 1) + 1)
      .join('\n')
      .replace(/```[^]*?```/g, '')
      .replace(/`[^`\n]*`/g, '');
    for (const sign of ['![', '](', '<img', '://', 'www.', '**cert', 'Certified', '\u202e']) expect(text).not.toContain(sign);
    expect(card.split('\n').filter((line) => line.startsWith('# '))).toHaveLength(1);
    expect(card).not.toMatch(/^rm -rf/m);
  });

  it('has commands in which a name runs nothing', () => {
    expect(modelCard(facts('$(touch x)`y`'))).toContain("llama-cli -m '$(touch x)`y`' -cnv");
    expect(modelCard(facts("it's"))).toContain(String.raw`llama-cli -m 'it'\''s' -cnv`);
    expect(modelCard({ ...facts('-rf; x'), format: 'ollama' })).toContain("ollama run '-rf; x'");
  });

  it('is no longer than it should be', () => {
    expect(modelCard(facts('x'.repeat(1e7))).length).toBeLessThan(30_000);
  });
});
