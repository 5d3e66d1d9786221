/** `manifest.json` beside a model's files: sizes and hashes, so that nothing has to be asked for to be known. */
export interface Manifest {
  chunkBytes: number;
  files: Record<string, ManifestFile>;
}

export interface ManifestFile {
  size: number;
  sha256: string;
  /** SHA-256 of each chunk of `chunkBytes`, the last one shorter. */
  chunks: string[];
}

/** The manifest in `text`, or `undefined` where it is some other JSON or none: any folder may have such a file. */
export function parseManifest(text: string): Manifest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !isCount(value.chunkBytes) || value.chunkBytes === 0 || !isRecord(value.files)) {
    return undefined;
  }
  const files: Record<string, ManifestFile> = {};
  for (const [name, file] of Object.entries(value.files)) {
    if (!isRecord(file) || !isCount(file.size) || typeof file.sha256 !== 'string' || !Array.isArray(file.chunks)) {
      return undefined;
    }
    const chunks = file.chunks.filter((chunk): chunk is string => typeof chunk === 'string');
    if (chunks.length !== Math.ceil(file.size / value.chunkBytes)) return undefined;
    files[name] = { size: file.size, sha256: file.sha256, chunks };
  }
  return { chunkBytes: value.chunkBytes, files };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
