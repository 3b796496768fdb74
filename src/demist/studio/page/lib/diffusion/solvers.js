// Steps from t to the cleaner s, as in demist.samplers.solvers, letter by letter. A step is
// `step(model, x, t, s, memory, noise)` and gives [x, memory]; `noise()` is a fresh normal state.
import { numbers } from './schedules.js';

// The sum of w_j y_j.
function combine(...terms) {
  const out = new Float64Array(terms[0][1].length);
  for (const [w, y] of terms) for (let i = 0; i < out.length; i++) out[i] += w * y[i];
  return out;
}

const minus = (a, b) => combine([1, a], [-1, b]);

// beta-tilde and beta: the bounds of the variance of q(x_s | x_t).
function ancestral([aT, gT], [aS, gS]) {
  const forward = gT ** 2 - ((aT / aS) * gS) ** 2;
  return [forward * (gS / gT) ** 2, forward];
}

const ddim = () => ({
  step(model, x, t, s) {
    const p = model.predict(x, t);
    const [alpha, sigma] = model.schedule.at(s);
    return [combine([alpha, p.x0], [sigma, p.eps]), null];
  },
});

const ddpm = () => ({
  step(model, x, t, s, memory, noise) {
    const p = model.predict(x, t);
    const [alpha, sigma] = model.schedule.at(s);
    if (s === 0) return [combine([alpha, p.x0], [sigma, p.eps]), null];
    const [small] = ancestral([p.alpha, p.sigma], [alpha, sigma]);
    const kept = Math.sqrt(Math.max(0, sigma ** 2 - small));
    return [combine([alpha, p.x0], [kept, p.eps], [Math.sqrt(small), noise()]), null];
  },
});

const heun = () => ({
  step(model, x, t, s) {
    const p = model.predict(x, t);
    const [alpha, sigma] = model.schedule.at(s);
    const guess = combine([alpha, p.x0], [sigma, p.eps]);
    if (s === 0) return [guess, null];
    const q = model.predict(guess, s);
    return [combine([0.5, x], [alpha - p.alpha / 2, q.x0], [sigma - p.sigma / 2, q.eps]), null];
  },
});

const churn = ({ churn: c = 0.5, gamma: most = Math.SQRT2 - 1, s_min = 0, s_max = Infinity, s_noise = 1 } = {}) => ({
  step(model, x, t, s, memory, noise) {
    const atT = model.schedule.at(t), [alphaS, sigmaS] = model.schedule.at(s);
    const r = atT[1] / atT[0], rS = sigmaS / alphaS;
    if (s_min <= r && r <= s_max && r < Infinity && c > 0) {
      const gamma = Math.min(c * (rS > 0 ? r / rS - 1 : Infinity), most);
      const up = model.schedule.timeAt(-2 * Math.log(r * (1 + gamma)));
      if (up > t) {
        const atUp = model.schedule.at(up);
        const added = ancestral(atUp, atT)[1];
        x = combine([atUp[0] / atT[0], x], [s_noise * Math.sqrt(added), noise()]);
        t = up;
      }
    }
    return heun().step(model, x, t, s);
  },
});

const euler = () => ({
  step(model, x, t, s) {
    const p = model.predict(x, t);
    const [dAlpha, dSigma] = model.schedule.rates(t);
    if (s === 0 || !Number.isFinite(dAlpha) || !Number.isFinite(dSigma)) {
      const [alpha, sigma] = model.schedule.at(s);
      return [combine([alpha, p.x0], [sigma, p.eps]), null];
    }
    return [combine([1, x], [(s - t) * dAlpha, p.x0], [(s - t) * dSigma, p.eps]), null];
  },
});

const eulerMaruyama = () => ({
  step(model, x, t, s, memory, noise) {
    const [alpha, sigma] = model.schedule.at(s);
    const p = model.predict(x, t);
    if (s === 0) return [combine([alpha, p.x0]), null];
    if (p.alpha === 0) return [combine([alpha, p.x0], [sigma, noise()]), null];
    const h = t - s;
    const [dAlpha, dSigma] = model.schedule.rates(t);
    const stretch = dSigma - (dAlpha / p.alpha) * p.sigma; // g^2 = 2 sigma (sigma' - f sigma)
    const std = Math.sqrt(h * 2 * p.sigma * stretch);
    return [combine([1, x], [-h * dAlpha, p.x0], [-h * (dSigma + stretch), p.eps], [std, noise()]), null];
  },
});

const NODES = [-Math.sqrt(0.6), 0, Math.sqrt(0.6)], WEIGHTS = [5 / 9, 8 / 9, 5 / 9], NEAREST = 64;

// Weights whose sum with the values at `nodes` is the integral of the polynomial through them.
function integralWeights(nodes, start, end) {
  const middle = (start + end) / 2, half = (end - start) / 2;
  return nodes.map((own, j) => {
    let total = 0;
    NODES.forEach((u, n) => {
      let basis = 1;
      nodes.forEach((other, k) => { if (k !== j) basis *= (middle + half * u - other) / (own - other); });
      total += WEIGHTS[n] * basis;
    });
    return half * total;
  });
}

