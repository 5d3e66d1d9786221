/** The examples of the READMEs, word for word, as a web developer would use them. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './lib/browser.ts';
import { example } from './lib/monolens-page.ts';
import { ask, ROOT } from './lib/native.ts';
import { hub } from './lib/hub.ts';
import { Site } from './lib/site.ts';

const QUESTION = 'What is this?';
const WEB = join(ROOT, 'web');
const PAGE = '<!doctype html><html lang="en"><title>Example</title>';

let folder = '';
let site: Site;
test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'monolens-readme-'));
});
test.afterEach(() => site.stop());
test.afterAll(() => rm(folder, { recursive: true }));

/** The first piece of code of a language that imports the library. */
async function exampleOf(readme: string, language: string): Promise<string> {
  const text = await readFile(join(ROOT, readme), 'utf8');
  const blocks = [...text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, code]) => code ?? '');
  const found = blocks.find((code) => code.includes("from 'monolens'"));
  if (found === undefined) throw new Error(`${readme} has no example in ${language}`);
  return found;
}

function run(command: string, args: string[], cwd: string): void {
  try {
    execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe', shell: process.platform === 'win32' });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')}:\n${stdout}${stderr}`, { cause: error });
  }
}

const tool = (name: string) => join(WEB, 'node_modules/.bin', name);

test.describe('the example of web/README.md', () => {
  // The published model is not at hand: the bundled one answers under its address.
  test.use({ hosts: ['huggingface.co'] });

  test('is typed, bundled and run from the package, and answers as the native command does', async ({ page }) => {
    const project = join(folder, 'project');
    await mkdir(join(project, 'src'), { recursive: true });
    await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    run('npm', ['pack', '--silent', '--pack-destination', project], WEB);
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', './monolens-0.1.0.tgz'], project);
    const code = await exampleOf('web/README.md', 'ts');
    expect(code.trim().split('\n').length).toBeLessThanOrEqual(20);
    await writeFile(join(project, 'src/example.ts'), code);
    const compilerOptions = { strict: true, noEmit: true, target: 'ES2022', lib: ['ES2022', 'DOM'], types: [] };
    for (const [module, moduleResolution] of [['ESNext', 'bundler'], ['NodeNext', 'NodeNext']]) {
      // Libraries are checked too: what their types do not find would silently be `any`.
      const options = { ...compilerOptions, module, moduleResolution, skipLibCheck: false };
      await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['src'] }));
      run(tool('tsc'), ['-p', '.'], project);
    }
    await writeFile(join(project, 'index.html'), `${PAGE}<script type="module" src="/src/example.ts"></script>`);
    run(tool('vite'), ['build', '--logLevel', 'warn'], project);
    await cp(example('rocket.png'), join(project, 'dist/cat.jpg'));
    site = await Site.start({ '/': join(project, 'dist') });
    const asked = await hub(page, 'OpenGVLab/Mono-InternVL-2B', join(WEB, 'dist/models/mono-tiny'));
    const stages = new Set<string>();
    page.on('console', (message) => stages.add(message.text().split(' ')[0] ?? ''));
    await page.goto(site.url);
    const native = ask(QUESTION, ['examples/rocket.png'], 'models/mono-tiny', '--weights', '4bit');
    await expect(page.locator('body')).toHaveText(native.answer);
    expect([...stages]).toEqual(expect.arrayContaining(['files', 'weights', 'programs']));
    expect(asked).toContain('model.safetensors');
  });
});

test('the example of README.md runs as it is, without a bundler', async ({ page }) => {
  const pages = join(folder, 'pages');
  await mkdir(pages);
  const map = JSON.stringify({ imports: { monolens: '/lib/monolens.js' } });
  const code = await exampleOf('README.md', 'js');
  const scripts = `<script type="importmap">${map}</script><script type="module">${code}</script>`;
  await writeFile(join(pages, 'index.html'), PAGE + scripts);
  await cp(example('guitar.png'), join(pages, 'cat.png'));
  site = await Site.start({ '/': pages, '/lib/': join(WEB, 'dist-lib'), '/models/': join(WEB, 'dist/models') });
  await page.goto(site.url);
  await expect(page.locator('body')).toHaveText(ask(QUESTION, ['examples/guitar.png']).answer);
});
