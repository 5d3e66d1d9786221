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
    const launches = Object.entries(info.dispatches).map(([phase, count]) => `${phase} ${integer(count)}`);
    rows.push(
      ['Kernel launches', launches.join(', ') || '-'],
      ['Runs on', info.device.name],
      ['', info.device.reason],
      ['Tier', info.device.tier],
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

function selfTestText({ ok, device, cases }: SelfTest): string {
  return ok ? `passed, ${plural(cases.length, 'case')} on ${device}` : `FAILED on ${device}`;
}
