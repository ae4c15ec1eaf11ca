/**
 * Names the training methods. Each sets a few fields of the recipe together; other combinations are possible by setting the
 * fields themselves.
 */
import type { Recipe } from '../../../engine/recipe.ts';

type MethodValues = Pick<Recipe, 'method' | 'rslora' | 'dora' | 'initialization'>;

export interface Method {
  readonly id: 'lora' | 'rslora' | 'dora' | 'pissa' | 'olora' | 'full';
  readonly title: string;
  /** Says what it is and when to use it. */
  readonly text: string;
  readonly values: MethodValues;
}

const plain: MethodValues = { method: 'lora', rslora: false, dora: false, initialization: 'default' };

export const methods: readonly Method[] = [
  { id: 'lora', title: 'LoRA', text: 'Two small matrices beside each frozen one. The usual choice.', values: plain },
  {
    id: 'rslora',
    title: 'rsLoRA',
    text: 'LoRA that keeps its strength at high ranks: for 64 and more.',
    values: { ...plain, rslora: true },
  },
  {
    id: 'dora',
    title: 'DoRA',
    text: 'Also trains how long each row of a matrix is. Can help at low ranks; slower.',
    values: { ...plain, dora: true },
  },
  {
    id: 'pissa',
    title: 'PiSSA',
    text: 'Begins with the strongest directions of each matrix. Fast first steps; takes a while to prepare.',
    values: { ...plain, initialization: 'pissa' },
  },
  {
    id: 'olora',
    title: 'OLoRA',
    text: 'Begins with an orthogonal basis of each matrix. Takes a moment to prepare.',
    values: { ...plain, initialization: 'olora' },
  },
  {
    id: 'full',
    title: 'All weights',
    text: 'No adapter: every weight of the model is trained. For small models, to compare with.',
    values: { ...plain, method: 'full' },
  },
];

/**
 * Sets the learning rate of full training. With an adapter's rate the model forgets what it knew; published recipes stay near
 * this one.
 */
export const fullLearningRate = 2e-5;

/** Returns the method that some values make up, or null for any other mix. */
export function methodOf(values: { readonly [K in keyof MethodValues]: unknown }): Method | null {
  if (values.method === 'full') return methods.find(({ id }) => id === 'full')!;
  const keys = Object.keys(plain) as (keyof MethodValues)[];
  return methods.find((method) => keys.every((key) => method.values[key] === values[key])) ?? null;
}
