/** Rows of a matrix in few bits, as ONNX Runtime's MatMulNBits reads them (ContribOperators.md, com.microsoft.MatMulNBits). */

export interface PackedRows {
  /** `[rows, blocks, blockSize * bits / 8]`; of two 4-bit numbers in a byte the first is the lower half. */
  readonly values: Uint8Array;
  /** `[rows, blocks]` */
  readonly scales: Float32Array;
  /** `[rows, ⌈blocks * bits / 8⌉]`, packed as the values are. */
  readonly zeroPoints: Uint8Array;
}

/** Each block from its smallest to its largest number, 0 among them: value = (q - zero point) * scale. */
export function packRows(matrix: Float32Array, rows: number, columns: number, bits: 4 | 8, blockSize: number): PackedRows {
  const blocks = Math.ceil(columns / blockSize);
  const blockBytes = (blockSize * bits) / 8;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const most = 2 ** bits - 1;
  const values = new Uint8Array(rows * blocks * blockBytes);
  const scales = new Float32Array(rows * blocks);
  const zeroPoints = new Uint8Array(rows * zeroBytes);
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++) {
      const start = row * columns + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * columns);
      let low = 0;
      let high = 0;
      for (let i = start; i < end; i++) {
        const value = matrix[i]!;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      const scale = Math.fround((high - low) / most);
      const zero = scale === 0 ? 0 : Math.min(most, Math.max(0, Math.round(-low / scale)));
      scales[row * blocks + block] = scale;
      const zeroAt = row * zeroBytes;
      if (bits === 8) zeroPoints[zeroAt + block] = zero;
      else zeroPoints[zeroAt + (block >> 1)]! |= zero << (4 * (block & 1));
      const valueAt = (row * blocks + block) * blockBytes;
      for (let i = start; i < end; i++) {
        const q = scale === 0 ? zero : Math.min(most, Math.max(0, Math.round(matrix[i]! / scale) + zero));
        const at = i - start;
        if (bits === 8) values[valueAt + at] = q;
        else values[valueAt + (at >> 1)]! |= q << (4 * (at & 1));
      }
    }
  return { values, scales, zeroPoints };
}
