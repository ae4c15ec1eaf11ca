/**
 * Is called before each of `total` tensors or rows, `done` of which are finished: it reports progress, and throws when the work
 * must stop.
 */
export type OnProgress = (done: number, total: number) => Promise<void>;
