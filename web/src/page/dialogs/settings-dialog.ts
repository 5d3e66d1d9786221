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
  { name: 'topP', label: 'Top p', min: 0.01, max: 1, step: 'any', help: 'share of probability to draw from' },
  { name: 'topK', label: 'Top k', min: 0, step: 1, help: 'candidates to draw from; 0: all' },
  { name: 'repetitionPenalty', label: 'Repetition penalty', min: 0.1, max: 5, step: 'any', help: '1: none' },
  { name: 'maxNewTokens', label: 'Longest answer', min: 1, step: 1, help: 'tokens' },
  { name: 'seed', label: 'Seed', min: 0, step: 1, help: 'the same seed draws the same answer' },
  { name: 'maxTiles', label: 'Most tiles a picture', min: 1, step: 1, help: 'fewer tiles: less detail, less memory' },
];

/**
 * System prompt and sampling. Empty fields are the model's defaults, which stand in them in grey. What is out of range stays to
 * be seen and mended, says what is expected, and the default is used instead.
 */
export class SettingsDialog {
  #dialog: HTMLDialogElement;
  #system = h('textarea', { attrs: { id: 'set-system', rows: 3 } });
  #keepTags = h('input', { attrs: { type: 'checkbox', id: 'set-tags' } });
  #inputs = new Map<NumberName, { input: HTMLInputElement; help: HTMLElement; field: NumberField }>();

  constructor(private readonly onChange: (settings: PageSettings) => void) {
    const fields = FIELDS.map((field) => {
      const { name, label, min, max, step } = field;
      const id = `set-${name}`;
      const attrs = { id, type: 'number', min, max, step, inputmode: 'decimal', 'aria-describedby': `${id}-help` };
      const input = h('input', { attrs });
      const help = h('small', { attrs: { id: `${id}-help`, 'aria-live': 'polite' } });
      this.#inputs.set(name, { input, help, field });
      return h('div', { class: 'field' }, h('label', { text: label, attrs: { for: id } }), input, help);
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
      for (const { input } of this.#inputs.values()) input.value = '';
      // What the visitor wrote is no number to be reset.
      const settings = { ...NO_SETTINGS, system: this.#system.value };
      this.#write(settings);
      this.onChange(settings);
    });
    this.#dialog = makeDialog('settings', 'Settings', form, h('div', { class: 'row' }, defaults));
  }

  open(settings: PageSettings, info: ModelInfo | undefined): void {
    this.#write(settings);
    for (const [name, { input }] of this.#inputs) {
      const value = name === 'maxTiles' ? info?.maxTiles : info?.defaults[name];
      input.placeholder = value === undefined ? '' : String(Math.round(value * 1000) / 1000);
    }
    this.#dialog.showModal();
  }

  #write(settings: PageSettings): void {
    this.#system.value = settings.system;
    this.#keepTags.checked = settings.keepTags ?? false;
    for (const [name, { input }] of this.#inputs) {
      // What was not taken is no setting; it stays where it was typed.
      if (settings[name] !== undefined) input.value = String(settings[name]);
      else if (input.validity.valid) input.value = '';
      this.#tell(name);
    }
  }

  /** Says what a field is for, or what is wrong with what is in it. */
  #tell(name: NumberName): void {
    const row = this.#inputs.get(name);
    if (!row) return;
    const { input, help, field } = row;
    const { valid } = input.validity;
    input.setAttribute('aria-invalid', String(!valid));
    const text = valid ? field.help : `Not used: ${expected(field)} is needed. The model's default is used instead.`;
    // What is said again is read out again.
    if (help.textContent !== text) help.textContent = text;
  }

  #read(): PageSettings {
    const settings: PageSettings = { system: this.#system.value };
    if (this.#keepTags.checked) settings.keepTags = true;
    for (const [name, { input }] of this.#inputs) {
      this.#tell(name);
      if (input.value !== '' && input.validity.valid) settings[name] = input.valueAsNumber;
    }
    return settings;
  }
}

function expected({ min, max, step }: NumberField): string {
  const number = step === 1 ? 'a whole number' : 'a number';
  return max === undefined ? `${number}, ${min} or more,` : `${number} from ${min} to ${max}`;
}
