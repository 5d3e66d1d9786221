/** An attention map as a picture. */
import type { Attention } from '../../lib';

type AttentionImage = Attention['images'][number];

/** One layer's map, or the mean of all (`layer` undefined), scaled so that its largest value is 1. */
export function heatOf(
  { columns, rows, values }: AttentionImage,
  layers: number,
  layer: number | undefined,
): Float32Array {
  const size = columns * rows;
  const heat = new Float32Array(size);
  const from = layer ?? 0;
  const to = layer === undefined ? layers : layer + 1;
  for (let l = from; l < to; l++) {
    for (let i = 0; i < size; i++) heat[i] = (heat[i] ?? 0) + (values[l * size + i] ?? 0);
  }
  const most = heat.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? heat.map((value) => value / most) : heat;
}

/** Share of the answer token's attention that went to this picture, averaged over the layers asked for. */
export function shareOf({ columns, rows, values }: AttentionImage, layers: number, layer: number | undefined): number {
  const size = columns * rows;
  const part = layer === undefined ? values : values.subarray(layer * size, (layer + 1) * size);
  return part.reduce((a, b) => a + b, 0) / (layer === undefined ? layers : 1);
}

/** From transparent violet over orange to pale yellow, so that it shows on dark and on light pictures. */
const STOPS: [at: number, r: number, g: number, b: number, alpha: number][] = [
  [0, 30, 8, 60, 130],
  [0.3, 110, 30, 120, 140],
  [0.6, 235, 90, 60, 170],
  [0.85, 255, 180, 60, 200],
  [1, 255, 250, 190, 220],
];

export function colour(value: number): [number, number, number, number] {
  const x = Math.min(Math.max(value, 0), 1);
  for (let i = 1; i < STOPS.length; i++) {
    const low = STOPS[i - 1];
    const high = STOPS[i];
    if (!low || !high || x > high[0]) continue;
    const t = (x - low[0]) / (high[0] - low[0]);
    const mix = (a: number, b: number) => Math.round(a + (b - a) * t);
    return [mix(low[1], high[1]), mix(low[2], high[2]), mix(low[3], high[3]), mix(low[4], high[4])];
  }
  return [0, 0, 0, 0];
}

/** Draws a map over all of `canvas`, smoothly. */
export function paint(canvas: HTMLCanvasElement, heat: Float32Array, columns: number, rows: number): void {
  const small = document.createElement('canvas');
  small.width = columns;
  small.height = rows;
  const pixels = new ImageData(columns, rows);
  heat.forEach((value, i) => {
    // The square root brings out what is faint beside one strong spot.
    pixels.data.set(colour(Math.sqrt(value)), i * 4);
  });
  small.getContext('2d')?.putImageData(pixels, 0, 0);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}
