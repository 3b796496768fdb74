// All runs in a table.
import { get } from '../lib/api.js';
import { ago, make, number } from '../lib/dom.js';

class RunsPage extends HTMLElement {
  async connectedCallback() {
    const runs = await get('/api/runs');
    const head = ['Run', 'State', 'Step', 'Loss', 'Changed'];
    const rows = runs.map((run) => make('tr', {},
      make('td', {}, run.id), make('td', {}, make('span', { class: `badge ${run.state}` }, run.state)),
      make('td', { class: 'number' }, number(run.step)), make('td', { class: 'number' }, number(run.loss)),
      make('td', {}, ago(run.updated))));
    this.replaceChildren(
      make('div', { class: 'head' }, make('h1', {}, 'Runs')),
      runs.length
        ? make('div', { class: 'table' }, make('table', {},
          make('thead', {}, make('tr', {}, head.map((h) => make('th', { scope: 'col' }, h)))), make('tbody', {}, rows)))
        : make('p', { class: 'empty' }, 'No runs yet; `demist train` makes one.'),
    );
  }
}
customElements.define('demist-runs-page', RunsPage);
export default { title: 'Runs', element: 'demist-runs-page' };
