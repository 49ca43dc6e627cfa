import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';

/**
 * Two hundred pictures of several sizes, in a folder for each of two classes, as a user has them.
 *
 * @param {string} folder
 */
export function drawPictures(folder) {
  for (let i = 0; i < 200; i++) {
    const name = i % 2 === 0 ? 'disc' : 'square';
    const side = 8 + (i % 5);
    const radius = side / 4 + (i % 3);
    const rows = Array.from({ length: side }, (_, y) => {
      const row = Array.from({ length: side }, (_, x) => {
        const [dx, dy] = [x - side / 2, y - side / 2];
        const reach = name === 'disc' ? Math.hypot(dx, dy) : Math.max(Math.abs(dx), Math.abs(dy));
        return reach < radius ? [250, 200 - i, 20] : [10, 40, i];
      });
      // Each row of a PNG begins with its filter: none.
      return [0, ...row.flat()];
    });
    const place = path.join(folder, name);
    mkdirSync(place, { recursive: true });
    writeFileSync(path.join(place, `${i}.png`), png(side, Uint8Array.from(rows.flat())));
  }
}

/**
 * A square PNG file of eight bits for each of three channels.
 *
 * @param {number} side
 * @param {Uint8Array} rows each with its filter before it
 */
function png(side, rows) {
  const chunk = (/** @type {string} */ type, /** @type {Uint8Array} */ data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const chunks = [
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', rows.subarray(0, 0)),
  ];
  return Buffer.concat([signature, ...chunks]);
}
