// Where the steps are, as in demist.samplers.grids: times from 1 down to 0, float64.
import { numbers } from './schedules.js';

const from1 = (n) => Float64Array.from({ length: n + 1 }, (_, i) => 1 - i / n);

const atAngles = (fractions, schedule) => {
  const top = schedule.angle(1);
  return between(fractions.map((f) => schedule.timeAtAngle(top * f)));
};

const ended = (times) => between(Float64Array.of(...times, 0));

// Levels out of reach become 1, the last time is exactly 0, and no time repeats.
function between(grid) {
  const times = grid.map((t) => (t >= 1 - 1e-12 ? 1 : t));
  times[times.length - 1] = 0;
  return times.filter((t, i) => i === 0 || (t - times[i - 1] < 0 && times[i - 1] - t > 1e-9 * Math.max(t, times[i - 1])));
}

// Half to even, as Python and torch round.
function round(v) {
  const low = Math.floor(v), rest = v - low;
  if (rest === 0.5) return low % 2 === 0 ? low : low + 1;
  return rest < 0.5 ? low : low + 1;
}

const discrete = (index, steps) => Float64Array.of(
  ...index.filter((v, i) => i === 0 || v !== index[i - 1]).map((i) => (i + 1) / steps), 0);

const spread = (from, to, n) => Float64Array.from({ length: n }, (_, i) => (n === 1 ? from : from + ((to - from) * i) / (n - 1)));

const angular = (n, schedule, { clean = 1.75, noisy = 1.35 } = {}) => atAngles(
  from1(n).map((u) => (1 - (1 - u) ** noisy) ** clean), schedule);

const logSNR = (n, schedule, { low = -10, high = 10 } = {}) => ended(spread(low, high, n).map((l) => schedule.timeAt(l)));

const MAKERS = {
  angular,
  smooth: (n, schedule) => atAngles(from1(n).map((u) => Math.sin((Math.PI / 2) * u) ** 2), schedule),
  cosine: (n, schedule) => angular(n, schedule, { clean: 1, noisy: 1 }),
  uniform: (n) => from1(n),
  shifted: (n, _, { shift = 3 } = {}) => from1(n).map((u) => (shift * u) / (1 + (shift - 1) * u)),
  karras: (n, schedule, { sigma_min = 0.002, sigma_max = 80, rho = 7 } = {}) => ended(
    spread(sigma_max ** (1 / rho), sigma_min ** (1 / rho), n).map((u) => schedule.timeAt(-2 * Math.log(u ** rho)))),
  exponential: (n, schedule, { sigma_min = 0.002, sigma_max = 80 } = {}) => logSNR(n, schedule, { low: -2 * Math.log(sigma_max), high: -2 * Math.log(sigma_min) }),
  'log-snr': logSNR,
  trailing: (n, _, { steps = 1000 } = {}) => discrete(Float64Array.from({ length: n }, (_v, i) => round(steps - i * (steps / n)) - 1), steps),
};

export const GRIDS = Object.keys(MAKERS);

// The n + 1 times of `n` steps; fewer where levels are out of a schedule's reach.
export function grid(spec, n, schedule) {
  const [name, options = ''] = spec.split(':');
  if (!(name in MAKERS)) throw new Error(`there is no grid ${name}; there are ${GRIDS.join(', ')}`);
  return MAKERS[name](n, schedule, numbers(options));
}
