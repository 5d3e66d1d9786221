import type { Grounded } from '../../lib';
import { h, svg } from '../base/dom';
import type { Picture } from '../chat/picture';

/** Colours that the boxes of different phrases take turns in; defined in the style sheet. */
const COLOURS = 6;

/** Boxes are thousandths of the picture's sides. */
const WHOLE = 1000;

/** The picture with the boxes of a grounding answer, and what each is said to be. */
export function boxesView(picture: Picture, grounding: Grounded[]): HTMLElement {
  const frame = h('div', { class: 'boxes-frame' }, picture.image());
  const drawing = svg('svg', { viewBox: `0 0 ${WHOLE} ${WHOLE}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  frame.append(drawing);
  const phrases = grounding.map(({ phrase, boxes }, i) => {
    const colour = `box-${i % COLOURS}`;
    for (const [x1, y1, x2, y2] of boxes) {
      drawing.append(svg('rect', { class: colour, x: x1, y: y1, width: x2 - x1, height: y2 - y1 }));
      const label = h('span', { class: `box-label ${colour}`, text: phrase, attrs: { 'aria-hidden': 'true' } });
      // Set as properties: the page's security policy forbids style attributes.
      label.style.left = `${x1 / (WHOLE / 100)}%`;
      label.style.top = `${y1 / (WHOLE / 100)}%`;
      frame.append(label);
    }
    const places = boxes.map((box) => `(${box.join(', ')})`).join(' ');
    return h('li', {}, h('span', { class: `swatch ${colour}` }), `${phrase} `, h('small', { text: places }));
  });
  const list = h('ul', { class: 'legend', attrs: { 'aria-label': 'Boxes' } }, ...phrases);
  return h('figure', { class: 'boxes', attrs: { 'aria-label': `Boxes on ${picture.name}` } }, frame, list);
}
