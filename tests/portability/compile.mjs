// Compiles every .wgsl file of a folder on Dawn, down to pipelines, and prints what came of it as
// JSON.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { faults, open } from "./dawn.mjs";

const folder = process.argv[2];
// All that constants switch on; what tests run has the rest.
const FULL = { WORKGROUP: 64, ACTIVATION: 6, RESIDUAL: 1, DRESIDUAL: 1, IN_PLACE: 1, HELD: 8, BFLOAT: 1 };

function constantsOf(code) {
  const declared = Object.entries(FULL).filter(([name]) => code.includes(`override ${name}:`));
  return Object.fromEntries(declared);
}

async function compile(device, file, code) {
  const module = device.createShaderModule({ label: file, code });
  const { messages } = await module.getCompilationInfo();
  const worst = messages.filter(({ type }) => type !== "info");
  if (worst.length) {
    throw new Error(worst.map((m) => `${m.type}, line ${m.lineNum}: ${m.message}`).join("\n"));
  }
  const constants = constantsOf(code);
  if (file.startsWith("render_")) {
    const format = file.includes("half") ? "rgba16float" : "rgba8unorm";
    await device.createRenderPipelineAsync({
      layout: "auto",
      vertex: { module, entryPoint: "cover" },
      fragment: { module, entryPoint: "shade", constants, targets: [{ format }] },
    });
  } else {
    await device.createComputePipelineAsync({ layout: "auto", compute: { module, constants } });
  }
}

const answer = { compiled: [], failures: [] };
try {
  const { device, name } = await open();
  answer.name = name;
  for (const file of readdirSync(folder).filter((f) => f.endsWith(".wgsl")).sort()) {
    const code = readFileSync(join(folder, file), "utf8");
    const error = await faults(device, () => compile(device, file, code));
    if (error) answer.failures.push(`${file}: ${error}`);
    else answer.compiled.push(file);
  }
} catch (error) {
  answer.missing = error.message;
}
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
