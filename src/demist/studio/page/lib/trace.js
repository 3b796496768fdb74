// Reads a trace (demist/model/trace.py): a safetensors file whose header says what lies where.
const TYPES = { F64: Float64Array, F32: Float32Array, U8: Uint8Array, I64: BigInt64Array };

export class Trace {
  constructor(buffer) {
    const length = Number(new DataView(buffer).getBigUint64(0, true));
    this.header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    const { __metadata__: said } = this.header;
    if (!said?.demist_trace) throw new Error('this file is no trace');
    this.facts = JSON.parse(said.demist_trace);
    this.read = (name) => {
      const { dtype, shape, data_offsets: [begin, end] } = this.header[name];
      if (!TYPES[dtype]) throw new Error(`${name} is of type ${dtype}, which the page does not read`);
      return { data: new TYPES[dtype](buffer.slice(8 + length + begin, 8 + length + end)), shape };
    };
    for (const name of ['times', 'alpha', 'sigma', 'schedule']) this[name] = this.read(name).data;
    for (const name of ['x', 'x0', 'samples', 'seen.x', 'seen.x0']) if (name in this.header) this[name] = this.read(name);
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
