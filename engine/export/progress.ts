/** Called before each of `total` tensors: reports progress, and throws when the work shall stop. */
export type Step = (done: number, total: number) => Promise<void>;
