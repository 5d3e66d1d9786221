import type { EngineStats, ModelInfo, SelfTest } from '../../lib';
import { h } from '../base/dom';
import { bytes, integer, parameters, perSecond, plural, seconds } from '../base/format';
import type { AnswerTurn } from '../chat/conversation';

/** What became of the self-test: a result, that it runs, or that there is none and why. */
export type SelfTestState = { result: SelfTest } | { text: string };

interface Facts {
  info: ModelInfo | undefined;
  stats: EngineStats | undefined;
  answer: AnswerTurn | undefined;
  selfTest: SelfTestState;
}

/** The small panel of figures. */
export function figures({ info, stats, answer, selfTest }: Facts): HTMLElement {
  const rows: [string, string | undefined][] = [];
  const done = answer?.stats;
  if (done) {
    rows.push(
      ['Time to first token', seconds(done.timeToFirstToken)],
      ['Tokens a second', done.decodeSeconds > 0 ? perSecond(done.generatedTokens / done.decodeSeconds) : '-'],
      ['Answer', plural(done.generatedTokens, 'token')],
      ['Prompt', `${plural(done.promptTokens, 'token')}, ${integer(done.visualTokens)} visual`],
      ['Reused', `${plural(done.reusedTokens, 'token')}, ${integer(done.prefilledTokens)} computed`],
      ['Tiles encoded', integer(done.tilesEncoded)],
    );
  }
  if (stats) {
    const { weights, states, activations } = stats.memory;
    rows.push(
      ['Memory', bytes(weights + states + activations)],
      ['', `weights ${bytes(weights)}, cache ${bytes(states)}, work ${bytes(activations)}`],
      ['WASM memory', bytes(stats.wasmBytes)],
      ['Tokens kept', `${integer(stats.kvTokensCached)} of ${integer(stats.kvTokens)}`],
    );
  }
  if (info) {
    rows.push(
      ...deviceRows(info),
      ['Model', `${parameters(info.parameters)} parameters, ${plural(info.layers, 'layer')}`],
      ['Context', plural(info.context, 'token')],
    );
  }
  rows.push(['Self-test', 'result' in selfTest ? selfTestText(selfTest.result) : selfTest.text]);
  const list = h('dl', { class: 'figures' });
  for (const [name, value] of rows) {
    if (!value) continue;
    if (name === '') list.lastElementChild?.append(h('small', { text: value }));
    else list.append(h('dt', { text: name }), h('dd', { text: value }));
  }
  return list;
}

/** What computes. A GPU launches kernels at a capability tier; the CPU goes through fused operators with its instructions. */
function deviceRows({ device, dispatches }: ModelInfo): [string, string][] {
  const steps = Object.entries(dispatches).map(([phase, count]) => `${phase} ${integer(count)}`);
  const counts = steps.join(', ') || '-';
  const where: [string, string][] = [
    ['Runs on', device.name],
    ['', device.reason],
  ];
  if (device.kind === 'wgpu') return [['Kernel launches', counts], ...where, ['Tier', device.tier]];
  return [['Operators', counts], ...where, ['Instructions', device.tier], ['', device.detail]];
}

function selfTestText({ ok, device, cases }: SelfTest): string {
  return ok ? `passed, ${plural(cases.length, 'case')} on ${device}` : `FAILED on ${device}`;
}
