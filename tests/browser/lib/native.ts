/** The native command, which the browser has to agree with. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface NativeAnswer {
  answer: string;
  ids: number[];
  stats: { prompt_tokens: number; visual_tokens: number; generated_tokens: number };
}

/** Asks the built `monolens` (greedy, on its CPU backend) about images; the model is the bundled one unless given. */
export function ask(question: string, images: string[], model?: string, ...more: string[]): NativeAnswer {
  const command = process.env['MONOLENS_CLI'];
  if (!command) throw new Error('MONOLENS_CLI: expected the path of the built `monolens`; `cargo xtask browser-tests` sets it');
  const paths = model === undefined ? images : [model, ...images];
  const args = ['run', ...paths, '-p', question, '--json', '--backend', 'cpu', ...more];
  return JSON.parse(execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })) as NativeAnswer;
}
