/** Gives components a way to copy text. The window grants the page no clipboard, so the application provides the function. */
import { getContext, setContext } from 'svelte';

export type CopyText = (text: string) => void;
const key = Symbol('clipboard');

export const provideCopy = (copy: CopyText): CopyText => setContext(key, copy);
export const useCopy = (): CopyText => getContext<CopyText>(key);
