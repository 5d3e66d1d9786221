/** Light or dark: the system's choice until the visitor makes one. */
const KEY = 'monolens-theme';

export function startTheme(): void {
  apply(localStorageGet(KEY));
}

export function toggleTheme(): void {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const next = dark ? 'light' : 'dark';
  localStorageSet(KEY, next);
  apply(next);
}

function apply(theme: string | undefined): void {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}

/** `localStorage` throws where the visitor has forbidden it. */
export function localStorageGet(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

export function localStorageSet(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then the choice holds for this visit only.
  }
}
