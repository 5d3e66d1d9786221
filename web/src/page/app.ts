/** The page: what the visitor does meets the conversation, the model and what is shown of them. */
import type { Answer, ChatEvent, Monolens, Settings } from '../lib';
import { MonolensError } from '../lib/errors';
import { Announcer } from './base/announcer';
import { copyText } from './base/clipboard';
import { byId, onceAFrame } from './base/dom';
import { explain } from './base/explain';
import { keepFocus } from './base/focus';
import { integer } from './base/format';
import { textButton } from './base/icons';
import { Latest } from './base/latest';
import { notify, withdraw, withdrawLater } from './base/notices';
import type { Params } from './base/params';
import { NO_SETTINGS, type PageSettings } from './base/settings';
import { BUNDLED, picturesAdvice } from './bundled';
import { Composer } from './chat/composer';
import {
  type AnswerTurn,
  Conversation,
  type Draft,
  picturesOf,
  type Question,
  type Turn,
  toMessages,
} from './chat/conversation';
import { Examples } from './chat/examples';
import type { Picture } from './chat/picture';
import { listenForPictures } from './chat/picture-input';
import type { Saved, State } from './chat/saved';
import { Transcript } from './chat/transcript';
import { ModelDialog } from './dialogs/model-dialog';
import { SettingsDialog } from './dialogs/settings-dialog';
import { Inspector } from './inspector/inspector';
import { ModelSession } from './model-session';

/** Milliseconds between two savings of what is still coming or being written: so much of it a reload may lose. */
const SAVE_EVERY = 300;
/** The notice by which turns can be brought back, and how long. */
const UNDO = 'undo';
const UNDO_MS = 10_000;

export class App {
  #conversation = new Conversation();
  #settings: PageSettings = { ...NO_SETTINGS };
  #saving = new Latest();
  #saveTimer: ReturnType<typeof setTimeout> | undefined;
  #announcer = new Announcer();
  /** Whether what was kept of the last visit is here: before that nothing may take its place. */
  #restored = false;
  /** What was kept of an earlier visit: what this visit's address says instead counts for this visit only. */
  #kept: Pick<State, 'weights' | 'kv'> = {};
  #running: { answer: Answer; turn: AnswerTurn } | undefined;
  #session: ModelSession;
  #transcript: Transcript;
  #composer: Composer;
  #inspector: Inspector;
  #examples: Examples;
  #settingsDialog = new SettingsDialog((changed) => this.#set(changed));
  #modelDialog = new ModelDialog((source, how) => void this.#session.load(source, how));

