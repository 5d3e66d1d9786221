/**
 * Every shader permutation through the browser's own compiler, which is stricter than naga in places. Pipelines are made
 * where they are used, in parity.spec.ts: a software device takes seconds for each.
 */
import { expect, test } from './lib/engine.ts';

/** Uses subgroups, which wgpu does not offer in browsers: compiled natively only. */
const NATIVE_ONLY = /\+lanes\b/;

for (const feature of ['none', 'shader-f16']) {
  test(`every shader compiles with the feature ${feature}`, async ({ enginePage }) => {
    const outcome = await enginePage.evaluate(
      async ({ feature, nativeOnly }) => {
        const harness = await import(new URL('/harness/monolens_browser_tests.js', location.href).href);
        await harness.default();
        // eslint-disable-next-line @typescript-eslint/no-explicit-any
        const adapter: any = await (navigator as any).gpu?.requestAdapter();
        if (!adapter) return { skipped: 'there is no WebGPU adapter' };
        if (feature !== 'none' && !adapter.features.has(feature)) return { skipped: `the adapter has no ${feature}` };
        const device = await adapter.requestDevice({ requiredFeatures: feature === 'none' ? [] : [feature] });
        const problems: string[] = [];
        let compiled = 0;
        for (const { name, code } of harness.shaders() as { name: string; code: string }[]) {
          if (new RegExp(nativeOnly).test(name)) continue;
          compiled += 1;
          device.pushErrorScope('validation');
          const module = device.createShaderModule({ label: name, code });
          const messages = (await module.getCompilationInfo()).messages.filter((m: { type: string }) => m.type === 'error');
          problems.push(...messages.map((m: { lineNum: number; message: string }) => `${name}:${m.lineNum}: ${m.message}`));
          const error = await device.popErrorScope();
          if (error && messages.length === 0) problems.push(`${name}: ${error.message}`);
        }
        device.destroy();
        return { compiled, problems };
      },
      { feature, nativeOnly: NATIVE_ONLY.source },
    );
    test.skip(feature !== 'none' && outcome.skipped !== undefined, `SKIPPED: ${outcome.skipped}`);
    expect(outcome.skipped, 'why nothing was compiled').toBeUndefined();
    console.log(`${outcome.compiled} shaders compiled with the feature ${feature}`);
    expect(outcome.problems).toEqual([]);
    expect(outcome.compiled).toBeGreaterThan(50);
  });
}
