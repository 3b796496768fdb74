// Reads a trace (demist/model/trace.py): a safetensors file whose header says what lies where.
import { safetensors } from './safetensors.js';

export class Trace {
  constructor(buffer) {
    const { header, said, read } = safetensors(buffer);
    if (!said.demist_trace) throw new Error('this file is no trace');
    Object.assign(this, { header, read, facts: JSON.parse(said.demist_trace) });
    for (const name of ['times', 'alpha', 'sigma', 'schedule']) this[name] = this.read(name).data;
    for (const name of ['x', 'x0', 'samples', 'seen.x', 'seen.x0', 'attention']) if (name in this.header) this[name] = this.read(name);
    this.steps = this.times.length - 1;
    this.n = this.x.shape[1];
    this.state = this.x.shape.slice(2);
  }

  // The numbers of one sample of `x` or `x0` after `step` steps; in the end both are the last state.
  numbers(which, step, row) {
    const { data, shape } = which === 'x0' && step < this.steps ? this.x0 : this.x;
    const size = shape.slice(2).reduce((a, b) => a * b, 1);
    return data.subarray((step * this.n + row) * size, (step * this.n + row + 1) * size);
  }

  // The noise predicted there: (x - alpha x0) / sigma.
  noise(step, row) {
    const [x, x0] = [this.numbers('x', step, row), this.numbers('x0', step, row)];
    return x.map((value, i) => (value - this.alpha[step] * x0[i]) / this.sigma[step]);
  }

  logSnr(step) { return 2 * Math.log(this.alpha[step] / this.sigma[step]); }
}

export const load = async (url) => new Trace(await (await fetch(url)).arrayBuffer());
export const rms = (numbers) => Math.sqrt(numbers.reduce((sum, v) => sum + v * v, 0) / numbers.length);
