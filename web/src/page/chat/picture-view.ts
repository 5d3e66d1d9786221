import type { ImageInfo } from '../../lib';
import { h, svg } from '../base/dom';
import { plural } from '../base/format';
import { iconButton } from '../base/icons';
import type { Picture } from './picture';

/** A thumbnail with the tile grid over it, as the model cuts the picture. */
export function pictureView(picture: Picture, onRemove?: () => void): HTMLElement {
  const frame = h('div', { class: 'picture-frame' }, picture.image());
  const caption = h('figcaption');
  const remove = onRemove && iconButton('close', `Remove ${picture.name}`, onRemove, 'remove');
  const figure = h('figure', { class: 'picture' }, h('div', { class: 'picture-box' }, frame, remove), caption);
  const update = () => {
    frame.querySelector('svg')?.remove();
    figure.classList.toggle('bad', picture.error !== undefined);
    caption.textContent = picture.error ?? (picture.info ? tileText(picture.info) : '');
    if (picture.info) frame.append(tileGrid(picture.info));
  };
  picture.addEventListener('change', update);
  update();
  return figure;
}

/** Lines between the tiles. */
export function tileGrid({ columns, rows }: ImageInfo): SVGSVGElement {
  const lines: SVGElement[] = [];
  for (let x = 1; x < columns; x++) lines.push(svg('line', { x1: x, x2: x, y1: 0, y2: rows }));
  for (let y = 1; y < rows; y++) lines.push(svg('line', { x1: 0, x2: columns, y1: y, y2: y }));
  const attrs = {
    class: 'tile-grid',
    viewBox: `0 0 ${columns} ${rows}`,
    preserveAspectRatio: 'none',
    'aria-hidden': 'true',
  };
  return svg('svg', attrs, ...lines);
}

export function tileText({ columns, rows, thumbnail, visualTokens, warning }: ImageInfo): string {
  const tiles = columns * rows === 1 ? '1 tile' : `${columns} × ${rows} tiles`;
  const parts = [`${tiles}${thumbnail ? ' + overview' : ''}`, plural(visualTokens, 'token')];
  if (warning) parts.push(warning);
  return parts.join(' · ');
}
