/** The part of the browser's private file system that the store uses, in memory. */

export class FakeFile {
  readonly kind = 'file';
  bytes = new Uint8Array();

  constructor(
    readonly name: string,
    private readonly disk: Disk,
  ) {}

  async getFile(): Promise<File> {
    return new File([this.bytes], this.name);
  }

  async createSyncAccessHandle() {
    return {
      truncate: (size: number) => {
        this.bytes = this.bytes.slice(0, size);
      },
      write: (part: Uint8Array, { at }: { at: number }) => {
        if (this.disk.used() + part.length > this.disk.quota) throw new DOMException('full', 'QuotaExceededError');
        const grown = new Uint8Array(Math.max(this.bytes.length, at + part.length));
        grown.set(this.bytes);
        grown.set(part, at);
        this.bytes = grown;
        return part.length;
      },
      flush: () => undefined,
      close: () => undefined,
    };
  }
}

class Disk {
  quota = Number.POSITIVE_INFINITY;
  files = new Set<FakeFile>();

  used(): number {
    return [...this.files].reduce((sum, file) => sum + file.bytes.length, 0);
  }
}

export class FakeDirectory {
  readonly kind = 'directory';
  entries_ = new Map<string, FakeFile | FakeDirectory>();

  constructor(
    readonly name = '',
    readonly disk = new Disk(),
  ) {}

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeDirectory> {
    let entry = this.entries_.get(name);
    if (!entry && create) {
      entry = new FakeDirectory(name, this.disk);
      this.entries_.set(name, entry);
    }
    if (!(entry instanceof FakeDirectory)) throw new DOMException(name, 'NotFoundError');
    return entry;
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FakeFile> {
    let entry = this.entries_.get(name);
    if (!entry && create) {
      entry = new FakeFile(name, this.disk);
      this.disk.files.add(entry);
      this.entries_.set(name, entry);
    }
    if (!(entry instanceof FakeFile)) throw new DOMException(name, 'NotFoundError');
    return entry;
  }

  async removeEntry(name: string): Promise<void> {
    const entry = this.entries_.get(name);
    if (!entry) throw new DOMException(name, 'NotFoundError');
    if (entry instanceof FakeFile) this.disk.files.delete(entry);
    else for (const inner of [...entry.entries_.keys()]) await entry.removeEntry(inner);
    this.entries_.delete(name);
  }

  async *values(): AsyncGenerator<FakeFile | FakeDirectory> {
    yield* [...this.entries_.values()];
  }

  /** As the type that the code under test expects. */
  handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }
}
