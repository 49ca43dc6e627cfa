import { expect, test } from 'vitest';
import { drive, prepare, shown } from '../../packages/kernel/test/drive.mjs';

test('the notebook kernel shows the library’s values and hints, stops trainings and clears what is shown', async () => {
  const { folder, env, remove } = prepare('views');
  try {
    const { results } = await drive(
      [
        { code: "import { createModel, startEngine, tf } from 'tarflow';\nawait startEngine();" },
        { code: 'tf.reshape(tf.linspace(-1, 1, 2 * 64), [2, 1, 8, 8])' },
        {
          code: "import { lineChart, clearOutput, untilInterrupted } from 'tarflow/workbook';\nconsole.log('gone');\nclearOutput();\nlineChart({ title: 'Squares', rows: [{ x: 1, y: 1 }, { x: 2, y: 4 }], x: 'x', y: 'y' })",
        },
        {
          code: "const steps = await untilInterrupted(async (signal) => {\n  console.log('go');\n  while (!signal.aborted) await new Promise((go) => setTimeout(go, 5));\n  return 'saved';\n});\nsteps",
          when: 'go',
          interrupt: 'message',
        },
        {
          code: 'const images = tf.zeros([2, 3]);\nimages.max();',
        },
        { code: 'const images = tf.zeros([2, 3]);\nimages[0];' },
        {
          code: `let flow = createModel(
  { kind: 'tarflow', image: { channels: 1, height: 4, width: 4 }, patchSize: 2, channels: 8,
    blocks: 2, layersPerBlock: 1, headWidth: 8, classes: 0, volumePreserving: false },
  1,
);`,
        },
        { code: 'const flow = 3;' },
        { code: 'const kept = Array.from({ length: 2500 }, () => tf.zeros([1000]));' },
        { code: 'for (let i = 0; i < 2250; i++) tf.ones([1000]);' },
        { code: 'for (let i = 0; i < 500; i++) tf.ones([1000]);' },
      ],
      { folder, env },
    );
    const seen = results.map(({ outputs }) => shown(outputs));
    const [started, tensor, chart, training, ...beginner] = seen;
    expect(started?.error).toBeUndefined();
    expect(tensor?.result['text/plain']).toMatch(/^Tensor float32 \(2, 1, 8, 8\)\n-1 to 1, mean/);
    expect(tensor?.result['image/png']).toMatch(/^iVBOR/);
    expect(chart?.of('clear_output')).toEqual([{ wait: false }]);
    expect(Object.keys(chart?.result).sort()).toEqual([
      'application/vnd.vegalite.v5+json',
      'image/png',
      'text/plain',
    ]);
    expect(training?.result).toEqual({ 'text/plain': "'saved'" });
    const hints = beginner.map(({ of }) =>
      of('display_data').map(({ data }) => data['text/plain']),
    );
    expect(hints).toEqual([
      ['Hint: `max` is a function of TensorFlow.js: `tf.max(images)`.'],
      [expect.stringContaining('`tf.slice(images, [0], [1])`')],
      [],
      [expect.stringContaining('`flow` was a model')],
      [],
      [expect.stringMatching(/^Hint: 2,2\d\d tensors .* stay in memory \(9 MB\)/)],
      [],
    ]);
  } finally {
    remove();
  }
});
