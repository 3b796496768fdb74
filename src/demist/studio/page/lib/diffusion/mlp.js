// A learned denoiser in the page: the residual MLP of demist.networks.mlp, read as demist.core.denoiser does.
// Weights come as a safetensors file, whose metadata says how the network is read; sums are in float64.
import { safetensors } from '../safetensors.js';
import { numbers, schedule as named } from './schedules.js';

const silu = (v) => v / (1 + Math.exp(-v));

// Rows of `x`, n by `inputs`, through a linear layer: four at a time, so that a weight is read once for them.
function linear({ weight, bias }, x, n) {
  const [outputs, inputs] = weight.shape, w = weight.data, b = bias.data;
  const y = new Float64Array(n * outputs);
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const x0 = i * inputs, x1 = x0 + inputs, x2 = x1 + inputs, x3 = x2 + inputs;
    for (let o = 0; o < outputs; o++) {
      const row = o * inputs;
      let s0 = b[o], s1 = s0, s2 = s0, s3 = s0;
      for (let k = 0; k < inputs; k++) {
        const v = w[row + k];
        s0 += v * x[x0 + k];
        s1 += v * x[x1 + k];
        s2 += v * x[x2 + k];
        s3 += v * x[x3 + k];
      }
      const at = i * outputs + o;
      y[at] = s0;
      y[at + outputs] = s1;
      y[at + 2 * outputs] = s2;
      y[at + 3 * outputs] = s3;
    }
  }
  for (; i < n; i++) {
    for (let o = 0; o < outputs; o++) {
      let sum = b[o];
      for (let k = 0; k < inputs; k++) sum += w[o * inputs + k] * x[i * inputs + k];
      y[i * outputs + o] = sum;
    }
  }
  return y;
}

function normed({ weight, bias }, x, n) {
  const width = weight.shape[0], y = new Float64Array(x.length);
  for (let i = 0; i < n; i++) {
    let mean = 0, square = 0;
    for (let k = 0; k < width; k++) mean += x[i * width + k];
    mean /= width;
    for (let k = 0; k < width; k++) square += (x[i * width + k] - mean) ** 2;
    const scale = 1 / Math.sqrt(square / width + 1e-5);
    for (let k = 0; k < width; k++) y[i * width + k] = (x[i * width + k] - mean) * scale * weight.data[k] + bias.data[k];
  }
  return y;
}

const options = (spec) => numbers(spec.split(':')[1] ?? '');

// What the network sees of the time; see demist.core.clocks.
function clock(spec) {
  const { limit = 20, steps = 1000, scale = 1000 } = options(spec);
  return {
    angle: (t, a, s) => Math.atan2(s, a) * (4 / Math.PI) - 1,
    time: (t) => t,
    'log-snr': (t, a, s) => Math.min(limit / 4, Math.max(-limit / 4, Math.log(s / a) / 2)),
    index: (t) => t * steps - 1,
    scaled: (t) => t * scale,
    flow: (t, a, s) => (s / (a + s)) * scale,
  }[spec.split(':')[0]];
}

// What its output is: `p x0 + q eps`; see demist.core.parameterization.
function output(spec) {
  const { sigma_data: spread = 0.5 } = options(spec);
  return {
    x0: () => [1, 0],
    eps: () => [0, 1],
    v: (a, s) => [-s, a],
    velocity: (a, s, rates) => rates(),
    score: (a, s) => [0, -1 / s],
    karras: (a, s) => [s / (spread * Math.hypot(a * spread, s)), (-a * spread) / Math.hypot(a * spread, s)],
  }[spec.split(':')[0]];
}

// The denoiser of a file of weights on a path `schedule`: predict(x, t) is {x0, eps, alpha, sigma}. The network may
// have learned on another path, and data of mean `mean` and spread `std`: it is asked at the same ratio of
// signal to noise, in its own units.
export function learned(buffer, schedule) {
  const { header, said, read } = safetensors(buffer);
  const found = Object.fromEntries(Object.keys(header).map((name) => [name, read(name)]));
  const layer = (name) => ({ weight: found[`${name}.weight`], bias: found[`${name}.bias`] });
  const { depth, time_scale: scale, max_period: period } = JSON.parse(said.network);
  const { schedule: path, parameterization, clock: kind, input_std: seen, mean, std } = JSON.parse(said.reading);
  const half = found['time_embedding.linear_1.weight'].shape[1] / 2;
  const own = named(path), told = clock(kind), row = output(parameterization), extra = found.told?.data;
  // Radians from pure noise and clean data, where x0, noise and score alone do not say the other end.
  const last = ['x0', 'eps', 'score'].includes(parameterization) ? 1e-3 : 1e-9;

  function network(x, n, time) {
    const waves = new Float64Array(2 * half);
    for (let i = 0; i < half; i++) {
      const angle = time * scale * Math.exp((-i * Math.log(period)) / half);
      waves[i] = Math.cos(angle);
      waves[half + i] = Math.sin(angle);
    }
    const hidden = linear(layer('time_embedding.linear_1'), waves, 1).map(silu);
    const felt = linear(layer('time_embedding.linear_2'), hidden, 1).map((v, i) => silu(v + (extra ? extra[i] : 0)));
    const h = linear(layer('linear_in'), x, n), width = h.length / n;
    for (let b = 0; b < depth; b++) {
      const added = linear(layer(`blocks.${b}.time_emb_proj`), felt, 1);
      const y = linear(layer(`blocks.${b}.linear_1`), normed(layer(`blocks.${b}.norm`), h, n), n);
      for (let i = 0; i < y.length; i++) y[i] = silu(y[i] + added[i % width]);
      const update = linear(layer(`blocks.${b}.linear_2`), y, n);
      for (let i = 0; i < h.length; i++) h[i] += update[i];
    }
    return linear(layer('linear_out'), normed(layer('norm_out'), h, n).map(silu), n);
  }

  return {
    schedule,
    cost: Object.values(found).reduce((sum, one) => sum + one.data.length, 0), // multiplications a point, about
    predict(x, t) {
      const [alpha, sigma] = schedule.at(t), noise = sigma / std;
      const angle = Math.min(Math.PI / 2 - last, Math.max(last, Math.atan2(noise, alpha)));
      const time = own.timeAtAngle(angle), [a, s] = own.at(time);
      const unit = Math.hypot(a, s) / Math.hypot(alpha, noise);
      const z = Float64Array.from(x, (v, i) => ((v - alpha * mean[i % 2]) / std) * unit);
      const c = seen === null ? 1 : 1 / Math.hypot(a * seen, s);
      const y = network(z.map((v) => c * v), x.length / 2, told(time, a, s));
      const [p, q] = row(a, s, () => own.rates(time)), open = a * q - s * p;
      return {
        x0: Float64Array.from(z, (v, i) => mean[i % 2] + (std * (q * v - s * y[i])) / open),
        eps: Float64Array.from(z, (v, i) => (a * y[i] - p * v) / open),
        alpha, sigma,
      };
    },
  };
}
