// A learned denoiser in the page: the residual MLP of demist.networks.mlp, predicting v with the
// clock of angles. Weights come as a safetensors file; sums are in float64.

const TYPES = { F32: Float32Array, F64: Float64Array };

export function tensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const found = {};
  for (const [name, place] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: [from, to] } = place;
    found[name] = { shape, data: new TYPES[dtype](buffer.slice(8 + length + from, 8 + length + to)) };
  }
  return { found, said: header.__metadata__ ?? {} };
}

const silu = (v) => v / (1 + Math.exp(-v));

// Rows of `x`, n by `inputs`, through a linear layer.
function linear({ weight, bias }, x, n, out = null) {
  const [outputs, inputs] = weight.shape, w = weight.data;
  const y = out ?? new Float64Array(n * outputs);
  for (let i = 0; i < n; i++) {
    const from = i * inputs, to = i * outputs;
    for (let o = 0; o < outputs; o++) {
      let sum = bias.data[o];
      const row = o * inputs;
      for (let k = 0; k < inputs; k++) sum += w[row + k] * x[from + k];
      y[to + o] = sum;
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

// The denoiser of a file of weights: predict(x, t) is {x0, eps, alpha, sigma}.
export function learned(buffer, schedule) {
  const { found, said } = tensors(buffer);
  const layer = (name) => ({ weight: found[`${name}.weight`], bias: found[`${name}.bias`] });
  const { depth, time_scale: scale, max_period: period } = JSON.parse(said.network);
  const half = found['time_embedding.linear_1.weight'].shape[1] / 2;

  function network(x, n, alpha, sigma) {
    const clock = Math.atan2(sigma, alpha) * (4 / Math.PI) - 1;
    const waves = new Float64Array(2 * half);
    for (let i = 0; i < half; i++) {
      const angle = clock * scale * Math.exp((-i * Math.log(period)) / half);
      waves[i] = Math.cos(angle);
      waves[half + i] = Math.sin(angle);
    }
    const hidden = linear(layer('time_embedding.linear_1'), waves, 1).map(silu);
    const time = linear(layer('time_embedding.linear_2'), hidden, 1).map(silu);
    const h = linear(layer('linear_in'), x, n), width = h.length / n;
    for (let b = 0; b < depth; b++) {
      const told = linear(layer(`blocks.${b}.time_emb_proj`), time, 1);
      const y = linear(layer(`blocks.${b}.linear_1`), normed(layer(`blocks.${b}.norm`), h, n), n);
      for (let i = 0; i < y.length; i++) y[i] = silu(y[i] + told[i % width]);
      const update = linear(layer(`blocks.${b}.linear_2`), y, n);
      for (let i = 0; i < h.length; i++) h[i] += update[i];
    }
    return linear(layer('linear_out'), normed(layer('norm_out'), h, n).map(silu), n);
  }

  return {
    schedule,
    predict(x, t) {
      const [alpha, sigma] = schedule.at(t), total = alpha * alpha + sigma * sigma;
      const v = network(x, x.length / 2, alpha, sigma);
      return {
        x0: Float64Array.from(x, (value, i) => (alpha * value - sigma * v[i]) / total),
        eps: Float64Array.from(x, (value, i) => (sigma * value + alpha * v[i]) / total),
        alpha, sigma,
      };
    },
  };
}
