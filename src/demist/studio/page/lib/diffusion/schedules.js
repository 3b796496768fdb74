// Noise schedules as in demist.core.schedule, table and ddpm: x_t = alpha x0 + sigma eps, t = 0 data,
// t = 1 noise. One time at a time, in float64; `at(t)` is [alpha, sigma], `rates(t)` their derivatives.

class Schedule {
  angle(t) {
    const [alpha, sigma] = this.at(t);
    return Math.atan2(sigma, alpha);
  }

  timeAtAngle(angle) {
    let low = 0, high = 1;
    for (let i = 0; i < 64; i++) {
      const middle = (low + high) / 2;
      if (this.angle(middle) < angle) low = middle; else high = middle;
    }
    return (low + high) / 2;
  }

  timeAt(logSNR) { return this.timeAtAngle(Math.atan(Math.exp(-logSNR / 2))); }
}

const unit = (v) => Math.min(1, Math.max(0, v));

class Linear extends Schedule {
  at(t) { return [1 - t, t]; }
  rates() { return [-1, 1]; }
  timeAtAngle(a) { return Math.sin(a) / (Math.sin(a) + Math.cos(a)); }
}

class VE extends Schedule {
  constructor({ sigma_max = 80 } = {}) { super(); this.most = sigma_max; }
  at(t) { return [1, this.most * t]; }
  rates() { return [0, this.most]; }
  timeAtAngle(a) { return unit(Math.tan(a) / this.most); }
}

class VP extends Schedule {
  constructor({ beta_min = 0.1, beta_max = 20 } = {}) { super(); this.low = beta_min; this.high = beta_max; }
  at(t) {
    const integral = this.low * t + ((this.high - this.low) * t * t) / 2;
    return [Math.exp(-integral / 2), Math.sqrt(-Math.expm1(-integral))];
  }
  rates(t) {
    const [alpha, sigma] = this.at(t);
    const half = (this.low + (this.high - this.low) * t) / 2;
    return [-half * alpha, (half * alpha * alpha) / sigma];
  }
  timeAtAngle(a) {
    const integral = Math.max(-Math.log1p(-(Math.sin(a) ** 2)), -1e300);
    if (integral === Infinity) return 1;
    const root = Math.sqrt(this.low ** 2 + 2 * (this.high - this.low) * integral);
    return unit((2 * integral) / (this.low + root));
  }
}

class Cosine extends Schedule {
  at(t) { return [Math.sin((Math.PI / 2) * (1 - t)), Math.sin((Math.PI / 2) * t)]; }
  rates(t) {
    const [alpha, sigma] = this.at(t);
    return [(-Math.PI / 2) * sigma, (Math.PI / 2) * alpha];
  }
  timeAtAngle(a) { return unit((a * 2) / Math.PI); }
}

class Sigmoid extends Schedule {
  constructor({ start = -3, end = 3, tau = 1 } = {}) {
    super();
    Object.assign(this, { start, end, tau });
    this.total = this.fallen(1);
  }
  // How far the sigmoid has moved since t = 0, without cancellation near t = 0.
  fallen(t) {
    const a = this.start / (2 * this.tau), step = ((this.end - this.start) / (2 * this.tau)) * t;
    return (Math.tanh(step) * (1 - Math.tanh(a) * Math.tanh(a + step))) / 2;
  }
  at(t) {
    const noise = this.fallen(t);
    return [Math.sqrt((this.total - noise) / this.total), Math.sqrt(noise / this.total)];
  }
  rates(t) {
    const [alpha, sigma] = this.at(t);
    const a = this.start / (2 * this.tau), slope = (this.end - this.start) / (2 * this.tau);
    const own = Math.tanh(slope * t), far = Math.tanh(a + slope * t);
    const speed = (slope * ((1 - own * own) * (1 - Math.tanh(a) * far) - own * Math.tanh(a) * (1 - far * far))) / 2;
    return [-speed / (2 * this.total * alpha), speed / (2 * this.total * sigma)];
  }
  timeAtAngle(a) {
    const level = 1 / (1 + Math.exp(-this.start / this.tau)) + Math.sin(a) ** 2 * this.total;
    return unit((this.tau * Math.log(level / (1 - level)) - this.start) / (this.end - this.start));
  }
}

