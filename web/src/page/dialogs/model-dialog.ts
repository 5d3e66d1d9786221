import { type BackendName, type KvFormat, type ModelSource, Monolens, type WeightFormat } from '../../lib';
import { modelFolder } from '../../sources/model-url';
import { address, checkReachable } from '../base/address';
import { h } from '../base/dom';
import { explain } from '../base/explain';
import { keepFocus } from '../base/focus';
import { bytes } from '../base/format';
import { textButton } from '../base/icons';
import { BUNDLED, BUNDLED_NAME } from '../bundled';
import { type How, nameOf } from '../model-session';
import { makeDialog } from './dialog';

type FolderPicker = { showDirectoryPicker?(): Promise<FileSystemDirectoryHandle> };

/** Chooses a model and shows and frees what is stored of those from the web. */
export class ModelDialog {
  #dialog: HTMLDialogElement;
  #url = h('input', {
    attrs: {
      id: 'model-url',
      type: 'text',
      inputmode: 'url',
      autocomplete: 'url',
      spellcheck: 'false',
      required: true,
      placeholder: 'https://huggingface.co/OpenGVLab/Mono-InternVL-2B',
    },
  });
  #backend = h('select', { attrs: { id: 'model-backend' } });
  #weights = h('select', { attrs: { id: 'model-weights' } });
  #kv = h('select', { attrs: { id: 'model-kv' } });
  #stored = h('div', { class: 'stored', attrs: { 'aria-live': 'polite' } });
  #loaded = h('p', { class: 'loaded' });
  #again: HTMLButtonElement;
  #files: HTMLInputElement;
  #current: ModelSource | undefined;

  constructor(private readonly onChoose: (source: ModelSource, how: How) => void) {
    this.#files = h('input', {
      attrs: { type: 'file', multiple: true, webkitdirectory: true, hidden: true, tabindex: -1 },
    });
    this.#files.setAttribute('aria-label', 'Files of a model');
    this.#files.addEventListener('change', () => {
      // The list empties with the field, so the files are taken out of it first.
      const files = [...(this.#files.files ?? [])];
      this.#files.value = '';
      if (files.length > 0) this.#choose(files);
    });
    const form = h(
      'form',
      { class: 'url-row' },
      h('label', { text: 'Address of the folder or of its Hugging Face page', attrs: { for: 'model-url' } }),
      h('div', { class: 'row' }, this.#url, h('button', { class: 'button', text: 'Load', attrs: { type: 'submit' } })),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const url = this.#wanted();
      if (url === undefined) return;
      // Asks the browser to keep what is about to be stored; it may refuse, and then may clear it when space is short.
      void navigator.storage?.persist?.();
      this.#choose(url);
    });
    this.#url.addEventListener('input', () => this.#url.setCustomValidity(''));
    const names: [BackendName, string][] = [
      ['auto', 'Automatic'],
      ['wgpu', 'GPU (WebGPU)'],
      ['cpu', 'CPU'],
    ];
    fill(this.#backend, names);
    fill(this.#weights, [
      ['', 'As stored'],
      ['8bit', '8 bits (about half the memory)'],
      ['4bit', '4 bits (about a third of the memory)'],
    ]);
    fill(this.#kv, [
      ['', 'As the model has them'],
      ['8bit', '8 bits (little more than half the memory of a conversation)'],
    ]);
    this.#again = textButton('retry', 'Load the current model this way', () => {
      if (this.#current) this.#choose(this.#current);
    });
    this.#dialog = makeDialog(
      'model',
      'Model',
      this.#loaded,
      section(
        'Bundled',
        'A small demonstration model (17 MB). It names drawn things, groceries, clothes and flags, and is often wrong.',
        textButton('box', `Use ${BUNDLED_NAME}`, () => this.#choose(BUNDLED)),
      ),
      section(
        'From this computer',
        'A folder with config.json, tokenizer.model and *.safetensors. It is read in slices; nothing is uploaded. You can also drop it on the page.',
        textButton('folder', 'Choose a folder', () => void this.#pickFolder()),
        this.#files,
      ),
      section('From the web', 'Read in parts and kept in this browser, so that it is downloaded once.', form),
      field('Run on', this.#backend),
      field('Weights', this.#weights),
      field('Keys and values (what it remembers of a conversation)', this.#kv),
      h('div', { class: 'row' }, this.#again),
      h('section', {}, h('h3', { text: 'Stored in this browser' }), this.#stored),
    );
  }

  /** With how the current model is run, and where it came from if there is one. */
  open(how: How, current: ModelSource | undefined): void {
    this.#current = current;
    this.#again.hidden = current === undefined;
    this.#loaded.textContent = current === undefined ? 'No model is loaded.' : `Loaded: ${nameOf(current)}`;
    this.#show(how);
    this.#dialog.showModal();
    void this.#list();
  }

  #show({ backend, weights, kv }: How): void {
    choose(this.#backend, backend);
    choose(this.#weights, weights ?? '');
    choose(this.#kv, kv ?? '');
  }

  /** Asks for a folder of this computer, to be loaded that way. */
  async pickFolder(how: How): Promise<void> {
    this.#show(how);
    await this.#pickFolder();
  }

  async #pickFolder(): Promise<void> {
    const picker = window as unknown as FolderPicker;
    if (!picker.showDirectoryPicker) {
      this.#files.click();
      return;
    }
    try {
      this.#choose(await picker.showDirectoryPicker());
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'AbortError')) this.#files.click();
    }
  }

  /** The address in the field; says there what is wrong with one that cannot be read. */
  #wanted(): string | undefined {
    try {
      const url = address(this.#url.value);
      checkReachable(url);
      return url;
    } catch (error) {
      this.#url.setCustomValidity(explain(error).advice);
      this.#url.reportValidity();
      return undefined;
    }
  }

  #choose(source: ModelSource): void {
    this.#dialog.close();
    // None of them has other choices than these.
    const backend = this.#backend.value as BackendName;
    const weights = (this.#weights.value || undefined) as WeightFormat | undefined;
    const kv = (this.#kv.value || undefined) as KvFormat | undefined;
    this.onChoose(source, { backend, weights, kv });
  }

  async #list(): Promise<void> {
    const models = await Monolens.stored();
    if (models.length === 0) {
      this.#showStored(h('p', { class: 'hint', text: 'Nothing is stored.' }));
      return;
    }
    const free = async (url?: string) => {
      await Monolens.free(url);
      await this.#list();
    };
    const current = this.#current;
    const loaded = typeof current === 'string' ? modelFolder(current, document.baseURI) : undefined;
    const items = models.map(({ url, bytes: size }) => {
      const button = textButton('close', 'Free', () => void free(url));
      button.setAttribute('aria-label', `Free ${url}`);
      const use = h('button', { class: 'link', text: shortUrl(url), attrs: { type: 'button', title: url } });
      use.addEventListener('click', () => this.#choose(url));
      const text = url === loaded ? `${bytes(size)}, loaded` : bytes(size);
      return h('li', {}, use, h('span', { class: 'size', text }), button);
    });
    const total = models.reduce((sum, model) => sum + model.bytes, 0);
    const all = h(
      'div',
      { class: 'row' },
      textButton('close', `Free all (${bytes(total)})`, () => void free()),
    );
    this.#showStored(h('ul', {}, ...items), all);
  }

  #showStored(...content: Node[]): void {
    const next = () => this.#stored.querySelector('button') ?? this.#url;
    keepFocus(() => this.#stored.replaceChildren(...content), next);
  }
}

/** A URL without what all of them have. */
function shortUrl(url: string): string {
  return url.replace(/^https?:\/\//, '').replace(/\/(resolve\/main\/)?$/, '');
}

function fill(select: HTMLSelectElement, options: readonly (readonly [value: string, text: string])[]): void {
  select.append(...options.map(([value, text]) => h('option', { text, attrs: { value } })));
}

/** Chooses `value`, which the page's address may have brought though it is none of the choices. */
function choose(select: HTMLSelectElement, value: string): void {
  if (![...select.options].some((option) => option.value === value)) fill(select, [[value, value]]);
  select.value = value;
}

function field(label: string, select: HTMLSelectElement): HTMLElement {
  return h('div', { class: 'field' }, h('label', { text: label, attrs: { for: select.id } }), select);
}

function section(title: string, text: string, ...content: Node[]): HTMLElement {
  return h('section', {}, h('h3', { text: title }), h('p', { class: 'hint', text }), ...content);
}
