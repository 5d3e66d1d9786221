import { MonolensError } from '../lib/errors';
import { HttpFiles, type SourceProgress } from '../sources/http-files';
import { filesOf, LocalFiles } from '../sources/local-files';
import { openModels, openStore } from '../sources/opfs-store';
import type { ModelFiles } from './contract';
import type { PageMethods, Source } from './messages';
import type { Peer } from './peer';

/** A source of files, and how to cancel what it does and to ask why it failed. */
export interface OpenSource {
  files: ModelFiles;
  /** Set while loading; afterwards nobody may cancel. */
  setSignal(signal: AbortSignal | undefined): void;
  /** The typed error of the last failed read: the engine passes on its message only. */
  lastError(): MonolensError | undefined;
}

export async function openSource(
  source: Source,
  page: Peer<PageMethods>,
  onProgress: (progress: SourceProgress) => void,
): Promise<OpenSource> {
  if (source.kind === 'url') {
    const models = source.cache ? await openModels() : undefined;
    // Storage that fails to open is as good as none.
    const store = models ? await openStore(models, source.url).catch(() => undefined) : undefined;
    const files = new HttpFiles(source.url, { store, onProgress });
    const setSignal = (signal: AbortSignal | undefined) => {
      files.signal = signal;
    };
    return remembering(files, setSignal);
  }
  const files: ModelFiles =
    source.kind === 'files'
      ? new LocalFiles(source.files)
      : source.kind === 'directory'
        ? new LocalFiles(await filesOf(source.directory))
        : {
            size: (name) => page.call('size', { name }),
            read: (name, from, to) => page.call('read', { name, from, to }),
          };
  return remembering(files, () => undefined);
}

function remembering(inner: ModelFiles, setSignal: OpenSource['setSignal']): OpenSource {
  let last: MonolensError | undefined;
  const remember = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (error instanceof MonolensError) last = error;
      throw error;
    }
  };
  return {
    files: {
      size: (name) => remember(inner.size(name)),
      read: (name, from, to) => remember(inner.read(name, from, to)),
    },
    setSignal,
    lastError: () => last,
  };
}
