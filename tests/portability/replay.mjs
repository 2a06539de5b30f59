// Runs dispatches on Dawn for tests/common/dawn.rs, which says what goes through the pipes.
// Where WGBN_DAWN names a file, each variant that ran is noted there.
import { appendFileSync, readSync, writeSync } from "node:fs";
import { faults, open } from "./dawn.mjs";

const { device, name } = await open();
const pipelines = new Map();

function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const got = readSync(0, bytes, at, length - at);
    if (got === 0) process.exit(0);
    at += got;
  }
  return bytes;
}

function write(bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
}

function layoutEntry({ binding, type, texture, written }) {
  const entry = { binding, visibility: GPUShaderStage.COMPUTE };
  if (texture === undefined) {
    entry.buffer = { type };
  } else if (written) {
    entry.storageTexture = { access: "write-only", format: written };
  } else {
    entry.texture = { sampleType: "unfilterable-float" };
  }
  return entry;
}

async function pipelineOf({ label, source, constants, entries }) {
  const key = JSON.stringify([label, constants]);
  if (!pipelines.has(key)) {
    const layout = device.createBindGroupLayout({ entries: entries.map(layoutEntry) });
    const pipeline = await device.createComputePipelineAsync({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ label, code: source }), constants },
    });
    pipelines.set(key, { pipeline, layout });
  }
  return pipelines.get(key);
}

async function run(job, contents) {
  let at = 0;
  const next = (length) => contents.subarray(at, (at += length));
  const { COPY_SRC, COPY_DST, STORAGE, UNIFORM } = GPUBufferUsage;
  const buffers = job.buffers.map((size) => {
    const usage = STORAGE | UNIFORM | COPY_SRC | COPY_DST;
    const buffer = device.createBuffer({ size, usage });
    device.queue.writeBuffer(buffer, 0, next(size));
    return buffer;
  });
  const textures = job.textures.map(({ size, row, format, storage }) => {
    const { TEXTURE_BINDING, STORAGE_BINDING, COPY_SRC, COPY_DST } = GPUTextureUsage;
    const usage = TEXTURE_BINDING | COPY_SRC | COPY_DST | (storage ? STORAGE_BINDING : 0);
    const texture = device.createTexture({ size, format, usage });
    const pixels = next(row * size[1]);
    device.queue.writeTexture({ texture }, pixels, { bytesPerRow: row }, size);
    return texture;
  });

  const prepared = [];
  for (const dispatch of job.dispatches) {
    prepared.push({ ...dispatch, ...(await pipelineOf(dispatch)) });
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { pipeline, layout, entries, grid } of prepared) {
    pass.setPipeline(pipeline);
    const resource = ({ buffer, offset, size, texture }) =>
      texture === undefined
        ? { buffer: buffers[buffer], offset, size }
        : textures[texture].createView();
    const bound = entries.map((e) => ({ binding: e.binding, resource: resource(e) }));
    pass.setBindGroup(0, device.createBindGroup({ layout, entries: bound }));
    pass.dispatchWorkgroups(...grid);
  }
  pass.end();

  const copies = [];
  const copy = (size, record) => {
    const usage = GPUBufferUsage.MAP_READ | COPY_DST;
    const staging = device.createBuffer({ size, usage });
    record(staging);
    copies.push(staging);
  };
  buffers.forEach((buffer, k) => {
    const size = job.buffers[k];
    copy(size, (staging) => encoder.copyBufferToBuffer(buffer, 0, staging, 0, size));
  });
  const padded = ({ row }) => Math.ceil(row / 256) * 256;
  textures.forEach((texture, k) => {
    const { size } = job.textures[k];
    const bytesPerRow = padded(job.textures[k]);
    copy(bytesPerRow * size[1], (buffer) =>
      encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow }, size),
    );
  });
  device.queue.submit([encoder.finish()]);

  const results = [];
  for (const [k, staging] of copies.entries()) {
    await staging.mapAsync(GPUMapMode.READ);
    const bytes = Buffer.from(staging.getMappedRange().slice(0));
    const texture = job.textures[k - buffers.length];
    if (!texture) {
      results.push(bytes);
      continue;
    }
    for (let y = 0; y < texture.size[1]; y++) {
      results.push(bytes.subarray(y * padded(texture)).subarray(0, texture.row));
    }
  }
  [...buffers, ...textures, ...copies].forEach((resource) => resource.destroy());
  return Buffer.concat(results);
}

for (;;) {
  const job = JSON.parse(read(read(4).readUInt32LE()));
  const contents = read(job.bytes);
  let results = Buffer.alloc(0);
  const error = await faults(device, async () => {
    results = await run(job, contents);
  });
  if (process.env.WGBN_DAWN && !error) {
    const labels = [...new Set(job.dispatches.map(({ label }) => label))];
    appendFileSync(process.env.WGBN_DAWN, labels.map((l) => `${name}\t${l}\n`).join(""));
  }
  if (error) results = Buffer.alloc(0);
  const header = Buffer.from(JSON.stringify({ error, bytes: results.length }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  write(Buffer.concat([length, header, results]));
}
