// What a moment of a sampling looks like, as a canvas: from a trace, or from the sheet of a running job.
import { heat } from './colour.js';

export function blank(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function ofBytes(bytes, [channels, height, width]) {
  const canvas = blank(width, height);
  const image = new ImageData(width, height);
  const size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[(channels >= 3 ? c : 0) * size + i];
    image.data[4 * i + 3] = channels === 4 ? bytes[3 * size + i] : 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

// States of pixels, -1 to 1, as bytes: as demist/codecs/pixels.py rounds them.
const toBytes = (numbers) => Uint8ClampedArray.from(numbers, (v) => Math.round((v + 1) * 127.5));

function ofPoints(numbers, columns) {
  const canvas = blank(320, 320);
  const context = canvas.getContext('2d');
  context.fillStyle = '#0c1316';
  context.fillRect(0, 0, 320, 320);
  context.fillStyle = 'rgb(142 214 232 / .7)';
  for (let i = 0; i < numbers.length; i += columns) {
    context.fillRect(159 + numbers[i] * 50, 159 - (columns > 1 ? numbers[i + 1] : 0) * 50, 2.5, 2.5);
  }
  return canvas;
}

export function fromTrace(trace, which, step, row) {
  const shape = trace.facts.shape;
  if (step === trace.steps && shape.length === 3) {
    const size = shape.reduce((a, b) => a * b, 1);
    return ofBytes(trace.samples.data.subarray(row * size, (row + 1) * size), shape);
  }
  const seen = trace[`seen.${which}`];
  if (seen) {
    const [, , ...small] = seen.shape;
    const size = small.reduce((a, b) => a * b, 1);
    const at = (step * trace.n + row) * size;
    return ofBytes(seen.data.subarray(at, at + size), small);
  }
  if (trace.state.length === 1) {
    const { data, shape: [, n, columns] } = which === 'x0' && step < trace.steps ? trace.x0 : trace.x;
    return ofPoints(data.subarray(step * n * columns, (step + 1) * n * columns), columns);
  }
  const numbers = trace.numbers(which, step, row);
  if (shape.length === 3) return ofBytes(toBytes(numbers), shape);
  const [, height, width] = trace.state;
  const canvas = blank(width, height);
  canvas.getContext('2d').putImageData(heat(numbers, width, height, -2.5, 2.5), 0, 0);
  return canvas;
}

// A sheet has x_t in its upper row and x0 in its lower one, a column for each sample.
export function fromSheet(bitmap, which, row, n) {
  const width = Math.max(1, Math.floor(bitmap.width / n));
  const height = bitmap.height / 2;
  const canvas = blank(width, height);
  canvas.getContext('2d').drawImage(bitmap, row * width, which === 'x' ? 0 : height, width, height, 0, 0, width, height);
  return canvas;
}

// The absolute difference of two pictures, and its root mean square over all numbers (white is 1).
export function difference(a, b) {
  const [one, two] = [a, b].map((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data);
  const values = new Float32Array(a.width * a.height);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    let d = 0;
    for (let c = 0; c < 3; c++) {
      const e = (one[4 * i + c] - two[4 * i + c]) / 255;
      d += Math.abs(e) / 3;
      sum += e * e;
    }
    values[i] = d;
  }
  const canvas = blank(a.width, a.height);
  canvas.getContext('2d').putImageData(heat(values, a.width, a.height, 0, 1, 'viridis'), 0, 0);
  return { canvas, rms: Math.sqrt(sum / (3 * values.length)) };
}
