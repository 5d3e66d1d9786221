/** Pictures and model folders that are dropped or pasted anywhere on the page. */
import { byId } from '../base/dom';

export interface InputActions {
  pictures(files: File[]): void;
  model(files: File[] | FileSystemDirectoryHandle): void;
}

type HandleItem = DataTransferItem & { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> };

export function listenForPictures(actions: InputActions): void {
  const hint = byId('drop-hint');
  let depth = 0;
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  const show = (on: boolean) => {
    hint.hidden = !on;
  };
  document.addEventListener('dragenter', (event) => {
    if (!carriesFiles(event)) return;
    depth++;
    show(true);
  });
  document.addEventListener('dragleave', (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    show(depth > 0);
  });
  document.addEventListener('dragover', (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  document.addEventListener('drop', (event) => {
    depth = 0;
    show(false);
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    void dropped(event.dataTransfer, actions);
  });
  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(isPicture);
    if (files.length === 0) return;
    event.preventDefault();
    actions.pictures(files);
  });
}

async function dropped(data: DataTransfer, actions: InputActions): Promise<void> {
  // The items are gone after the event, so all of them are asked for before anything is awaited.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry());
  const handles = [...data.items].map((item) => (item as HandleItem).getAsFileSystemHandle?.());
  const files = [...data.files];
  const folder = entries.findIndex((entry) => entry?.isDirectory);
  if (folder >= 0) {
    const handle = await handles[folder];
    const entry = entries[folder];
    if (handle?.kind === 'directory') actions.model(handle as FileSystemDirectoryHandle);
    else if (entry) actions.model(await filesIn(entry as FileSystemDirectoryEntry));
    return;
  }
  if (files.some((file) => file.name === 'config.json' || file.name.endsWith('.safetensors'))) actions.model(files);
  else actions.pictures(files);
}

function isPicture(file: File): boolean {
  return file.type.startsWith('image/');
}

/** The files of a dropped folder, for browsers without file system handles. */
async function filesIn(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    // A reader gives a folder's entries in portions, and an empty one at the end.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return files;
    for (const entry of entries) {
      if (!entry.isFile) continue;
      files.push(await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)));
    }
  }
}
