// The river of one-dimensional data: paths from noise to data, and the density they follow.
import { normal } from '../random.js';
import { grid } from './grids.js';
import { Mixture, exact } from './mixture.js';
import { schedule } from './schedules.js';
import { solver, trajectory } from './solvers.js';

// One state of the page as numbers. Paths are numbered from the lowest start to the highest.
export function flow({ data, width, schedule: path, solver: spec, grid: places, steps, paths, seed }) {
  const route = schedule(path), made = solver(spec, steps);
  const times = grid(places === 'auto' ? made.grid : places, steps, route);
  const mixture = new Mixture(data, 1, width * width), model = exact(mixture, route);
  const draw = normal(seed), [, sigma] = route.at(times[0]);
  const start = Float64Array.from({ length: paths }, () => draw()).sort().map((z) => sigma * z);
  const draws = made.stochastic ? noises(times.length - 1, paths, seed) : [];
  const states = trajectory(model, start, times, made, (i) => draws[i]);
  return { route, times, mixture, model, states, solver: made, start };
}

// One normal number for every step and path, which stay what they are when data move.
function noises(steps, paths, seed) {
  const draw = normal(seed + 7919);
  return Array.from({ length: steps }, () => Float64Array.from({ length: paths }, () => draw()));
}

// What the model takes for the data, at every state but the last: x0 at times[0], times[1], ...
export const predictions = ({ model, times, states }, path) => Float64Array.from(
  states.slice(0, -1), (x, i) => model.predict(Float64Array.of(x[path]), times[i]).x0[0]);

// How the page is laid out: u from 0 (noise) to 1 (data), and the factor from states to what is drawn.
export function across(route, kind) {
  const top = route.angle(1), [alpha, sigma] = route.at(1);
  const exploding = Math.hypot(alpha, sigma) > 1.5;
  const noise = kind === 'noise';
  return {
    exploding,
    u: (t) => (noise ? 1 - route.angle(t) / top : 1 - t),
    t: (u) => (noise ? Math.min(1, Math.max(0, route.timeAtAngle((1 - u) * top))) : 1 - u),
    scale: (t) => (exploding ? 1 / Math.hypot(...route.at(t)) : 1),
  };
}

// The density at `columns` times and at the values `ys`, each column as a share of its highest.
export function densities({ route, mixture }, layout, columns, ys, out) {
  const column = new Float64Array(ys.length), places = new Float64Array(ys.length);
  const one = Float64Array.of(0);
  for (let c = 0; c < columns; c++) {
    const t = layout.t((c + 0.5) / columns), [alpha, sigma] = route.at(t), scale = layout.scale(t);
    for (let r = 0; r < ys.length; r++) places[r] = ys[r] / scale;
    mixture.raster(places, one, alpha, sigma, column);
    let most = 1e-300;
    for (let r = 0; r < ys.length; r++) if (column[r] > most) most = column[r];
    for (let r = 0; r < ys.length; r++) out[r * columns + c] = column[r] / most;
  }
  return out;
}

// Which datum is nearest to a value: its place in the list.
export function nearest(data, value) {
  let found = 0;
  data.forEach((v, i) => { if (Math.abs(v - value) < Math.abs(data[found] - value)) found = i; });
  return found;
}