// Discrete schedules: step i of T sits at t = (i + 1) / T; between knots the angle is a line.
class Table extends Schedule {
  constructor(betas) {
    super();
    this.steps = betas.length;
    this.knots = new Float64Array(this.steps + 1);
    let bar = 1;
    betas.forEach((beta, i) => {
      bar *= 1 - beta;
      this.knots[i + 1] = Math.atan2(Math.sqrt(1 - bar), Math.sqrt(bar));
    });
  }
  between(t) {
    const u = t * this.steps;
    const i = Math.min(this.steps - 1, Math.max(0, Math.trunc(u)));
    return [this.knots[i], this.knots[i + 1], u - i];
  }
  angle(t) {
    const [low, high, w] = this.between(t);
    return w < 0.5 ? low + w * (high - low) : high - (high - low) * (1 - w);
  }
  at(t) {
    const angle = this.angle(t);
    return [Math.sin(Math.PI / 2 - angle), Math.sin(angle)];
  }
  rates(t) {
    const [low, high] = this.between(t);
    const [alpha, sigma] = this.at(t);
    const slope = (high - low) * this.steps;
    return [-sigma * slope, alpha * slope];
  }
  timeAtAngle(a) {
    let low = 0, high = this.steps + 1; // how many knots are at most `a`
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.knots[middle] <= a) low = middle + 1; else high = middle;
    }
    const i = Math.min(this.steps, Math.max(1, low)) - 1;
    return unit((i + (a - this.knots[i]) / (this.knots[i + 1] - this.knots[i])) / this.steps);
  }
}

const even = (start, end, n) => Float64Array.from({ length: n }, (_, i) => start + ((end - start) * i) / (n - 1));

function cosineBetas({ steps = 1000, offset = 0.008, limit = 0.999 } = {}) {
  const bar = even(0, 1, steps + 1).map((u) => Math.cos((((u + offset) / (1 + offset)) * Math.PI) / 2) ** 2);
  return Float64Array.from({ length: steps }, (_, i) => Math.min(limit, 1 - bar[i + 1] / bar[i]));
}

const linearBetas = ({ steps = 1000, start = 1e-4, end = 0.02 } = {}) => even(start, end, steps);
const scaledBetas = ({ steps = 1000, start = 0.00085, end = 0.012 } = {}) => even(Math.sqrt(start), Math.sqrt(end), steps).map((b) => b * b);
const sigmoidBetas = ({ steps = 1000, start = 1e-4, end = 0.02 } = {}) => even(-6, 6, steps).map((b) => (end - start) / (1 + Math.exp(-b)) + start);

const MAKERS = {
  cosine: () => new Cosine(),
  linear: () => new Linear(),
  vp: (options) => new VP(options),
  sigmoid: (options) => new Sigmoid(options),
  ve: (options) => new VE(options),
  'ddpm-linear': (options) => new Table(linearBetas(options)),
  'ddpm-scaled-linear': (options) => new Table(scaledBetas(options)),
  'ddpm-cosine': (options) => new Table(cosineBetas(options)),
  'ddpm-sigmoid': (options) => new Table(sigmoidBetas(options)),
};

export const SCHEDULES = Object.keys(MAKERS);

// 'vp' or 'vp:beta_max=10,beta_min=1', as on the command line.
export function schedule(spec) {
  const [name, options = ''] = spec.split(':');
  if (!(name in MAKERS)) throw new Error(`there is no schedule ${name}; there are ${SCHEDULES.join(', ')}`);
  return MAKERS[name](numbers(options));
}

export const numbers = (options) => Object.fromEntries(options.split(',').filter(Boolean).map((pair) => {
  const [key, value] = pair.split('=');
  return [key, Number(value)];
}));
