/** Where the keyboard is: it must not fall out of the page when what it was on goes away. */

/**
 * Does `work`. Where that takes away, hides or disables what had the focus, the focus goes to `next`, by default the
 * question field: what is typed then does not go nowhere. On touch screens a field with the focus brings up a keyboard over
 * the answer, so there the focus moves only for those who use keys.
 */
export function keepFocus(work: () => void, next: () => HTMLElement | null = questionField): void {
  const before = document.activeElement;
  const byKeys = before?.matches(':focus-visible') ?? false;
  work();
  if (!before || before === document.body || isThere(before)) return;
  // Somebody has moved it on purpose.
  const now = document.activeElement;
  if (now && now !== document.body && now !== before) return;
  if (byKeys || !matchMedia('(hover: none)').matches) next()?.focus();
}

function questionField(): HTMLElement | null {
  return document.getElementById('question');
}

/** Whether an element can have the focus. What is hidden, or in something hidden, has no boxes. */
function isThere(element: Element): boolean {
  return element.isConnected && !element.matches(':disabled') && element.getClientRects().length > 0;
}
