import { expect, test } from 'vitest';
import { drive, prepare, shown } from '../../packages/kernel/test/drive.mjs';

test('the notebook kernel shows the library’s values, stops trainings and clears what is shown', async () => {
  const { folder, env, remove } = prepare('views');
  try {
    const { results } = await drive(
      [
        { code: "import { startEngine, tf } from 'tarflow';\nawait startEngine();" },
        { code: 'tf.reshape(tf.linspace(-1, 1, 2 * 64), [2, 1, 8, 8])' },
        {
          code: "import { lineChart, clearOutput, untilInterrupted } from 'tarflow/workbook';\nconsole.log('gone');\nclearOutput();\nlineChart({ title: 'Squares', rows: [{ x: 1, y: 1 }, { x: 2, y: 4 }], x: 'x', y: 'y' })",
        },
        {
          code: "const steps = await untilInterrupted(async (signal) => {\n  console.log('go');\n  while (!signal.aborted) await new Promise((go) => setTimeout(go, 5));\n  return 'saved';\n});\nsteps",
          when: 'go',
          interrupt: 'message',
        },
      ],
      { folder, env },
    );
    const [started, tensor, chart, training] = results.map(({ outputs }) => shown(outputs));
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
  } finally {
    remove();
  }
});
