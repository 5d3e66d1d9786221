// What a web developer writes; the tests call it.
import { Monolens, MonolensError } from '/lib/monolens.js';

window.load = async (url, options = {}) => {
  window.model = await Monolens.load(url, options);
  return window.model.info;
};

window.ask = async (text, pictures, options = {}) => {
  const content = [...pictures.map((url) => ({ type: 'image_url', image_url: { url } })), { type: 'text', text }];
  const answer = window.model.chat([{ role: 'user', content }], options);
  const pieces = [];
  for await (const piece of answer) pieces.push(piece);
  const { tokens, reason } = await answer.finished;
  return { pieces, ids: tokens.map((token) => token.id), reason };
};

window.failure = async (action) => {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error instanceof MonolensError ? error.code : `not a MonolensError: ${error}`;
  }
};
window.ready = true;
