// See begun.rs. The worker that this runs in is the engine's own, so nobody else sees the changed method.

/** Compiled and not yet fetched: by device, by label. */
const made = new WeakMap();
/** Those under way; undefined while pipelines are made the usual way. */
let underWay;
let changed = false;

function change() {
  if (changed) return;
  changed = true;
  const usual = GPUDevice.prototype.createComputePipeline;
  GPUDevice.prototype.createComputePipeline = function createComputePipeline(descriptor) {
    const mine = made.get(this) ?? new Map();
    made.set(this, mine);
    const { label } = descriptor;
    if (underWay !== undefined) {
      const promise = this.createComputePipelineAsync(descriptor);
      // Of what fails the usual way tells why.
      underWay.push(promise.then((pipeline) => mine.set(label, pipeline), () => undefined));
      return undefined;
    }
    const pipeline = mine.get(label);
    mine.delete(label);
    return pipeline ?? usual.call(this, descriptor);
  };
}

export function begin() {
  change();
  underWay = [];
}

export function begun() {
  const all = Promise.all(underWay);
  underWay = undefined;
  return all;
}
