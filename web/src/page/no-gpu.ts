import { h } from './base/dom';
import { withDetails } from './base/notices';

/** What to do where there is no WebGPU; the page works on the CPU meanwhile. */
export function gpuHelp(reason: string): HTMLElement {
  const steps: string[] = [];
  if (!isSecureContext)
    steps.push('Browsers give the GPU to secure pages only: open this page over https, or on localhost.');
  if ('gpu' in navigator) {
    steps.push(
      'The browser knows WebGPU but offers no GPU: turn on graphics acceleration in its settings and update the graphics driver.',
    );
  } else {
    steps.push(
      'Use Chrome or Edge 113 or later (Android: 121), Safari 26 or later, or Firefox 141 or later on Windows (macOS: 145).',
    );
  }
  const { userAgent } = navigator;
  if (/Linux/.test(userAgent) && !/Android/.test(userAgent)) {
    steps.push(
      /Firefox/.test(userAgent)
        ? 'In Firefox on Linux, set dom.webgpu.enabled to true in about:config and reload the page.'
        : 'On Linux, Chrome may need to be started with --enable-unsafe-webgpu, or chrome://flags/#enable-unsafe-webgpu.',
    );
  }
  return withDetails(
    'Running on the CPU: how to use the GPU',
    'The small model answers all the same; large ones need a GPU.',
    h('ul', {}, ...steps.map((text) => h('li', { text }))),
    h('p', { class: 'hint', text: reason }),
  );
}
