/**
 * The generated module in `src/wasm/` (`cargo xtask wasm`), under the name that `vite.config.ts` gives it. It is declared
 * here and not read from its own `.d.ts`, so that type checks and tests need no Rust.
 */
declare module 'monolens-wasm' {
  /** Fetches and compiles the wasm file beside the module. */
  export default function init(): Promise<unknown>;
  export const load: import('./engine/contract').WasmModule['load'];
}
