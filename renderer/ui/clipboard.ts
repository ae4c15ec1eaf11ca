/** How a component copies text: the window grants no clipboard to the page, so the application gives the way. */
import { getContext, setContext } from 'svelte';

export type CopyText = (text: string) => void;
const key = Symbol('clipboard');

export const provideCopy = (copy: CopyText): CopyText => setContext(key, copy);
export const useCopy = (): CopyText => getContext<CopyText>(key);
