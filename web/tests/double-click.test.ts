// @vitest-environment jsdom
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { ignoreSecondClicks } from '../src/page/base/double-click';

let pressed: string[];

beforeAll(ignoreSecondClicks);

beforeEach(() => {
  pressed = [];
  document.body.innerHTML = '<button id="send"><i></i></button><button id="stop"></button>';
  for (const button of document.querySelectorAll('button')) {
    button.addEventListener('click', () => pressed.push(button.id));
  }
});

/** A click of a pointer at (x, 10), so many milliseconds after the test began. */
function click(id: string, timeStamp: number, x = 10, detail = 1): void {
  const event = new MouseEvent('click', { bubbles: true, cancelable: true, clientX: x, clientY: 10, detail });
  Object.defineProperty(event, 'timeStamp', { value: timeStamp });
  document.querySelector(`#${id} i, #${id}`)?.dispatchEvent(event);
}

it('a second click does not press what has come to its place', () => {
  for (const [at, id] of [
    [10_000, 'send'],
    [10_300, 'stop'],
    [10_450, 'stop'],
  ] as const) {
    click(id, at);
  }
  expect(pressed).toEqual(['send']);
  click('stop', 10_600);
  expect(pressed).toEqual(['send', 'stop']);
});

it('the same button, another place and keys press as ever', () => {
  click('send', 20_000);
  click('send', 20_100);
  click('stop', 20_200, 40);
  click('send', 20_250, 40, 0);
  expect(pressed).toEqual(['send', 'send', 'stop', 'send']);
});