// The values through which to extrapolate up to `end`: none right beside a newer one.
function apart(levels, end) {
  const least = Math.abs(end - levels[0][0]) / NEAREST;
  const kept = [levels[0]];
  for (const level of levels.slice(1)) if (!(Math.abs(level[0] - kept.at(-1)[0]) < least)) kept.push(level);
  return kept;
}

function advance(x, scale, endScale, tau, endTau, values) {
  const weights = integralWeights(values.map(([node]) => node), tau, endTau);
  return combine([endScale / scale, x], ...values.map(([, v], j) => [weights[j] * endScale, v]));
}

const adams = ({ p: order = 3, last = 3 } = {}) => ({
  step(model, x, t, s, memory) {
    const p = model.predict(x, t);
    const scale = p.alpha + p.sigma, tau = p.sigma / scale, v = minus(p.eps, p.x0);
    let past = [];
    if (memory !== null) {
      const [lastX, lastScale, values, end] = memory;
      past = values;
      const moved = x === end ? null : minus(x, end);
      x = advance(lastX, lastScale, scale, past[0][0], tau, [[tau, v], ...past]);
      if (moved !== null) x = combine([1, x], [1, moved]);
    }
    const [alpha, sigma] = model.schedule.at(s);
    const nextScale = alpha + sigma, nextTau = sigma / nextScale;
    past = apart([[tau, v], ...past], nextTau).slice(0, order);
    const end = advance(x, scale, nextScale, tau, nextTau, sigma === 0 ? past.slice(0, last) : past);
    return [end, [x, scale, past, end]];
  },
});

const sdeAdams = () => ({
  step(model, x, t, s, memory, noise) {
    const p = model.predict(x, t);
    const [alpha, sigma] = model.schedule.at(s);
    const q = (p.alpha * sigma) / (alpha * p.sigma), c = alpha * (1 - q ** 2);
    const share = (a, g) => g ** 2 / (a ** 2 + g ** 2);
    const wT = share(p.alpha, p.sigma), wS = share(alpha, sigma);
    const terms = [[(sigma / p.sigma) * q, x], [c, p.x0]];
    if (memory !== null && memory[1] - wT >= (wT - wS) / NEAREST) {
      const curve = s > 0 ? (sigma ** 2 / alpha) * Math.log(wT / wS) : 0;
      terms.push([(curve - wT * c) / (wT - memory[1]), minus(p.x0, memory[0])]);
    }
    if (s > 0) terms.push([sigma * Math.sqrt(1 - q ** 2), noise()]);
    return [combine(...terms), [p.x0, wT]];
  },
});

// Every solver has a partner on the other side: the same idea without and with fresh noise.
const MAKERS = {
  adams: { make: adams, grid: 'angular', partner: 'sde-adams' },
  ddim: { make: ddim, grid: 'smooth', partner: 'ddpm' },
  heun: { make: heun, grid: 'smooth', partner: 'churn' },
  euler: { make: euler, grid: 'smooth', partner: 'euler-maruyama' },
  'sde-adams': { make: sdeAdams, grid: 'angular', partner: 'adams', stochastic: true },
  ddpm: { make: ddpm, grid: 'smooth', partner: 'ddim', stochastic: true },
  churn: { make: churn, grid: 'smooth', partner: 'heun', stochastic: true },
  'euler-maruyama': { make: eulerMaruyama, grid: 'smooth', partner: 'euler', stochastic: true },
};

export const ODE = Object.keys(MAKERS).filter((name) => !MAKERS[name].stochastic);
export const SDE = Object.keys(MAKERS).filter((name) => MAKERS[name].stochastic);

// What the library takes on a grid that somebody chose (demist.samplers.settled).
export const usual = (steps) => (steps <= 10 ? 'adams:p=2,last=1' : 'adams');

// 'adams' or 'adams:p=2,last=1' or 'auto': {step, grid, stochastic, partner, name}.
export function solver(spec, steps = 0) {
  const [name, options = ''] = (spec === 'auto' ? usual(steps) : spec).split(':');
  if (!(name in MAKERS)) throw new Error(`there is no solver ${name} here; there are ${Object.keys(MAKERS).join(', ')}`);
  const { make, ...facts } = MAKERS[name];
  return { stochastic: false, ...facts, name, ...make(numbers(options)) };
}

// All states along a grid of times: [x at times[0], x at times[1], ...]. `noise(i)` belongs to step i.
export function trajectory(model, x, times, { step }, noise = null) {
  const states = [x];
  let memory = null;
  for (let i = 0; i + 1 < times.length; i++) {
    [x, memory] = step(model, x, times[i], times[i + 1], memory, () => noise(i));
    states.push(x);
  }
  return states;
}
