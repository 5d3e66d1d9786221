import { notify } from './notices';

/** Puts text on the clipboard, or says that the browser does not allow it (pages over plain http have none). */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    notify('copy', 'warning', 'The browser did not let the page copy. Select the text and copy it yourself.');
    return false;
  }
}
