// Looks for a WebGPU device in a process of its own, where even a crash of a driver is only an
// answer, and prints what it found as one JSON line.

/** @type {string} not a literal, because the types of an optional package may be missing */
const name = 'webgpu';
const { create } = await import(name);
const adapter = await create([]).requestAdapter();
const { description, device, isFallbackAdapter } = adapter?.info ?? {};
console.log(JSON.stringify({ device: description || device, software: isFallbackAdapter }));
