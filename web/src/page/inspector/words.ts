/** Words of an answer and the tokens that they are made of. */

export interface Word {
  text: string;
  /** In the answer's text, `end` excluded. */
  start: number;
  end: number;
}

/** The words without what Markdown puts around them, and without what is nothing else. */
export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(/[^\s*_`#>|~]+/g), (match) => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  })).filter((word) => /[\p{L}\p{N}]/u.test(word.text));
}

/**
 * The tokens `[from, to)` behind the characters `[start, end)` of what the answer's tokens said. A token may give no text
 * of its own (half of a character): it belongs to the next one that does. Text beyond the last token's was held back until
 * the end and belongs to the last tokens.
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
  if (end > at && tokens.length > 0) {
    from ??= Math.min(group, tokens.length - 1);
    to = tokens.length;
  }
  return from === undefined ? undefined : { from, to };
}

/** Characters that the tokens said before the answer's text begins: it is kept without spaces in front. */
export function spaceBefore(tokens: { text: string }[], text: string): number {
  const said = tokens.map((token) => token.text).join('');
  return leading(said) - leading(text);
}

function leading(text: string): number {
  return text.length - text.trimStart().length;
}
