import { expect, it } from 'vitest';
import { params } from '../src/page/base/params';

it('what the address says is used', () => {
  const given = '?model=models/x/&backend=wgpu&tier=half&weights=4bit-g32&kv=8bit&context=512&software=1&selftest=0';
  expect(params(given)).toEqual({
    model: 'models/x/',
    selfTest: false,
    options: { backend: 'wgpu', tier: 'half', weights: '4bit-g32', kv: '8bit', context: 512, allowSoftware: true },
    refused: [],
  });
  expect(params('')).toEqual({ model: undefined, selfTest: true, options: {}, refused: [] });
  expect(params('?utm_source=x&weights=')).toEqual(params(''));
});

it.each([
  ['?weights=3bit', '"weights=3bit" (expected 8bit or 4bit, perhaps with a group of 32 to 1024 (4bit-g32))'],
  ['?kv=1bit', '"kv=1bit" (expected 8bit, bf16 or f32)'],
  ['?backend=foo', '"backend=foo" (expected auto, wgpu or cpu)'],
  ['?tier=best', '"tier=best" (expected baseline, half, subgroups or matrix)'],
  ['?context=abc', '"context=abc" (expected a whole number over 0)'],
  ['?context=5', '"context=5" (expected 64 or more)'],
  ['?context=999999999', '"context=999999999" (expected 16777216 or fewer)'],
  ['?selftest=maybe', '"selftest=maybe" (expected 0 or 1)'],
  ['?Backend=cpu', '"Backend=cpu" (expected the name backend)'],
])('what it says wrongly (%s) is told and not used', (search, told) => {
  expect(params(`${search}&software=1`)).toMatchObject({ options: { allowSoftware: true }, refused: [told] });
  expect(Object.keys(params(search).options)).toEqual([]);
});

it('of what it says twice the first counts, and that is told', () => {
  const given = params('?weights=4bit&weights=8bit&software=yes');
  expect(given.options).toEqual({ weights: '4bit' });
  expect(given.refused).toEqual(['"software=yes" (expected 0 or 1)', 'a second "weights"']);
});
