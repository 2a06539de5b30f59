// Dawn, the WebGPU of Chromium, in Node: a device as a browser gives it.
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
// Dawn ends with this object, so it must outlive every device.
globalThis.dawn = create([]);

export async function open() {
  const adapter = await globalThis.dawn.requestAdapter();
  if (!adapter) throw new Error("Dawn finds no adapter");
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
  const device = await adapter.requestDevice({ requiredLimits });
  const { device: name, description } = adapter.info;
  return { device, name: `Dawn on ${description || name}` };
}

// What Dawn has against what `work` does, as one text; null where it has nothing.
export async function faults(device, work) {
  device.pushErrorScope("validation");
  device.pushErrorScope("internal");
  device.pushErrorScope("out-of-memory");
  let thrown = null;
  try {
    await work();
  } catch (error) {
    thrown = error;
  }
  const all = [thrown];
  for (let k = 0; k < 3; k++) all.push(await device.popErrorScope());
  const messages = all.filter((error) => error).map((error) => error.message);
  return messages.length ? messages.join("\n") : null;
}
