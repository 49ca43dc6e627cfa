/** Makes the batches that its parent asks for by the number of a step, in a thread of its own. */
import { workerData } from 'node:worker_threads';
import { type BatchThreadData, batchMaker } from './batches.js';

const { plan, port, made } = workerData as BatchThreadData;
const make = batchMaker(plan);
port.on('message', (step: number) => {
  const batch = make(step);
  const buffers = [batch.images, batch.classes].flatMap((array) => array?.buffer ?? []);
  port.postMessage(batch, buffers as ArrayBuffer[]);
  Atomics.add(made, 0, 1);
  Atomics.notify(made, 0);
});
