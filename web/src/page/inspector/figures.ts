import type { EngineStats, ModelInfo, SelfTest } from '../../lib';
import { h } from '../base/dom';
import { bytes, decodeRate, integer, parameters, plural, seconds } from '../base/format';
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
  if (answer && done) {
    rows.push(
      ['Time to first token', seconds(done.timeToFirstToken)],
      ['Tokens a second', decodeRate(done) ?? 'too few to tell'],
      ['Answer', answerText(answer)],
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
      ['Cache', `room for ${plural(stats.kvTokens, 'token')}`],
      ['', `${integer(stats.kvTokensCached)} kept, so that a follow-up does not compute them again`],
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

/** The tokens of the text, as the token sequence counts them; what ended it was computed too. */
function answerText({ tokens, stats }: AnswerTurn): string {
  const ended = stats !== undefined && stats.generatedTokens > tokens.length;
  return `${plural(tokens.length, 'token')}${ended ? ' and the end' : ''}`;
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
