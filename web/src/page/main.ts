import './styles/main.css';
import { App } from './app';
import { byId } from './base/dom';
import { icon } from './base/icons';
import { notify } from './base/notices';
import { params } from './base/params';
import { startTheme, toggleTheme } from './base/theme';

startTheme();
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

new App(params(location.search)).start().catch((error: unknown) => {
  notify('fatal', 'error', `The page could not start: ${error}`);
});
