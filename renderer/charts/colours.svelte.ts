/**
 * Resolves token colours for the canvas. The tokens are `light-dark()` pairs, so only a laid-out element knows which of the two
 * holds.
 */
import { createSubscriber } from 'svelte/reactivity';

const subscribe = createSubscriber((update) => {
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  const chosen = new MutationObserver(update);
  chosen.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  system.addEventListener('change', update);
  return () => {
    chosen.disconnect();
    system.removeEventListener('change', update);
  };
});

/** Returns the current colour of a token such as `run-1`. An effect that calls it runs again when the theme changes. */
export function tokenColour(node: HTMLElement, token: string): string {
  subscribe();
  const probe = document.createElement('i');
  probe.style.color = `var(--${token})`;
  node.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
