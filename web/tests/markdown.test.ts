// @vitest-environment jsdom
import { beforeEach, describe, expect, it } from 'vitest';
import { MarkdownView } from '../src/page/chat/markdown';

let root: HTMLElement;
let view: MarkdownView;

beforeEach(() => {
  root = document.createElement('div');
  view = new MarkdownView(root);
});

describe('Markdown', () => {
  it('becomes elements', () => {
    view.update(
      '# Title\n\nSome *em*, **strong** and `code`.\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n\n---\n',
    );
    expect(root.querySelector('h3')?.textContent).toBe('Title');
    expect(root.querySelector('em')?.textContent).toBe('em');
    expect(root.querySelector('strong')?.textContent).toBe('strong');
    expect(root.querySelector('p code')?.textContent).toBe('code');
    expect([...root.querySelectorAll('ol li')].map((li) => li.textContent)).toEqual(['one', 'two']);
    expect(root.querySelectorAll('td')).toHaveLength(2);
    expect(root.querySelector('blockquote')?.textContent?.trim()).toBe('quote');
    expect(root.querySelector('hr')).not.toBeNull();
  });

  it('shows code as it is', () => {
    view.update('```html\n<script>alert(1)</script>\n```');
    expect(root.querySelector('pre code')?.textContent).toBe('<script>alert(1)</script>');
    expect(root.querySelector('.code-bar')?.textContent).toBe('html');
  });
});

describe('hostile text', () => {
  it.each([
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    'a <b onclick="alert(1)">bold</b> word',
    '<iframe src="https://example.org"></iframe>',
    '<style>*{display:none}</style>',
    '![x](https://example.org/track.png)',
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt&colon;alert(1))',
    '[x](data:text/html,<script>alert(1)</script>)',
    '[x][1]\n\n[1]: javascript:alert(1)',
    '<https://example.org> <svg/onload=alert(1)>',
    '| <script>1</script> |\n|---|\n| <img src=x> |',
    '# <img src=x onerror=alert(1)>',
    '- [ ] <input autofocus onfocus=alert(1)>',
    '"><svg onload=alert(1)>',
    '[a](https://example.org "onclick=alert(1)")',
  ])('brings in nothing: %s', (source) => {
    view.update(source);
    const allowed = new Set(
      [
        'p',
        'span',
        'a',
        'code',
        'pre',
        'div',
        'button',
        'svg',
        'path',
        'h3',
        'ul',
        'li',
        'table',
        'thead',
        'tbody',
      ].concat(['tr', 'th', 'td', 'input']),
    );
    for (const element of root.querySelectorAll('*')) {
      expect(allowed).toContain(element.localName);
      for (const { name } of element.attributes) expect(name).not.toMatch(/^on|^style$|^srcdoc$/);
      if (element.localName === 'a') expect(element.getAttribute('href')).toMatch(/^(https?|mailto):/);
      if (element.localName === 'input') expect(element.hasAttribute('disabled')).toBe(true);
      if (element.localName === 'svg') expect(element.classList.contains('icon')).toBe(true);
    }
  });

  it('still shows what was written', () => {
    view.update('a <b onclick="x">bold</b> word');
    expect(root.textContent).toBe('a <b onclick="x">bold</b> word');
  });
});

describe('words', () => {
  it('know where in the source they stand', () => {
    const source =
      '# The *dog*\n\nThe dog and the **red dog** in `a dog`.\n\n- a dog\n- [the dog](https://example.org)\n';
    view.update(source);
    const words = [...root.querySelectorAll<HTMLElement>('.word')];
    expect(words.length).toBeGreaterThan(12);
    for (const word of words) {
      const { start, end } = word.dataset;
      expect(source.slice(Number(start), Number(end))).toBe(word.textContent);
    }
    const starts = words.map((word) => Number(word.dataset.start));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(new Set(starts).size).toBe(starts.length);
  });
});

describe('a growing text', () => {
  it('keeps the blocks that did not change', () => {
    view.update('First block.\n\nSecond');
    const first = root.firstElementChild;
    const second = root.lastElementChild;
    view.update('First block.\n\nSecond block, **longer**.\n\n- item');
    expect(root.firstElementChild).toBe(first);
    expect(root.contains(second)).toBe(false);
    expect(root.children).toHaveLength(3);
  });

  it('ends as if it had come at once, wherever it was cut', () => {
    const source = '# T\n\npara *one*\n\n```js\nlet a = "<b>";\n```\n\n- x\n  - y\n\n| a |\n|---|\n| b |\n\nend';
    for (let length = 1; length <= source.length; length++) view.update(source.slice(0, length));
    const whole = document.createElement('div');
    new MarkdownView(whole).update(source);
    expect(root.innerHTML).toBe(whole.innerHTML);
    view.update('');
    expect(root.childNodes).toHaveLength(0);
  });
});
