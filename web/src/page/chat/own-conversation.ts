/** Which conversation is this tab's. Two tabs that had the same one would overwrite each other's words. */
import { FIRST } from './saved';

const KEY = 'monolens-conversation';
/** So long, in milliseconds, a reloaded page waits for its lock: the page that it was before may still hold it. */
const RELOAD_MS = 2000;

export interface Own {
  /** Its database. */
  name: string;
  /** Whether it is another one because a tab has the first. */
  elsewhere: boolean;
}

/**
 * Takes a conversation that no other tab has, until the page is closed: the one that this tab had before, else the first
 * that is free. Pages over plain http have no locks; there all tabs have the first one.
 */
export async function ownConversation(locks: LockManager | undefined = navigator.locks): Promise<Own> {
  if (!locks) return { name: FIRST, elsewhere: false };
  const before = tabsOwn();
  if (before && (await take(locks, before, isReload() ? RELOAD_MS : 0))) return { name: before, elsewhere: false };
  for (let number = 1; ; number++) {
    const name = number === 1 ? FIRST : `${FIRST}-${number}`;
    if (!(await take(locks, name, 0))) continue;
    remember(name);
    return { name, elsewhere: number > 1 };
  }
}

function remember(name: string): void {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // Forbidden by the visitor: then the tab may find another one after a reload.
  }
}

function tabsOwn(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

/** A tab that is duplicated has the same memory, but is not reloaded. */
function isReload(): boolean {
  const [navigation] = performance.getEntriesByType('navigation');
  return (navigation as PerformanceNavigationTiming | undefined)?.type === 'reload';
}

/** Takes a lock for as long as the page lives; waits for it at most so many milliseconds. */
function take(locks: LockManager, name: string, wait: number): Promise<boolean> {
  const options: LockOptions = wait > 0 ? { signal: AbortSignal.timeout(wait) } : { ifAvailable: true };
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise<void>(() => undefined);
    };
    locks.request(`conversation ${name}`, options, hold).catch(() => resolve(false));
  });
}
