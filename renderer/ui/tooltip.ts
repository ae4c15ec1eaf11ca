import type { Attachment } from 'svelte/attachments';

/** Sets the milliseconds that the pointer rests on a button before its text is shown. */
const delay = 400;
/** Sets the pixels between the text and the button, and between the text and the edges of the window. */
const gap = 6;
const margin = 8;

/** Shows a text below an element while the pointer rests on it or the keyboard has its focus. The text goes with the element. */
export function tooltip(text: string): Attachment<HTMLElement> {
  return (node) => {
    let box: HTMLElement | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new AbortController();

    function show(): void {
      if (box !== null) return;
      box = document.createElement('div');
      box.className = 'tooltip floating';
      box.role = 'tooltip';
      box.textContent = text;
      document.body.append(box);
      const [at, size] = [node.getBoundingClientRect(), box.getBoundingClientRect()];
      const left = at.left + at.width / 2 - size.width / 2;
      const below = at.bottom + gap;
      box.style.left = `${Math.max(margin, Math.min(left, window.innerWidth - size.width - margin))}px`;
      box.style.top = `${below + size.height + margin <= window.innerHeight ? below : at.top - gap - size.height}px`;
    }
    function hide(): void {
      clearTimeout(timer);
      box?.remove();
      box = null;
    }

    const { signal } = over;
    node.addEventListener('pointerenter', () => (timer = setTimeout(show, delay)), { signal });
    node.addEventListener('focus', () => node.matches(':focus-visible') && show(), { signal });
    for (const end of ['pointerleave', 'pointerdown', 'blur']) node.addEventListener(end, hide, { signal });
    // An element around it may be scrolled.
    window.addEventListener('scroll', hide, { signal, capture: true, passive: true });
    window.addEventListener('keydown', ({ key }) => key === 'Escape' && hide(), { signal });
    return () => {
      over.abort();
      hide();
    };
  };
}
