import type { Settings } from '../../lib';

/** What the visitor has set. What is absent is the model's default. */
export interface PageSettings extends Settings {
  system: string;
  /** Most tiles a picture is cut into. */
  maxTiles?: number;
}

export const NO_SETTINGS: PageSettings = { system: '' };
