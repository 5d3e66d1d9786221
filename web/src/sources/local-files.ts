import type { ModelFiles } from '../engine/contract';
import { MonolensError } from '../lib/errors';

/** A model in files that the visitor chose or dropped. They are read in slices and go nowhere. */
export class LocalFiles implements ModelFiles {
  readonly #files: Map<string, File>;

  constructor(files: Iterable<File>) {
    this.#files = modelFolderOf([...files]);
  }

  async size(name: string): Promise<number | undefined> {
    return this.#files.get(name)?.size;
  }

  async read(name: string, from: number, to: number): Promise<Uint8Array> {
    const file = this.#files.get(name);
    if (!file) throw new MonolensError('not-found', `${name} is not among the files`);
    if (to > file.size) throw new MonolensError('wrong-size', `${name} ends at byte ${file.size}, before ${to}`);
    try {
      return new Uint8Array(await file.slice(from, to).arrayBuffer());
    } catch (error) {
      // The file was changed or removed since it was chosen.
      throw new MonolensError('read-failed', `${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

/** The files beside the uppermost `config.json`, by their names. */
function modelFolderOf(files: File[]): Map<string, File> {
  const path = (file: File) => file.webkitRelativePath || file.name;
  const depth = (file: File) => path(file).split('/').length;
  const configs = files.filter((file) => file.name === 'config.json').sort((a, b) => depth(a) - depth(b));
  const [config] = configs;
  if (!config) throw new MonolensError('not-found', 'there is no config.json among the files');
  const folder = path(config).slice(0, -'config.json'.length);
  const inFolder = files.filter((file) => path(file).startsWith(folder));
  return new Map(inFolder.map((file) => [path(file).slice(folder.length), file]));
}

/** The files that lie directly in a folder, without reading them. */
export async function filesOf(directory: FileSystemDirectoryHandle): Promise<File[]> {
  const files: File[] = [];
  for await (const entry of directory.values()) {
    // Not the folders in it: model folders are flat, and a folder chosen by mistake may be huge.
    if (entry.kind === 'file') files.push(await (entry as FileSystemFileHandle).getFile());
  }
  return files;
}