  constructor(
    private readonly params: Params,
    private readonly saved: Saved,
  ) {
    this.#session = new ModelSession(
      {
        loaded: (model) => this.#modelLoaded(model),
        unloaded: () => this.#modelUnloaded(),
        selfTest: (state) => {
          this.#inspector.selfTest = state;
          this.#inspector.refresh();
        },
        say: (text) => this.#announcer.say(text),
        chooseFolder: () => void this.#modelDialog.pickFolder(this.#session.how),
      },
      params.options,
      params.selfTest,
    );
    this.#transcript = new Transcript({
      retry: (turn) => this.#retry(turn),
      edit: (question, text) => this.#edit(question, text),
      fewerTiles: () => this.#fewerTiles(),
      newConversation: () => this.#reset(),
      retryWith: (turn, maxTiles) => {
        this.#set({ ...this.#settings, maxTiles });
        this.#retry(turn);
      },
      inspect: (turn) => {
        this.#inspector.show(turn);
        this.#inspector.open(true);
      },
      copy: (text) => void this.#copy(text),
      boxesOn: (turn) => picturesOf(this.#conversation.before(turn)).at(-1),
    });
    this.#composer = new Composer({
      send: (text, pictures) => void this.#ask(text, pictures),
      stop: () => this.#running?.answer.stop(),
      added: (picture) => this.#prepare(picture),
      advice: (waiting) => picturesAdvice(this.#session.source, picturesOf(this.#conversation.turns).length + waiting),
      changed: () => this.#saveSoon(),
    });
    this.#inspector = new Inspector({
      attention: (turn, from, to) => this.#attention(turn, from, to),
      picturesFor: (turn) => picturesOf(this.#conversation.before(turn)),
      onWord: (turn, word) => this.#transcript.mark(turn, word.start, word.end),
      loseDevice: () => void this.#session.model?.loseDevice(),
    });
    this.#examples = new Examples(
      ({ question, picture }) => void this.#ask(question, [picture]),
      (question) => void this.#ask(question, []),
    );
    this.#listen();
  }

  async start(): Promise<void> {
    try {
      const { turns, settings, model, weights, kv, draft } = await this.saved.load();
      this.#conversation.turns = turns;
      this.#settings = settings;
      this.#session.remembered = model;
      this.#kept = { weights, kv };
      this.#session.how.weights ??= weights;
      this.#session.how.kv ??= kv;
      // What has been written meanwhile is newer.
      if (isEmpty(this.#composer.draft)) this.#composer.draft = draft;
    } catch {
      notify('saving', 'info', 'This browser does not let the page keep the conversation (a private window?).');
    }
    this.#restored = true;
    this.#showAll();
    void this.#examples.load();
    if (this.params.model) await this.#session.load(this.params.model);
    else await this.#session.loadRemembered(BUNDLED);
  }

  #listen(): void {
    byId('settings-open').addEventListener('click', () =>
      this.#settingsDialog.open(this.#settings, this.#session.model?.info),
    );
    byId('model-open').addEventListener('click', () => this.#modelDialog.open(this.#session.how, this.#session.source));
    byId('new-conversation').addEventListener('click', () => this.#reset());
    listenForPictures({
      pictures: (files) => void this.#composer.add(files),
      model: (source) => void this.#session.load(source),
    });
    document.addEventListener('keydown', (event) => {
      // In a dialog, Esc closes the dialog.
      if (event.key !== 'Escape' || document.querySelector('dialog[open]')) return;
      if (this.#running) this.#running.answer.stop();
      else this.#inspector.closeSheet();
    });
    // What is not written yet is lost with the page; a browser may still end what is begun here.
    addEventListener('pagehide', () => this.#save());
    let pointer = { x: -1, y: -1 };
    document.addEventListener('pointermove', ({ clientX: x, clientY: y }) => {
      pointer = { x, y };
    });
    const look = (event: MouseEvent) => {
      // A word that has moved below a pointer at rest is not pointed at.
      if (event.type === 'pointerover' && event.clientX === pointer.x && event.clientY === pointer.y) return;
      const word = (event.target as Element).closest?.<HTMLElement>('.answer .word');
      const turn = word && this.#transcript.answerAt(word);
      if (!word || !turn || turn.status === 'running' || !this.#inspector.isOpen) return;
      if (this.#inspector.answer !== turn) this.#inspector.show(turn);
      this.#inspector.attention.look(Number(word.dataset.start), Number(word.dataset.end));
    };
    byId('turns').addEventListener('pointerover', look);
    byId('turns').addEventListener('click', look);
  }

  #modelLoaded(model: Monolens): void {
    this.#inspector.info = model.info;
    this.#inspector.attention.clear();
    this.#changed();
    void this.#refreshStats();
    void this.#prepareAll();
  }

  #modelUnloaded(): void {
    this.#running?.answer.stop();
    this.#inspector.info = undefined;
    this.#inspector.stats = undefined;
    this.#forgetTiles();
    this.#changed();
  }

  #set(settings: PageSettings): void {
    const { maxTiles } = this.#settings;
    this.#settings = settings;
    this.#save();
    if (maxTiles === settings.maxTiles) return;
    this.#forgetTiles();
    void this.#prepareAll();
  }

  /** What is known of the pictures depends on the model and on the number of tiles. */
  #forgetTiles(): void {
    for (const picture of [...picturesOf(this.#conversation.turns), ...this.#composer.pictures]) picture.set(undefined);
  }

  /** Decodes a picture ahead of the question; `false` where the model cannot take it. */
  async #prepare(picture: Picture): Promise<boolean> {
    const { model } = this.#session;
    if (!model) return true;
    try {
      const { maxTiles } = this.#settings;
      picture.set(await model.prepare(picture.blob, maxTiles === undefined ? {} : { maxTiles }));
      return true;
    } catch (error) {
      const { code, title, advice } = explain(error);
      if (code === 'cancelled') return true;
      notify('picture', 'error', `${picture.name}: ${title} ${advice}`);
      return false;
    }
  }

  async #prepareAll(): Promise<void> {
    for (const picture of [...this.#composer.pictures, ...picturesOf(this.#conversation.turns)]) {
      if (!picture.info) await this.#prepare(picture);
    }
  }

  async #ask(text: string, pictures: readonly Picture[]): Promise<void> {
    if (this.#running || !this.#session.model) return;
    withdraw(UNDO);
    const question = this.#conversation.ask(text, pictures);
    this.#transcript.add(question);
    for (const picture of pictures) if (!picture.info) void this.#prepare(picture);
    await this.#answer();
  }

  async #answer(): Promise<void> {
    const { model } = this.#session;
    if (!model) return;
    const { system, maxTiles, ...settings } = this.#settings;
    const messages = toMessages(this.#conversation.turns, system, maxTiles);
    const turn = this.#conversation.beginAnswer();
    turn.device = model.info.device.kind;
    this.#transcript.add(turn);
    this.#announcer.begin();
    this.#inspector.show(turn);
    const draw = onceAFrame(() => {
      if (turn.status !== 'running') return;
      this.#transcript.view(turn)?.update();
      this.#transcript.follow();
      this.#announcer.stream(turn.text, false);
      this.#saveSoon();
    });
    const onEvent = (event: ChatEvent) => {
      this.#take(turn, event);
      draw();
    };
    const answer = model.chat(messages, { ...(settings as Settings), onEvent });
    this.#running = { answer, turn };
    this.#changed();
    try {
      const { text, reason, stats, grounding } = await answer.finished;
      Object.assign(turn, { text, reason, stats, grounding, status: 'done' });
    } catch (error) {
      turn.status = 'failed';
      if (error instanceof MonolensError && error.code === 'cancelled') turn.reason = 'stopped';
      else turn.error = explain(error, this.#fewerTiles() ? undefined : 'asking without tiles to spare');
    }
    this.#running = undefined;
    this.#transcript.view(turn)?.update();
    this.#transcript.follow();
    this.#announcer.stream(turn.text, true);
    if (this.#inspector.answer === turn) this.#inspector.show(turn);
    this.#changed();
    await this.#refreshStats();
  }

  /** Half the tiles a picture may have, where some picture has several. */
  #fewerTiles(): number | undefined {
    const most = this.#settings.maxTiles ?? this.#session.model?.info.maxTiles ?? 1;
    const { turns } = this.#conversation;
    // Those of the newest question too, though it got no answer.
    const asked = turns.findLast((turn) => turn.role === 'user')?.pictures ?? [];
    const several = [...picturesOf(turns), ...asked].some(({ info }) => !info || info.columns * info.rows > 1);
    return several && most > 1 ? Math.floor(most / 2) : undefined;
  }

  #take(turn: AnswerTurn, event: ChatEvent): void {
    const view = this.#transcript.view(turn);
    if (event.type === 'submitted') {
      turn.segments = event.segments;
    } else if (event.type === 'started') {
      turn.reusedTokens = event.reusedTokens;
      this.#inspector.refresh();
      view?.progress('Reading the question', 0, event.promptTokens - event.reusedTokens);
    } else if (event.type === 'prefill') {
      view?.progress(`Reading ${integer(event.done)} of ${integer(event.total)} tokens`, event.done, event.total);
    } else if (event.type === 'token') {
      turn.tokens.push({ id: event.id, text: event.text });
      turn.text += event.text;
    }
  }

  #attention(turn: AnswerTurn, from: number, to: number) {
    const { model } = this.#session;
    if (!model) return Promise.reject(new MonolensError('bad-request', 'no model is loaded'));
    const messages = toMessages(this.#conversation.before(turn), this.#settings.system, this.#settings.maxTiles);
    const ids = turn.tokens.map((token) => token.id);
    return model.attention(messages, ids, { from, to });
  }

  async #refreshStats(): Promise<void> {
    const { model } = this.#session;
    // A model that is gone by then has no figures.
    const stats = await model?.stats().catch(() => undefined);
    if (model !== this.#session.model) return;
    this.#inspector.info = model?.info;
    this.#inspector.stats = stats;
    this.#inspector.refresh();
  }

  #retry(turn: AnswerTurn): void {
    this.#again(turn, () => void this.#answer());
  }

  #edit(question: Question, text: string): void {
    this.#again(question, () => void this.#ask(text, question.pictures));
  }

  /** Asks again from a turn on. What came later goes, and can be brought back. */
  #again(from: Turn, ask: () => void): void {
    if (this.#running || !this.#session.model) return;
    const before = [...this.#conversation.turns];
    this.#conversation.cutAt(from);
    keepFocus(() => {
      this.#transcript.show(this.#conversation.turns);
      ask();
    });
    const asked = before.indexOf(from) + (from.role === 'user' ? 2 : 1);
    if (asked < before.length) this.#offerUndo('The questions after it were removed.', before);
  }

  #reset(): void {
    this.#running?.answer.stop();
    const { turns } = this.#conversation;
    const { draft } = this.#composer;
    this.#conversation = new Conversation();
    this.#composer.clear();
    this.#showAll();
    this.#composer.focus();
    if (turns.length > 0) this.#offerUndo('The conversation was cleared.', turns, draft);
    else this.#announcer.say('New conversation.');
  }

  /** Lets the visitor bring back, for a while, what is no longer there. */
  #offerUndo(what: string, turns: Turn[], draft?: Draft): void {
    const undo = textButton(undefined, 'Undo', () => {
      this.#running?.answer.stop();
      this.#conversation = new Conversation();
      this.#conversation.turns = turns;
      if (draft && isEmpty(this.#composer.draft)) this.#composer.draft = draft;
      withdraw(UNDO);
      this.#showAll();
    });
    notify(UNDO, 'info', what, undo);
    withdrawLater(UNDO, UNDO_MS);
  }

  async #copy(text: string): Promise<void> {
    if (await copyText(text)) this.#announcer.say('Copied.');
  }

  #showAll(): void {
    const { turns } = this.#conversation;
    this.#transcript.show(turns);
    this.#inspector.show(turns.findLast((turn) => turn.role === 'assistant'));
    this.#changed();
  }

  /** Brings buttons, examples and the saved conversation up to what is the case now. */
  #changed(): void {
    const ready = this.#session.model !== undefined;
    const running = this.#running !== undefined;
    this.#composer.set(ready, running);
    keepFocus(() => {
      this.#examples.show(this.#conversation.turns, ready && !running);
      document.body.classList.toggle('empty', this.#conversation.turns.length === 0);
    });
    this.#save();
  }

  /** Saves after a while: what changes often is not written each time. */
  #saveSoon(): void {
    this.#saveTimer ??= setTimeout(() => this.#save(), SAVE_EVERY);
  }

  #save(): void {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    if (!this.#restored) return;
    const { remembered: model, how } = this.#session;
    const { options } = this.params;
    const weights = how.weights === options.weights ? options.weights && this.#kept.weights : how.weights;
    const kv = how.kv === options.kv ? options.kv && this.#kept.kv : how.kv;
    const { draft } = this.#composer;
    const state = { turns: this.#conversation.turns, settings: this.#settings, model, weights, kv, draft };
    this.#saving.run(async () => {
      try {
        await this.saved.save(state);
      } catch {
        notify(
          'saving',
          'info',
          'The conversation could not be kept for the next visit: the browser gives no room for it.',
        );
      }
    });
  }
}

function isEmpty({ text, pictures }: Draft): boolean {
  return text === '' && pictures.length === 0;
}
