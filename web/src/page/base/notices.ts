import { byId, h } from './dom';
import { iconButton } from './icons';

export type NoticeKind = 'info' | 'warning' | 'error';

/** A message above the conversation. One with the same `id` takes its place. */
export function notify(id: string, kind: NoticeKind, ...content: (Node | string)[]): void {
  const role = kind === 'error' ? 'alert' : 'status';
  const notice = h(
    'div',
    { class: `notice ${kind}`, attrs: { role, id: `notice-${id}` } },
    h('div', { class: 'notice-text' }, ...content),
    iconButton('close', 'Dismiss', () => notice.remove()),
  );
  withdraw(id);
  byId('notices').append(notice);
}

export function withdraw(id: string): void {
  document.getElementById(`notice-${id}`)?.remove();
}
