/**
 * A double click is one wish. Its second click must not press the button that has come to where the first one pressed
 * another: Stop in the place of Send, the pencil in the place of "Ask again".
 */

/** Milliseconds and pixels between two clicks of a double click, as systems have them or a little more. */
const SOON = 500;
const NEAR = 8;

export function ignoreSecondClicks(): void {
  let last: { button: Element | null; at: number; x: number; y: number } | undefined;
  const check = (event: MouseEvent) => {
    // Keys and scripts press without a place.
    if (event.detail === 0) return;
    const { clientX: x, clientY: y, timeStamp: at } = event;
    const button = (event.target as Element).closest('button');
    const isSecond = last && at - last.at < SOON && Math.hypot(x - last.x, y - last.y) < NEAR;
    if (isSecond && button && button !== last?.button) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    last = { button, at, x, y };
  };
  document.addEventListener('click', check, { capture: true });
}
