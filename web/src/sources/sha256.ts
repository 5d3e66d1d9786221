/**
 * SHA-256 as hexadecimal. Browsers give `crypto.subtle` to secure pages only (https, localhost); a page served over plain
 * http in a local network still has to check what it downloads, so there is a slow one of our own beside it.
 */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (globalThis.crypto?.subtle) return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  return sha256Slow(bytes);
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const word = (value: number) => value >>> 0;
const rotate = (x: number, by: number) => (x >>> by) | (x << (32 - by));

/** The first 64 primes' cube roots' and the first 8 primes' square roots' fractions, as FIPS 180-4 defines the constants. */
const PRIMES = (() => {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p !== 0)) primes.push(n);
  return primes;
})();
const fraction = (x: number) => word((x - Math.floor(x)) * 2 ** 32);
const K = PRIMES.map((p) => fraction(Math.cbrt(p)));
const INITIAL = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));

export function sha256Slow(bytes: Uint8Array): string {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, word(bytes.length << 3));
  const state = Int32Array.from(INITIAL);
  const w = new Int32Array(64);
  const k = Int32Array.from(K);
  for (let at = 0; at < padded.length; at += 64) block(state, w, k, view, at);
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((value, i) => {
    out.setInt32(i * 4, value);
  });
  return hex(new Uint8Array(out.buffer));
}

function block(state: Int32Array, w: Int32Array, k: Int32Array, view: DataView, at: number): void {
  const at32 = (array: Int32Array, i: number) => array[i] as number;
  for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + i * 4);
  for (let i = 16; i < 64; i++) {
    const x = at32(w, i - 15);
    const y = at32(w, i - 2);
    const s0 = rotate(x, 7) ^ rotate(x, 18) ^ (x >>> 3);
    const s1 = rotate(y, 17) ^ rotate(y, 19) ^ (y >>> 10);
    w[i] = at32(w, i - 16) + s0 + at32(w, i - 7) + s1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + at32(k, i) + at32(w, i)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => {
    state[i] = at32(state, i) + value;
  });
}
