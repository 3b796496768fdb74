// Colour maps that are perceptually even and read by all kinds of colour vision. Each is a few knots
// of the published map, between which Oklab is straight: even steps of lightness stay even.

const KNOTS = {
  // Nuñez, Anderton & Renslow 2018, "Optimizing colormaps with consideration for color vision deficiency"
  cividis: ['#00204d', '#00336f', '#39486b', '#575d6d', '#707173', '#8a8779', '#a69d75', '#c4b56c', '#e4cf5b', '#ffea46'],
  // Smith & van der Walt 2015, matplotlib's
  viridis: ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6dcd59', '#b4de2c', '#fde725'],
  // densities on a light and on a dark page: even in lightness, from the page's own colour
  water: ['#f8fbfb', '#bedde4', '#87bfd0', '#549ebc', '#277da4', '#005b89'],
  deep: ['#181f22', '#26424c', '#336977', '#4492a1', '#5ebccb', '#83e7f2'],
  // for what has a sign: blue, almost white, orange
  signed: ['#15427f', '#3f7fbf', '#9ec5e3', '#f3f3f1', '#f3b98a', '#cf7433', '#7d3c0c'],
};

const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const gamma = (c) => (c <= 0.0031308 ? c * 12.92 : 1.055 * c ** (1 / 2.4) - 0.055);

// Ottosson 2020, "A perceptual color space for image processing"
function oklab(hex) {
  const [r, g, b] = [1, 3, 5].map((i) => linear(parseInt(hex.slice(i, i + 2), 16) / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

function rgb([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) => Math.round(255 * gamma(Math.min(1, Math.max(0, c)))));
}

const tables = new Map();

// 256 colours as bytes r, g, b, ...
export function table(name = 'viridis') {
  if (!tables.has(name)) {
    const knots = KNOTS[name].map(oklab);
    const found = new Uint8ClampedArray(768);
    for (let i = 0; i < 256; i++) {
      const place = (i / 255) * (knots.length - 1);
      const k = Math.min(Math.floor(place), knots.length - 2);
      found.set(rgb(knots[k].map((c, j) => c + (place - k) * (knots[k + 1][j] - c))), 3 * i);
    }
    tables.set(name, found);
  }
  return tables.get(name);
}

// The CSS colour at u in [0, 1].
export function colour(u, name = 'viridis') {
  const i = 3 * Math.round(255 * Math.min(1, Math.max(0, u)));
  const t = table(name);
  return `rgb(${t[i]} ${t[i + 1]} ${t[i + 2]})`;
}

// A picture of numbers in rows (row 0 on top), `low` to `high`; NaN is clear.
export function heat(values, width, height, low, high, name = 'viridis') {
  const image = new ImageData(width, height);
  const t = table(name);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < width * height; i++) {
    if (Number.isNaN(values[i])) continue;
    const j = 3 * Math.round(Math.min(255, Math.max(0, (values[i] - low) * scale)));
    image.data[4 * i] = t[j];
    image.data[4 * i + 1] = t[j + 1];
    image.data[4 * i + 2] = t[j + 2];
    image.data[4 * i + 3] = 255;
  }
  return image;
}
