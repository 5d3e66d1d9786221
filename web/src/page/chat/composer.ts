import { byId, h } from '../base/dom';
import { FORMATS } from '../base/explain';
import { keepFocus } from '../base/focus';
import { icon, iconButton } from '../base/icons';
import { notify, withdraw } from '../base/notices';
import { Camera } from '../dialogs/camera';
import { type Draft, NO_DRAFT } from './conversation';
import { Picture } from './picture';
import { pictureView } from './picture-view';

export interface ComposerActions {
  send(text: string, pictures: readonly Picture[]): void;
  stop(): void;
  /** A picture was added; resolves to whether the model can read it. */
  added(picture: Picture): Promise<boolean>;
  /** What is to be said when so many pictures wait to be sent. */
  advice(waiting: number): string | undefined;
  /** The draft is another one. */
  changed(): void;
}

/** Where the question is written and pictures are put beside it. */
export class Composer {
  #form = byId('composer');
  #attachments = h('div', { class: 'pictures', attrs: { role: 'group', 'aria-label': 'Pictures to send' } });
  #advice = h('p', { class: 'advice', attrs: { role: 'status' } });
  #field = h('textarea', {
    attrs: {
      rows: 1,
      id: 'question',
      placeholder: 'Ask about a picture',
      'aria-label': 'Question',
      enterkeyhint: 'send',
    },
  });
  #send: HTMLButtonElement;
  #stop: HTMLButtonElement;
  #pictures: readonly Picture[] = [];
  /** Whether somebody wanted to send a picture without a question. */
  #questionMissing = false;
  #ready = false;
  #running = false;

  constructor(private readonly actions: ComposerActions) {
    const attrs = { type: 'submit', 'aria-label': 'Send' };
    this.#send = h('button', { class: 'icon-button round primary', attrs }, icon('send'));
    this.#stop = iconButton('stop', 'Stop', () => actions.stop(), 'round primary');
    this.#stop.title = 'Stop (Esc)';
    const files = h('input', {
      attrs: { type: 'file', accept: 'image/*,.avif,.tif,.tiff', multiple: true, hidden: true, tabindex: -1 },
    });
    files.setAttribute('aria-label', 'Picture files');
    files.addEventListener('change', () => {
      const chosen = [...(files.files ?? [])];
      files.value = '';
      void this.add(chosen);
    });
    const camera = new Camera((file) => void this.add([file]));
    const bar = h(
      'div',
      { class: 'composer-bar' },
      iconButton('picture', 'Add pictures', () => files.click()),
      iconButton('camera', 'Take a picture', () => void camera.open()),
      this.#field,
      this.#send,
      this.#stop,
    );
    this.#form.append(this.#attachments, this.#advice, bar, files);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('input', () => this.#changed());
    this.#field.addEventListener('keydown', (event) => {
      // While an input method composes a word, Enter belongs to it.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#update();
  }

  /** Pictures that are waiting to be sent. */
  get pictures(): readonly Picture[] {
    return this.#pictures;
  }

  /** `ready`: there is a model to ask. `running`: it is answering. */
  set(ready: boolean, running: boolean): void {
    this.#ready = ready;
    this.#running = running;
    this.#update();
  }

  async add(files: Iterable<Blob & { name?: string }>): Promise<void> {
    // What was said of earlier files is over.
    withdraw('picture');
    const given = [...files];
    const others = given.filter((file) => !mayBePicture(file)).map(({ name }) => name || 'The file');
    if (others.length > 0) {
      const are = others.length === 1 ? 'is not a picture' : 'are not pictures';
      notify('picture', 'error', `${others.join(', ')} ${are}. ${FORMATS}`);
    }
    for (const file of given.filter(mayBePicture)) {
      const picture = await Picture.of(file, file.name || 'Pasted picture').catch(() => undefined);
      if (!picture) {
        notify('picture', 'error', `${file.name || 'The file'} cannot be read.`);
        continue;
      }
      this.#pictures = [...this.#pictures, picture];
      this.#changed();
      this.focus();
      if (!(await this.actions.added(picture))) this.#remove(picture);
    }
  }

  focus(): void {
    this.#field.focus();
  }

  /** What is written and waits to be sent. */
  get draft(): Draft {
    return { text: this.#field.value, pictures: this.#pictures };
  }

  set draft({ text, pictures }: Draft) {
    withdraw('picture');
    this.#pictures = pictures;
    this.#field.value = text;
    this.#changed();
  }

  clear(): void {
    this.draft = NO_DRAFT;
  }

  #remove(picture: Picture): void {
    this.#pictures = this.#pictures.filter((other) => other !== picture);
    this.#changed();
  }

  #submit(): void {
    const text = this.#field.value.trim();
    const pictures = this.#pictures;
    if (this.#send.disabled) {
      this.#questionMissing = text === '' && pictures.length > 0;
      this.#update();
      return;
    }
    this.clear();
    this.actions.send(text, pictures);
  }

  #changed(): void {
    this.#questionMissing = false;
    this.#update();
    this.actions.changed();
  }

  #update(): void {
    const views = this.#pictures.map((picture) => pictureView(picture, () => this.#remove(picture)));
    const missing = this.#questionMissing ? 'Write a question about the picture, too.' : undefined;
    const advice = missing ?? this.actions.advice(views.length) ?? '';
    // What is said again is read out again.
    if (this.#advice.textContent !== advice) this.#advice.textContent = advice;
    const empty = this.#field.value.trim() === '';
    keepFocus(() => {
      this.#attachments.replaceChildren(...views);
      this.#attachments.hidden = views.length === 0;
      this.#send.disabled = !this.#ready || this.#running || empty;
      const why = this.#ready ? 'write a question first' : 'there is no model yet';
      this.#send.title = this.#send.disabled ? `Send (${why})` : 'Send (Enter)';
      this.#send.hidden = this.#running;
      this.#stop.hidden = !this.#running;
    });
    // As high as its text, up to the limit in the style sheet.
    this.#field.style.height = 'auto';
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}

/** By its type, which browsers know from the name; a file of none is tried. */
function mayBePicture({ type }: Blob): boolean {
  return type === '' || type.startsWith('image/');
}
