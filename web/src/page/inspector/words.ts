/** Words of an answer and the tokens that they are made of. */

export interface Word {
  text: string;
  /** In the answer's text, `end` excluded. */
  start: number;
  end: number;
}

export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(/\S+/g), (match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/**
 * The tokens `[from, to)` behind the characters `[start, end)` of the answer. A token may give no text of its own (half of
 * a character): it belongs to the next one that does.
 */
export function tokensOf(
  tokens: { text: string }[],
  start: number,
  end: number,
): { from: number; to: number } | undefined {
  let at = 0;
  let group = 0;
  let from: number | undefined;
  let to = 0;
  tokens.forEach(({ text }, i) => {
    if (text === '') return;
    const next = at + text.length;
    if (at < end && next > start) {
      from ??= group;
      to = i + 1;
    }
    at = next;
    group = i + 1;
  });
  return from === undefined ? undefined : { from, to };
}
