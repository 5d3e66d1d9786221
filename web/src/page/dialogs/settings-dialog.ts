import type { ModelInfo } from '../../lib';
import { h } from '../base/dom';
import { textButton } from '../base/icons';
import { NO_SETTINGS, type PageSettings } from '../base/settings';
import { makeDialog } from './dialog';

type NumberName = 'temperature' | 'topP' | 'topK' | 'repetitionPenalty' | 'maxNewTokens' | 'seed' | 'maxTiles';

interface NumberField {
  name: NumberName;
  label: string;
  min: number;
  max?: number;
  step: number | 'any';
  help: string;
}

const FIELDS: NumberField[] = [
  { name: 'temperature', label: 'Temperature', min: 0, max: 5, step: 'any', help: '0: always the likeliest token' },
  { name: 'topP', label: 'Top p', min: 0, max: 1, step: 'any', help: 'share of probability to draw from' },
  { name: 'topK', label: 'Top k', min: 0, step: 1, help: 'candidates to draw from; 0: all' },
  { name: 'repetitionPenalty', label: 'Repetition penalty', min: 0.1, max: 5, step: 'any', help: '1: none' },
  { name: 'maxNewTokens', label: 'Longest answer', min: 1, step: 1, help: 'tokens' },
  { name: 'seed', label: 'Seed', min: 0, step: 1, help: 'the same seed draws the same answer' },
  { name: 'maxTiles', label: 'Most tiles a picture', min: 1, step: 1, help: 'fewer tiles: less detail, less memory' },
];

/** System prompt and sampling. Empty fields are the model's defaults, which stand in them in grey. */
export class SettingsDialog {
  #dialog: HTMLDialogElement;
  #system = h('textarea', { attrs: { id: 'set-system', rows: 3 } });
  #keepTags = h('input', { attrs: { type: 'checkbox', id: 'set-tags' } });
  #inputs = new Map<NumberName, HTMLInputElement>();

  constructor(private readonly onChange: (settings: PageSettings) => void) {
    const fields = FIELDS.map(({ name, label, min, max, step, help }) => {
      const id = `set-${name}`;
      const attrs = { id, type: 'number', min, max, step, inputmode: 'decimal', 'aria-describedby': `${id}-help` };
      const input = h('input', { attrs });
      this.#inputs.set(name, input);
      return h(
        'div',
        { class: 'field' },
        h('label', { text: label, attrs: { for: id } }),
        input,
        h('small', { text: help, attrs: { id: `${id}-help` } }),
      );
    });
    const system = h(
      'div',
      { class: 'field wide' },
      h('label', { text: 'System prompt', attrs: { for: 'set-system' } }),
      this.#system,
      h('small', { text: "Empty: the model's own" }),
    );
    const tags = h('label', { class: 'check' }, this.#keepTags, 'Show <ref> and <box> tags of grounding answers');
    const form = h('form', { class: 'fields', attrs: { novalidate: true } }, system, ...fields, tags);
    form.addEventListener('input', () => this.onChange(this.#read()));
    form.addEventListener('submit', (event) => event.preventDefault());
    const defaults = textButton('retry', "Model's defaults", () => {
      this.#write({ ...NO_SETTINGS });
      this.onChange({ ...NO_SETTINGS });
    });
    this.#dialog = makeDialog('settings', 'Settings', form, h('div', { class: 'row' }, defaults));
  }

  open(settings: PageSettings, info: ModelInfo | undefined): void {
    this.#write(settings);
    for (const [name, input] of this.#inputs) {
      const value = name === 'maxTiles' ? info?.maxTiles : info?.defaults[name];
      input.placeholder = value === undefined ? '' : String(Math.round(value * 1000) / 1000);
    }
    this.#dialog.showModal();
  }

  #write(settings: PageSettings): void {
    this.#system.value = settings.system;
    this.#keepTags.checked = settings.keepTags ?? false;
    for (const [name, input] of this.#inputs) input.value = settings[name] === undefined ? '' : String(settings[name]);
  }

  #read(): PageSettings {
    const settings: PageSettings = { system: this.#system.value };
    if (this.#keepTags.checked) settings.keepTags = true;
    for (const [name, input] of this.#inputs) {
      // What is out of range counts as absent; the field shows that it is not taken.
      const taken = input.value !== '' && input.validity.valid;
      input.setAttribute('aria-invalid', String(input.value !== '' && !taken));
      if (taken) settings[name] = input.valueAsNumber;
    }
    return settings;
  }
}
