// Point sets of the plane as demist.data.readers.toy has them: u in (0, 1) to a point, then mean 0 and
// mean variance 1. Class 0 of the page is the part of the shape with u below `cut`.

const moons = (u) => {
  const lower = u >= 0.5 ? 1 : 0, angle = Math.PI * (2 * u - lower);
  return lower ? [1 - Math.cos(angle), 0.5 - Math.sin(angle)] : [Math.cos(angle), Math.sin(angle)];
};

const spiral = (u) => {
  const angle = 4 * Math.PI * Math.sqrt(u);
  return [angle * Math.cos(angle), angle * Math.sin(angle)];
};

const gaussians = (u) => {
  const index = Math.floor(25 * u);
  return [Math.floor(index / 5) - 2, (index % 5) - 2];
};

const SHAPES = {
  moons: { shape: moons, noise: 0.08, count: 60, cut: 0.5, names: ['upper moon', 'lower moon'] },
  spiral: { shape: spiral, noise: 0.04, count: 80, cut: 0.5, names: ['inner arm', 'outer arm'] },
  '25-gaussians': { shape: gaussians, noise: 0.05, count: 25, cut: 0.4, names: ['left columns', 'right columns'] },
};

export const NAMES = Object.keys(SHAPES);
export const classNames = (name) => SHAPES[name]?.names ?? ['first colour', 'second colour'];

// {points: [x, y, x, y, ...], classes: [0, 1, ...]}: the middles of the Gaussians of a data set.
export function shape(name) {
  const { shape: at, noise, count, cut } = SHAPES[name];
  let mx = 0, my = 0, square = 0;
  const n = 10000;
  for (let i = 0; i < n; i++) {
    const [x, y] = at((i + 0.5) / n);
    mx += x / n;
    my += y / n;
    square += (x * x + y * y) / n;
  }
  const scale = Math.sqrt((square - mx * mx - my * my) / 2) * Math.sqrt(1 + noise * noise);
  const points = new Float64Array(2 * count), classes = new Uint8Array(count);
  for (let k = 0; k < count; k++) {
    const u = (k + 0.5) / count, [x, y] = at(u);
    points[2 * k] = (x - mx) / scale;
    points[2 * k + 1] = (y - my) / scale;
    classes[k] = u < cut ? 0 : 1;
  }
  return { points, classes };
}
