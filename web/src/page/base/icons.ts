import { h, svg } from './dom';

/** Line drawings on a 24 x 24 field. */
const PATHS = {
  send: 'M12 19V5m-6 6 6-6 6 6',
  stop: 'M7 7h10v10H7z',
  picture: 'M4 5h16v14H4zM4 16l4.5-4.5L13 16l3-3 4 4M15.5 9.5h.01',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.25 3.25 0 1 0 0-6.5 3.25 3.25 0 0 0 0 6.5z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  retry: 'M20 12a8 8 0 1 1-2.5-5.8M20 3v4.5h-4.5',
  edit: 'M4 20l1-4L16.5 4.5l3 3L8 19zM14.5 6.5l3 3',
  inside: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  settings:
    'M4 7h9M17 7h3M4 17h3M11 17h9M15 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM9 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z',
  theme: 'M12 20a8 8 0 1 0 0-16zM12 4v16a8 8 0 0 1 0-16',
  chip: 'M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4',
  folder: 'M3 6h7l2 2.5h9V19H3z',
  link: 'M10 14a4 4 0 0 0 6 .5l3-3a4 4 0 0 0-5.5-5.7L12 7.3M14 10a4 4 0 0 0-6-.5l-3 3a4 4 0 0 0 5.5 5.7l1.5-1.5',
  box: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
  check: 'M5 12.5l4.5 4.5L19 7.5',
} as const;

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): SVGSVGElement {
  const path = svg('path', { d: PATHS[name] });
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' }, path);
}

/** A button that shows an icon; `label` is its name for screen readers and its tooltip. */
export function iconButton(name: IconName, label: string, onClick: () => void, extra = ''): HTMLButtonElement {
  const attrs = { type: 'button', 'aria-label': label, title: label };
  return h('button', { class: `icon-button ${extra}`.trim(), attrs, on: { click: onClick } }, icon(name));
}

/** A button with an icon and text. */
export function textButton(
  name: IconName | undefined,
  label: string,
  onClick: () => void,
  extra = '',
): HTMLButtonElement {
  return h(
    'button',
    { class: `button ${extra}`.trim(), attrs: { type: 'button' }, on: { click: onClick } },
    name && icon(name),
    h('span', { text: label }),
  );
}
