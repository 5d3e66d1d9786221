import './styles/main.css';
import { App } from './app';
import { byId } from './base/dom';
import { ignoreSecondClicks } from './base/double-click';
import { icon } from './base/icons';
import { notify, withdrawLater } from './base/notices';
import { params } from './base/params';
import { startTheme, toggleTheme } from './base/theme';
import { ownConversation } from './chat/own-conversation';
import { Saved } from './chat/saved';

/** How long it is said that there is another tab. */
const ELSEWHERE_MS = 10_000;

startTheme();
ignoreSecondClicks();
for (const [id, name] of [
  ['model-open', 'chip'],
  ['new-conversation', 'plus'],
  ['settings-open', 'settings'],
  ['theme-toggle', 'theme'],
  ['inspector-toggle', 'inside'],
  ['inspector-close', 'close'],
] as const) {
  byId(id).prepend(icon(name));
}
byId('theme-toggle').addEventListener('click', toggleTheme);

async function start(): Promise<void> {
  const given = params(location.search);
  if (given.refused.length > 0) {
    notify('address', 'warning', `This page's address says what is not used: ${given.refused.join(', ')}.`);
  }
  const { name, elsewhere } = await ownConversation();
  if (elsewhere) {
    notify('elsewhere', 'info', 'The page is open in another tab too. Each tab has a conversation of its own.');
    withdrawLater('elsewhere', ELSEWHERE_MS);
  }
  await new App(given, new Saved(name)).start();
}

start().catch((error: unknown) => {
  notify('fatal', 'error', `The page could not start: ${error}`);
});
