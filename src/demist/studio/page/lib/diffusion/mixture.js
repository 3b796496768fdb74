// Ground truth, as demist.core.exact: a mixture of Gaussians of one variance, which knows its density,
// its score and E[x0 | x_t] at any noise. States are Float64Arrays of n points with D numbers each.

export class Mixture {
  // means: K points of D numbers in one array; weights: K positive numbers, equal without.
  constructor(means, dims, variance, weights = null) {
    this.means = Float64Array.from(means);
    this.dims = dims;
    this.count = this.means.length / dims;
    this.variance = variance;
    const total = weights ? weights.reduce((a, b) => a + b, 0) : this.count;
    this.logWeights = Float64Array.from({ length: this.count }, (_, k) => Math.log((weights ? weights[k] : 1) / total));
    this.joint = new Float64Array(this.count);
  }

  // E[x0 | x] and E[eps | x] of every point, into `x0` and `eps`.
  posterior(x, alpha, sigma, x0, eps) {
    const { means, dims, count, joint, variance } = this;
    const total = alpha * alpha * variance + sigma * sigma;
    const toData = (alpha * variance) / total, toNoise = sigma / total, half = -0.5 / total;
    for (let i = 0; i < x.length; i += dims) {
      let most = -Infinity;
      for (let k = 0; k < count; k++) {
        let square = 0;
        for (let d = 0; d < dims; d++) {
          const gap = x[i + d] - alpha * means[k * dims + d];
          square += gap * gap;
        }
        joint[k] = this.logWeights[k] + half * square;
        if (joint[k] > most) most = joint[k];
      }
      let sum = 0;
      for (let k = 0; k < count; k++) sum += (joint[k] = Math.exp(joint[k] - most));
      for (let d = 0; d < dims; d++) {
        let clean = 0, noise = 0;
        for (let k = 0; k < count; k++) {
          const mean = means[k * dims + d], gap = x[i + d] - alpha * mean, r = joint[k] / sum;
          clean += r * (mean + toData * gap);
          noise += r * toNoise * gap;
        }
        x0[i + d] = clean;
        eps[i + d] = noise;
      }
    }
  }

  // log p_t of every point, in nats.
  logDensity(x, alpha, sigma, out = new Float64Array(x.length / this.dims)) {
    const { means, dims, count, joint, variance } = this;
    const total = alpha * alpha * variance + sigma * sigma;
    const norm = -0.5 * dims * Math.log(2 * Math.PI * total);
    for (let i = 0; i < out.length; i++) {
      let most = -Infinity;
      for (let k = 0; k < count; k++) {
        let square = 0;
        for (let d = 0; d < dims; d++) square += (x[i * dims + d] - alpha * means[k * dims + d]) ** 2;
        joint[k] = this.logWeights[k] - (0.5 * square) / total;
        if (joint[k] > most) most = joint[k];
      }
      let sum = 0;
      for (let k = 0; k < count; k++) sum += Math.exp(joint[k] - most);
      out[i] = norm + most + Math.log(sum);
    }
    return out;
  }

  // p_t on the points of a raster, `xs` by `ys` (or a line: D = 1, `ys` left out): a Gaussian of one
  // variance is a product over the axes, so K (width + height) exponentials are enough.
  raster(xs, ys, alpha, sigma, out) {
    const { means, dims, count, variance } = this;
    const total = alpha * alpha * variance + sigma * sigma, half = -0.5 / total;
    const scale = (2 * Math.PI * total) ** (-dims / 2);
    out.fill(0);
    const row = new Float64Array(xs.length);
    for (let k = 0; k < count; k++) {
      const weight = scale * Math.exp(this.logWeights[k]);
      for (let i = 0; i < xs.length; i++) row[i] = weight * Math.exp(half * (xs[i] - alpha * means[k * dims]) ** 2);
      if (dims === 1) { for (let i = 0; i < xs.length; i++) out[i] += row[i]; continue; }
      for (let j = 0; j < ys.length; j++) {
        const factor = Math.exp(half * (ys[j] - alpha * means[k * dims + 1]) ** 2);
        if (factor < 1e-300) continue;
        for (let i = 0, o = j * xs.length; i < xs.length; i++) out[o + i] += row[i] * factor;
      }
    }
    return out;
  }
}

// The optimal denoiser of a mixture under a schedule: predict(x, t) is {x0, eps, alpha, sigma}.
export function exact(mixture, schedule) {
  return {
    schedule,
    predict(x, t) {
      const [alpha, sigma] = schedule.at(t);
      const x0 = new Float64Array(x.length), eps = new Float64Array(x.length);
      mixture.posterior(x, alpha, sigma, x0, eps);
      return { x0, eps, alpha, sigma };
    },
  };
}

// Classifier-free guidance: from the unconditional prediction through the conditional one and beyond.
export function guided(conditional, unconditional, scale) {
  return {
    schedule: unconditional.schedule,
    predict(x, t) {
      const c = conditional.predict(x, t), u = unconditional.predict(x, t);
      const beyond = (a, b) => a.map((v, i) => v + scale * (b[i] - v));
      return { x0: beyond(u.x0, c.x0), eps: beyond(u.eps, c.eps), alpha: u.alpha, sigma: u.sigma };
    },
  };
}
