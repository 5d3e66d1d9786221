/**
 * Markdown as elements. The parser's tokens become elements one by one and text becomes text: no HTML is ever parsed, so
 * an answer cannot bring in any, and pictures in it are never fetched. Each word becomes a `<span class="word">` that knows
 * where in the source it stands, for the look at what the model looked at.
 */
import { lexer, type MarkedToken, type Token, type Tokens } from 'marked';
import { copyText } from '../base/clipboard';
import { h } from '../base/dom';
import { iconButton } from '../base/icons';

interface Block {
  raw: string;
  nodes: Node[];
}

/** Renders a growing text again and again, and touches only the blocks that changed. */
export class MarkdownView {
  #blocks: Block[] = [];

  constructor(readonly element: HTMLElement) {}

  update(source: string): void {
    const tokens = lexer(source);
    let at = 0;
    let same = true;
    tokens.forEach((token, i) => {
      const old = this.#blocks[i];
      same &&= old?.raw === token.raw;
      if (!same) {
        for (const stale of this.#blocks.splice(i)) for (const node of stale.nodes) (node as ChildNode).remove();
        const nodes = new Renderer(source, at).blocks([token]);
        this.element.append(...nodes);
        this.#blocks.push({ raw: token.raw, nodes });
      }
      at += token.raw.length;
    });
    for (const stale of this.#blocks.splice(tokens.length)) {
      for (const node of stale.nodes) (node as ChildNode).remove();
    }
  }
}

class Renderer {
  /** `at`: where in the source the first token begins. */
  constructor(
    private readonly source: string,
    private at: number,
  ) {}

  blocks(tokens: Token[]): Node[] {
    return tokens.flatMap((token) => this.#block(token as MarkedToken));
  }

  #block(token: MarkedToken): Node[] {
    switch (token.type) {
      case 'space':
      case 'def':
      case 'checkbox':
        return [];
      case 'heading':
        // The page's own headings come first; an answer's are below them.
        return [h(`h${Math.min(token.depth + 2, 6)}` as 'h3', {}, ...this.#inline(token.tokens))];
      case 'paragraph':
        return [h('p', {}, ...this.#inline(token.tokens))];
      case 'blockquote':
        return [h('blockquote', {}, ...this.blocks(token.tokens))];
      case 'list':
        return [this.#list(token)];
      case 'code':
        return [codeBlock(token)];
      case 'hr':
        return [h('hr')];
      case 'table':
        return [this.#table(token)];
      case 'html':
        return [h('p', {}, ...this.#words(token.raw))];
      default:
        return this.#inline([token]);
    }
  }

  #list(list: Tokens.List): Node {
    const items = list.items.map((item) => {
      const box = item.task
        ? h('input', { attrs: { type: 'checkbox', disabled: true, checked: item.checked } })
        : undefined;
      return h('li', {}, box, ...this.blocks(item.tokens));
    });
    if (!list.ordered) return h('ul', {}, ...items);
    return h('ol', { attrs: { start: list.start === '' || list.start === 1 ? undefined : list.start } }, ...items);
  }

  #table(table: Tokens.Table): Node {
    const row = (cells: Tokens.TableCell[], tag: 'th' | 'td') =>
      h('tr', {}, ...cells.map((cell) => h(tag, {}, ...this.#inline(cell.tokens))));
    const head = h('thead', {}, row(table.header, 'th'));
    const body = h('tbody', {}, ...table.rows.map((cells) => row(cells, 'td')));
    return h(
      'div',
      { class: 'table', attrs: { tabindex: 0, role: 'group', 'aria-label': 'Table' } },
      h('table', {}, head, body),
    );
  }

  #inline(tokens: Token[]): Node[] {
    return tokens.flatMap((token) => this.#inlineToken(token as MarkedToken));
  }

  #inlineToken(token: MarkedToken): Node[] {
    switch (token.type) {
      case 'strong':
      case 'em':
      case 'del':
        return [h(token.type, {}, ...this.#inline(token.tokens))];
      case 'codespan':
        return [h('code', {}, ...this.#words(token.text))];
      case 'br':
        return [h('br')];
      case 'link':
        return [this.#link(token)];
      case 'image':
        return [h('span', { class: 'no-picture' }, ...this.#words(token.text || token.href))];
      case 'text':
        return token.tokens ? this.#inline(token.tokens) : this.#words(token.text);
      case 'escape':
        return this.#words(token.text);
      default:
        return this.#words(token.raw);
    }
  }

  #link(token: Tokens.Link): Node {
    const content = this.#inline(token.tokens);
    if (!/^(https?|mailto):/i.test(token.href)) return h('span', {}, ...content);
    return h('a', { attrs: { href: token.href, target: '_blank', rel: 'noopener noreferrer nofollow' } }, ...content);
  }

  /** Words stand in the source in the order in which they are shown, so each is looked for after the one before. */
  #words(text: string): Node[] {
    return text.split(/(\s+)/).flatMap((word): Node[] => {
      if (word === '') return [];
      if (word.trim() === '') return [document.createTextNode(word)];
      const start = this.source.indexOf(word, this.at);
      if (start < 0) return [document.createTextNode(word)];
      this.at = start + word.length;
      const attrs = { 'data-start': start, 'data-end': this.at };
      return [h('span', { class: 'word', text: word, attrs })];
    });
  }
}

function codeBlock({ text, lang }: Tokens.Code): Node {
  const copy = iconButton('copy', 'Copy code', () => void copyText(text));
  const bar = h('div', { class: 'code-bar' }, h('span', { text: lang?.split(/\s/)[0] ?? '' }), copy);
  const pre = h('pre', { attrs: { tabindex: 0 } }, h('code', { text }));
  return h('div', { class: 'code' }, bar, pre);
}
