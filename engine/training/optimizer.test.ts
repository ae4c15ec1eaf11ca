import { expect, it } from 'vitest';
import { adamwUpdate, clipByNorm, globalNorm, newAdamState } from './optimizer.ts';
import { learningRate } from './schedule.ts';

it('clips and updates as torch does (clip_grad_norm_ and AdamW, three steps with another rate each)', () => {
  // Made with torch 2.15: AdamW(betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1) after clip_grad_norm_(1.5)
  const parameters = Float32Array.of(0.5, -1.25, 2, 0);
  const state = newAdamState(4);
  const recipe = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };
  const steps = [
    {
      rate: 0.01,
      gradient: [0.3, -0.2, 0.05, 1],
      norm: 1.0641899108886719,
      after: [0.48950002, -1.23874998, 1.98800004, -0.01],
    },
    { rate: 0.02, gradient: [3, 4, 0, -12], norm: 13, after: [0.46850401, -1.24459028, 1.9705925, -0.00575948] },
    {
      rate: 0.005,
      gradient: [-0.1, 0.2, 0.7, 0],
      norm: 0.7348468899726868,
      after: [0.46516594, -1.24664462, 1.96625175, -0.00493913],
    },
  ];
  for (const { rate, gradient, norm, after } of steps) {
    const values = Float32Array.from(gradient);
    expect(globalNorm(values)).toBeCloseTo(norm, 6);
    clipByNorm(values, globalNorm(values), 1.5);
    adamwUpdate(parameters, values, state, rate, recipe);
    after.forEach((value, i) => expect(parameters[i]).toBeCloseTo(value, 6));
  }
  expect(state.updates).toBe(3);
});

it('never clips at a limit of 0', () => {
  const gradient = Float32Array.of(30, 40);
  clipByNorm(gradient, 50, 0);
  expect([...gradient]).toEqual([30, 40]);
});

it('warms up from 0 and falls as the schedule says', () => {
  const recipe = { learningRate: 0.002, warmupSteps: 2, warmupRatio: 0 };
  const rates = (schedule: 'constant' | 'linear' | 'cosine') =>
    Array.from({ length: 8 }, (_, i) => learningRate({ ...recipe, schedule }, i, 8));
  expect(rates('constant')).toEqual([0, 0.001, 0.002, 0.002, 0.002, 0.002, 0.002, 0.002]);
  expect(rates('linear')[7]).toBeCloseTo(0.002 / 6, 12);
  // transformers' get_cosine_schedule_with_warmup(2, 8) at 0.002
  const cosine = [0, 0.001, 0.002, 0.001866025403784439, 0.0015, 0.001, 0.0005, 0.0001339745962155613];
  rates('cosine').forEach((rate, i) => expect(rate).toBeCloseTo(cosine[i]!, 12));
});
