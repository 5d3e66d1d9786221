import type { Plugin } from 'vite';

/**
 * The page's Content-Security-Policy, as a `<meta>` because a static host may give no headers.
 *
 * - Scripts and styles come from the page's own folder only and none stand inline; `wasm-unsafe-eval` lets WebAssembly be
 *   compiled (and nothing else).
 * - `connect-src` is open to https, and to http on this machine, because a visitor may give the address of a model
 *   anywhere. The page by itself asks its own origin only.
 * - Pictures are the visitor's own: `blob:`.
 *
 * It is added to the built page only: the development server puts styles and scripts inline.
 */
const POLICY = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self' https: http://localhost:* http://127.0.0.1:*",
  "worker-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export function contentSecurityPolicy(): Plugin {
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY },
        injectTo: 'head-prepend',
      },
    ],
  };
}
