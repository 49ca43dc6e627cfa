/**
 * A picture with transparency as it looks on a white ground, made smaller by a whole factor: each
 * pixel is the mean of a square of factor × factor pixels (an area filter), rounded once at the
 * end. Compositing and mean are of the stored sRGB values, not of linear light: so do browsers
 * composite, and so were ImageNet 32×32 and 64×64 reduced (Chrabaszcz, Loshchilov and Hutter 2017,
 * arXiv:1707.08819, which finds the area filter best).
 *
 * @param {Uint8Array} rgba height · width · 4 values, alpha not premultiplied
 * @param {{ width: number, height: number }} size before the reduction, a multiple of factor
 * @param {number} factor
 * @returns {Uint8Array} 3 · (height/factor) · (width/factor) values, channel-first
 */
export function onWhite(rgba, { width, height }, factor) {
  const [columns, rows] = [width / factor, height / factor];
  const pixels = new Uint8Array(3 * rows * columns);
  const divisor = 255 * factor * factor;
  for (let channel = 0; channel < 3; channel += 1) {
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        let sum = 0;
        for (let y = row * factor; y < (row + 1) * factor; y += 1) {
          for (let x = column * factor; x < (column + 1) * factor; x += 1) {
            const at = 4 * (y * width + x);
            const alpha = rgba[at + 3] ?? 0;
            sum += alpha * (rgba[at + channel] ?? 0) + (255 - alpha) * 255;
          }
        }
        pixels[(channel * rows + row) * columns + column] = Math.round(sum / divisor);
      }
    }
  }
  return pixels;
}
