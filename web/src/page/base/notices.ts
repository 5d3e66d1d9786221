import { byId, h } from './dom';
import { keepFocus } from './focus';
import { iconButton } from './icons';

export type NoticeKind = 'info' | 'warning' | 'error';

/** A message above the conversation. One with the same `id` takes its place. */
export function notify(id: string, kind: NoticeKind, ...content: (Node | string)[]): void {
  const role = kind === 'error' ? 'alert' : 'status';
  const notice = h(
    'div',
    { class: `notice ${kind}`, attrs: { role, id: `notice-${id}` } },
    h('div', { class: 'notice-text' }, ...content),
    iconButton('close', 'Dismiss', () => withdraw(id)),
  );
  withdraw(id);
  byId('notices').append(notice);
}

/** One line, and the rest for those who ask for it. */
export function withDetails(line: string, ...rest: (Node | string)[]): HTMLElement {
  return h('details', {}, h('summary', { text: line }), h('div', { class: 'notice-rest' }, ...rest));
}

export function withdraw(id: string): void {
  keepFocus(() => find(id)?.remove());
}

/** Takes a message away after a while, but not from under somebody's pointer or keyboard. */
export function withdrawLater(id: string, milliseconds: number): void {
  const notice = find(id);
  setTimeout(() => {
    if (!notice?.isConnected) return;
    if (notice.matches(':hover, :focus-within')) withdrawLater(id, milliseconds);
    else withdraw(id);
  }, milliseconds);
}

function find(id: string): HTMLElement | null {
  return document.getElementById(`notice-${id}`);
}
