// Particles of the plane, in both directions of time, and lines of equal density.
import { normal, uniform } from '../random.js';
import { grid } from './grids.js';
import { solver, trajectory } from './solvers.js';

// From noise to data: {times, states}, of all particles or of those from `begin` up to `end`.
export function backwards(model, { solver: spec, steps, count, seed, begin = 0, end = count }) {
  const made = solver(spec, steps), times = grid(made.grid, steps, model.schedule);
  const draw = normal(seed), sigma = model.schedule.at(times[0])[1], some = (x) => x.slice(2 * begin, 2 * end);
  const start = some(Float64Array.from({ length: 2 * count }, () => sigma * draw()));
  const draws = made.stochastic ? drawn(times.length - 1, count, seed + 1).map(some) : [];
  return { times, states: trajectory(model, start, times, made, (i) => draws[i]) };
}

// How far the noise that two models expect is apart: root mean square, at 9 times, where data lie.
export function apart(one, other, mixture) {
  const { times, states } = forwards(mixture, one.schedule, { steps: 9, count: 64, seed: 1 });
  let square = 0, count = 0;
  states.forEach((x, i) => {
    if (times[i] === 0) return;
    const a = one.predict(x, times[i]).eps, b = other.predict(x, times[i]).eps;
    a.forEach((v, k) => { square += (v - b[k]) ** 2; });
    count += x.length;
  });
  return Math.sqrt(square / count);
}

// From data to noise, by exact jumps of the forward process: x_s = kept x_t + std z.
export function forwards(mixture, schedule, { steps, count, seed }) {
  const pick = uniform(seed), draw = normal(seed + 1), width = Math.sqrt(mixture.variance);
  let x = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const k = Math.min(mixture.count - 1, Math.floor(pick() * mixture.count));
    for (let d = 0; d < 2; d++) x[2 * i + d] = mixture.means[2 * k + d] + width * draw();
  }
  const times = Float64Array.from({ length: steps + 1 }, (_, i) => i / steps), states = [x];
  for (let i = 0; i < steps; i++) {
    const [a, g] = schedule.at(times[i]), [b, h] = schedule.at(times[i + 1]);
    const kept = b / a, std = Math.sqrt(Math.max(0, h * h - (kept * g) ** 2));
    x = x.map((v) => kept * v + std * draw());
    states.push(x);
  }
  return { times: times.reverse(), states: states.reverse() };
}

function drawn(steps, count, seed) {
  const draw = normal(seed);
  return Array.from({ length: steps }, () => Float64Array.from({ length: 2 * count }, () => draw()));
}

// Marching squares: the segments x0, y0, x1, y1 on which `values` (rows of `width`) are `level`, in cells.
export function contour(values, width, height, level) {
  const found = [];
  for (let j = 0; j + 1 < height; j++) {
    for (let i = 0; i + 1 < width; i++) {
      const o = j * width + i;
      const a = values[o] - level, b = values[o + 1] - level, c = values[o + width + 1] - level, d = values[o + width] - level;
      if ((a > 0) === (b > 0) && (b > 0) === (c > 0) && (c > 0) === (d > 0)) continue;
      const ends = [];
      if ((a > 0) !== (b > 0)) ends.push(i + a / (a - b), j);
      if ((b > 0) !== (c > 0)) ends.push(i + 1, j + b / (b - c));
      if ((d > 0) !== (c > 0)) ends.push(i + d / (d - c), j + 1);
      if ((a > 0) !== (d > 0)) ends.push(i, j + a / (a - d));
      for (let k = 0; k + 3 < ends.length; k += 4) found.push(ends[k], ends[k + 1], ends[k + 2], ends[k + 3]);
    }
  }
  return found;
}
