import type { ModelInfo } from '../../lib';
import { h, svg } from '../base/dom';
import { integer, plural } from '../base/format';
import type { AnswerTurn } from '../chat/conversation';
import { BLOCK_ROWS, type Block, blocksOf, earlyExits } from './blocks';

const KINDS = { system: 'System', user: 'Question', image: 'Picture', assistant: 'Answer' } as const;
/** A GPU starts a workgroup for each block and kind of expert, and those without rows exit. */
const GPU = {
  legend: 'Exited early',
  none: 'exited early, no rows',
  summary: (blocks: Block[]) => {
    const { exited, all } = earlyExits(blocks);
    return `${integer(exited)} of ${integer(all)} workgroup rows exited early; blocks of ${BLOCK_ROWS} tokens.`;
  },
};
/** The CPU gives the rows of all blocks of one kind to its experts at once; there is nothing to exit from. */
const CPU = {
  legend: 'No rows',
  none: 'no rows',
  summary: (blocks: Block[]) => {
    const sum = (kind: 'text' | 'visual') => integer(blocks.reduce((total, block) => total + block[kind], 0));
    return `The text experts computed ${sum('text')} rows, the visual experts ${sum('visual')}; drawn by blocks of ${BLOCK_ROWS} tokens.`;
  },
};
/** With more blocks than this the lines between them would hide what they part. */
const MOST_LINES = 48;
/** Heights of the lanes in the drawing's own units. */
const LANE = 10;
const GAP = 2;

/**
 * The token sequence by modality, and below it which experts had work. `device` is what computes now, for answers that do
 * not know what computed them.
 */
export function stripView(answer: AnswerTurn, device?: ModelInfo['device']['kind']): HTMLElement {
  const { segments, reusedTokens, tokens } = answer;
  const kind = (answer.device ?? device) === 'cpu' ? CPU : GPU;
  const prompt = segments.reduce((sum, segment) => sum + segment.tokens, 0);
  if (prompt === 0) return h('p', { class: 'hint', text: 'Shown when a question has been asked.' });
  const total = prompt + tokens.length;
  const blocks = blocksOf(segments, reusedTokens);
  const shapes: SVGElement[] = [];
  let at = 0;
  for (const { kind, tokens: count } of [...segments, { kind: 'assistant' as const, tokens: tokens.length }]) {
    shapes.push(rect(`token ${kind}`, at, at + count, 0, `${KINDS[kind]}: ${plural(count, 'token')}`));
    at += count;
  }
  const lane = (index: number) => index * (LANE + GAP);
  if (reusedTokens > 0) {
    for (const i of [1, 2])
      shapes.push(rect('reused', 0, reusedTokens, lane(i), `Reused: ${plural(reusedTokens, 'token')}`));
  }
  for (const { from, to, text, visual } of blocks) {
    const where = `tokens ${integer(from)} to ${integer(to - 1)}`;
    const rows = (count: number) => (count === 0 ? kind.none : plural(count, 'row'));
    shapes.push(rect(text > 0 ? 'ran text' : 'exited', from, to, lane(1), `Text experts, ${where}: ${rows(text)}`));
    shapes.push(
      rect(visual > 0 ? 'ran visual' : 'exited', from, to, lane(2), `Visual experts, ${where}: ${rows(visual)}`),
    );
  }
  const summary = blocks.length === 0 ? 'Nothing had to be computed for the prompt.' : kind.summary(blocks);
  const height = 3 * LANE + 2 * GAP;
  const drawing = svg(
    'svg',
    {
      class: blocks.length > MOST_LINES ? 'strip crowded' : 'strip',
      viewBox: `0 0 ${total} ${height}`,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': `Token sequence: ${segments.map((s) => `${KINDS[s.kind]} ${s.tokens}`).join(', ')}, answer ${tokens.length}. ${summary}`,
    },
    ...shapes,
  );
  const lanes = ['Tokens', 'Text experts', 'Visual experts'].map((name) => h('span', { text: name }));
  const names = h('div', { class: 'strip-names', attrs: { 'aria-hidden': 'true' } }, ...lanes);
  return h(
    'div',
    {},
    h('div', { class: 'strip-row' }, names, drawing),
    legend(kind.legend),
    h('p', { class: 'hint', text: summary }),
  );
}

function rect(kind: string, from: number, to: number, y: number, title: string): SVGElement {
  const shape = svg('rect', { class: kind, x: from, y, width: Math.max(to - from, 0), height: LANE });
  shape.append(svg('title', {}, title));
  return shape;
}

function legend(exited: string): HTMLElement {
  const entries: [string, string][] = [
    ['system', 'System'],
    ['user', 'Question'],
    ['image', 'Picture'],
    ['assistant', 'Answer'],
    ['exited', exited],
    ['reused', 'Reused'],
  ];
  const items = entries.map(([kind, name]) => h('li', {}, h('span', { class: `swatch ${kind}` }), name));
  return h('ul', { class: 'legend', attrs: { 'aria-label': 'Colours' } }, ...items);
}
