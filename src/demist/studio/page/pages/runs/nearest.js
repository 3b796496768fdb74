// Whether a run copies: its newest samples beside the training items that are nearest to them.
import { file, start } from '../../lib/api.js';
import { make, number } from '../../lib/dom.js';

const KINDS = {
  points: { what: 'distance', how: 'the Euclidean distance in the units of the data' },
  images: { what: 'distance (RMS per pixel, of 255)', how: 'the Euclidean distance of the pixels as root mean square: 0 is the same image, 255 black against white' },
  sounds: { what: 'distance (RMS per sample)', how: 'the Euclidean distance of the waves as root mean square; a shift in time counts as far' },
};

export function nearest(id, run) {
  const place = make('div', { class: 'stack tight' }, make('p', { class: 'small muted' },
    'Draws samples anew from the newest checkpoint, with the noise of the sample pages, and finds for each the items of the training data that are nearest. This reads all of ',
    make('code', {}, run.options?.path ?? 'its data'), '.'));
  const bar = make('progress', { class: 'bar', max: '1', value: '0', 'aria-label': 'Comparing' });
  const words = make('p', { class: 'small muted', role: 'status' });
  const button = make('button', { type: 'button' }, 'Compare');
  let job = null;
  const over = (...children) => { job?.stop(); job = null; button.textContent = 'Compare'; place.replaceChildren(...children); };
  const failed = (message) => over(make('p', { class: 'note bad' }, message));
  button.addEventListener('click', async () => {
    if (job) { job.cancel().catch((error) => failed(error.message)); return; }
    button.textContent = 'Stop';
    bar.value = 0;
    words.textContent = 'The worker wakes up …';
    place.replaceChildren(bar, words);
    try {
      job = await start('nearest', { run: id }, async (event) => {
        if (event.type === 'step') {
          bar.value = event.step / event.of;
          words.textContent = event.facts.doing === 'drawing' ? 'Drawing samples …' : `Comparing with ${number(event.of)} items …`;
        } else if (event.type === 'done') {
          const found = await (await fetch(file(event.job, 'nearest.json'), { credentials: 'same-origin' })).json();
          over(...shown(found, file(event.job, 'nearest.png')));
        } else if (event.type === 'failed') failed(event.message);
        else if (event.type === 'cancelled') over(make('p', { class: 'small muted' }, 'Stopped.'));
      });
    } catch (error) { failed(error.message); }
  });
  return make('section', { class: 'card', 'aria-label': 'Nearest training items' }, make('div', { class: 'row spread title' },
    make('h2', {}, 'Nearest training items of the newest samples'), button), place);
}

const share = (v) => `${Math.round(100 * v)} %`;

function shown(found, url) {
  const { what, how } = KINDS[found.kind] ?? KINDS.points, held = found.held_out > 0;
  const figures = held ? make('dl', { class: 'figures' }, [
    ['Median distance, by that of held-out items', number(found.ratio, 3), '1 is natural'],
    ['Nearer than held-out items', share(found.closer), '50 % is natural'],
  ].map(([name, value, natural]) => make('div', {}, make('dt', {}, name), make('dd', {}, value), make('dd', { class: 'natural' }, natural)))) : '';
  const curve = make('demist-curve');
  // up to where nearly all lie, so that a few that are far from everything do not flatten the rest
  const most = 1.05 * Math.max(...[found.near, found.natural].filter((d) => d.length).map((d) => d[Math.floor(0.95 * (d.length - 1))])) || 1;
  const x = Array.from({ length: 121 }, (_, i) => (i / 120) * most);
  const below = (list) => x.map((v) => list.filter((d) => d <= v).length / list.length);
  curve.data = {
    x, xLabel: what, xFormat: (v) => number(v, 3), yLabel: 'share nearer than that', format: share, zero: true,
    lines: [{ y: below(found.near), label: 'samples', colour: 1 }, ...(held ? [{ y: below(found.natural), label: 'held-out items', colour: 2 }] : [])],
  };
  return [
    make('p', { class: 'small' }, `${number(found.samples)} samples${found.step ? ` after ${number(found.step)} steps` : ''}, each against all ${number(found.train)} items of ${found.data} that the run learned from, by ${how}.`,
      held ? ` So were ${number(found.held_out)} held-out items, which it has not seen. A ratio far below 1 means copies, or blur, which is near to everything.` : ' Nothing was held out, so there is nothing to say which distance is natural.',
      found.mirrored ? ' Mirrored training items were not looked at.' : ''),
    figures, curve,
    make('h3', {}, `The ${found.pairs.length} samples nearest to an item`),
    ...(found.kind === 'points' ? [table(found, held)] : [make('img', { class: 'centred', src: url, alt: `The samples in a row, below each the ${found.pairs[0].items.length} training items nearest to it with their distances: ${found.pairs.map((p) => number(p.distances[0], 3)).join(', ')}` })]),
  ];
}

const at = (point) => point.map((v) => v.toFixed(2).replace('-', '−')).join(',\u00a0');

function table(found, held) {
  const head = ['Sample', 'Nearest item', 'Distance', ...(held ? ['Held-out as far'] : [])];
  return make('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Nearest items' }, make('table', { class: 'options' },
    make('thead', {}, make('tr', {}, head.map((h, i) => make('th', { scope: 'col', class: i ? 'number' : '' }, h)))),
    make('tbody', {}, found.pairs.map((pair) => make('tr', {}, make('td', {}, at(pair.point)), make('td', { class: 'number' }, at(pair.near[0])),
      make('td', { class: 'number' }, number(pair.distances[0], 3)), held ? make('td', { class: 'number' }, share(pair.nearer_than)) : null)))));
}
