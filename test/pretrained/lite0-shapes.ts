/** The names and shapes of the published weights of EfficientNet-Lite0. */
export function lite0Shapes(): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  const add = (name: string, norm: string, shape: number[]) => {
    shapes[`${name}.weight`] = shape;
    for (const part of ['weight', 'bias', 'running_mean', 'running_var']) {
      shapes[`${norm}.${part}`] = [shape[0] as number];
    }
  };
  add('_conv_stem', '_bn0', [32, 3, 3, 3]);
  const outputs = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320];
  const kernels = [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3];
  let inputs = 32;
  outputs.forEach((output, index) => {
    const name = `_blocks.${index}`;
    const wide = index === 0 ? inputs : 6 * inputs;
    if (index > 0) add(`${name}._expand_conv`, `${name}._bn0`, [wide, inputs, 1, 1]);
    const kernel = kernels[index] as number;
    add(`${name}._depthwise_conv`, `${name}._bn1`, [wide, 1, kernel, kernel]);
    add(`${name}._project_conv`, `${name}._bn2`, [output, wide, 1, 1]);
    inputs = output;
  });
  add('_conv_head', '_bn1', [1280, 320, 1, 1]);
  return shapes;
}
