/**
 * What the MMoE kernel does with a prompt. Rows are cut into blocks of 64; for each block one workgroup a modality is
 * started, and one whose modality has no row in the block exits at once.
 */
import type { Segment } from '../../lib';

export const BLOCK_ROWS = 64;

export interface Block {
  /** Tokens of the sequence, `to` excluded. */
  from: number;
  to: number;
  /** Rows of each modality; a workgroup without rows exited early. */
  text: number;
  visual: number;
}

/** The blocks that were computed: from the first token that was not reused to the end of the prompt. */
export function blocksOf(segments: Segment[], reusedTokens: number): Block[] {
  const total = segments.reduce((sum, segment) => sum + segment.tokens, 0);
  const blocks: Block[] = [];
  for (let from = reusedTokens; from < total; from += BLOCK_ROWS) {
    const to = Math.min(from + BLOCK_ROWS, total);
    const visual = visualTokens(segments, from, to);
    blocks.push({ from, to, text: to - from - visual, visual });
  }
  return blocks;
}

/** Workgroup rows that exited early, and of how many. */
export function earlyExits(blocks: Block[]): { exited: number; all: number } {
  const exited = blocks.filter((block) => block.text === 0 || block.visual === 0).length;
  return { exited, all: blocks.length * 2 };
}

function visualTokens(segments: Segment[], from: number, to: number): number {
  let at = 0;
  let count = 0;
  for (const { kind, tokens } of segments) {
    if (kind === 'image') count += Math.max(0, Math.min(to, at + tokens) - Math.max(from, at));
    at += tokens;
  }
  return count;
}
