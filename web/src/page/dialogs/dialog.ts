import { h } from '../base/dom';
import { iconButton } from '../base/icons';

/** A dialog that is made once and opened often. Esc and a click beside it close it. */
export function makeDialog(id: string, title: string, ...content: Node[]): HTMLDialogElement {
  const heading = h('h2', { text: title, attrs: { id: `${id}-title` } });
  const dialog = h('dialog', { attrs: { id, 'aria-labelledby': `${id}-title` } });
  const close = iconButton('close', 'Close', () => dialog.close());
  dialog.append(h('div', { class: 'dialog-body' }, h('header', {}, heading, close), ...content));
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  return dialog;
}
