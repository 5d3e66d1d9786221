/** The operator cases of the native parity test, in the browser: WebGPU against the CPU reference in WebAssembly. */
import { expect, test } from './lib/engine.ts';

/** Fewer than natively, each way of storing weights once: a run crosses to the GPU process and back several times. */
const CASES = 5;

for (const tier of ['baseline', 'half']) {
  for (const fused of [true, false]) {
    if (tier !== 'baseline' && !fused) continue;
    test(`operators at tier ${tier}, ${fused ? 'fused' : 'plain'}`, async ({ enginePage }) => {
      const outcome = await enginePage.evaluate(
        async ({ tier, fused, cases }) => {
          const harness = await import(new URL('/harness/monolens_browser_tests.js', location.href).href);
          await harness.default();
          return harness.parity(tier, fused, cases);
        },
        { tier, fused, cases: CASES },
      );
      test.skip(tier !== 'baseline' && outcome.skipped !== undefined, `SKIPPED: ${outcome.skipped}`);
      expect(outcome.skipped, 'why nothing was run').toBeUndefined();
      console.log(`${outcome.device}: ${CASES} cases an operator, worst share of the allowed error:`);
      for (const [operator, share] of outcome.operators) console.log(`  ${operator.padEnd(24)} ${(share * 100).toPrecision(2)} %`);
      expect(outcome.failures).toEqual([]);
      expect(outcome.operators.length).toBeGreaterThan(20);
    });
  }
}
