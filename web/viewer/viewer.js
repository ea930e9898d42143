/* The viewer page. Everything it shows comes from the server it was loaded from: /layers and what that
 * links to, addressed relative to this page, so that it works behind any prefix. No other host is asked. */
(function () {
'use strict';

const api = new URL('../', location.href).href.replace(/[?#].*$/, '');
const $ = (id) => document.getElementById(id);
const layers = new Map(); // id -> Layer, bottom to top in the order of /layers reversed
let map, popup, swipe = { on: false, left: '', right: '', at: 50 };

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function say(text, isError) {
  $('status').textContent = text;
  $('status').classList.toggle('error', Boolean(isError));
}

/* JSON of an address below the API; a problem document's own words when it is refused. */
async function ask(path) {
  const response = await fetch(api + path, { headers: { accept: 'application/json' } });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || body.title || `${response.status} for ${path}`);
  return body;
}

function query(parameters) {
  const text = Object.entries(parameters).filter(([, v]) => v !== undefined && v !== '')
    .map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&');
  return text && '?' + text;
}

/* ---- one layer: what is chosen, its card in the panel, its tiles ---- */

class Layer {
  constructor(info) {
    Object.assign(this, { info, id: info.id, shown: false, opacity: 100, style: (info.styles || [])[0] || '',
      season: (info.seasons || [])[0] || '', hidden: new Set(), legend: null, tiles: null, tilejson: null, failed: new Set() });
    this.path = `layers/${encodeURIComponent(info.id)}`;
    this.card = $('layer-template').content.cloneNode(true).firstElementChild;
    this.fill();
  }

  part(name) { return this.card.querySelector('.' + name); }

  fill() {
    const info = this.info;
    this.part('title').textContent = info.title;
    this.part('kind').textContent = info.kind;
    this.part('badge').hidden = !info.synthetic;
    this.part('description').textContent = [info.description, info.attribution].filter(Boolean).join(' ');
    this.part('about').href = api + this.path;
    this.part('tilejson').href = `${api}${this.path}/tilejson.json`;
    this.part('opacity').setAttribute('aria-label', `Opacity of ${info.title}`);
    this.choice('style', info.styles || []);
    this.choice('season', info.seasons || []);
    this.part('show').addEventListener('change', (e) => this.set({ shown: e.target.checked }));
    this.part('opacity').addEventListener('input', (e) => this.set({ opacity: Number(e.target.value) }));
    this.part('style').addEventListener('change', (e) => this.set({ style: e.target.value, hidden: new Set() }));
    this.part('season').addEventListener('change', (e) => this.set({ season: e.target.value }));
    this.part('zoom').addEventListener('click', () => this.zoomTo());
  }

  choice(name, values) {
    const select = this.part(name);
    select.replaceChildren(...values.map((v) => make('option', { value: v, textContent: v })));
    select.value = this[name];
    select.closest('label').hidden = values.length < 2;
  }

  /* Changes what is chosen and everything that shows it. */
  async set(change) {
    Object.assign(this, change);
    this.part('show').checked = this.shown;
    this.part('settings').hidden = !this.shown;
    this.part('opacity').value = this.opacity;
    this.part('style').value = this.style;
    this.part('season').value = this.season;
    try {
      if (this.shown && this.legendOf !== this.style) await this.loadLegend();
      await this.draw(); // after the legend: a class filter is said in its classes
      if (this.shown) this.drawLegend();
    } catch (error) { say(`${this.info.title}: ${error.message}`, true); }
    arrange();
    remember();
  }

  /* Which classes are asked for: nothing while all are shown. */
  classes() {
    if (!this.hidden.size || !this.legend) return undefined;
    const rest = this.legend.filter((c) => !this.hidden.has(c.value)).map((c) => c.value);
    return rest.join(',');
  }

  url() {
    const classes = this.classes();
    const all = query({ style: this.style, season: this.season });
    return `${api}${this.path}/tiles/WebMercatorQuad/{z}/{x}/{y}{r}.png${all}` +
      (classes === undefined ? '' : `${all ? '&' : '?'}classes=${classes}`);
  }

  async draw() {
    if (!this.shown) {
      if (this.tiles) this.tiles.remove();
      return;
    }
    if (!this.tilejson) this.tilejson = await ask(`${this.path}/tilejson.json${query({ season: this.season })}`);
    if (!this.shown) return; // switched off while the answer was on its way
    if (!this.tiles) this.tiles = this.makeTiles();
    this.tiles.setOpacity(this.opacity / 100);
    if (this.tiles._url !== this.url()) this.tiles.setUrl(this.url());
    if (!map.hasLayer(this.tiles)) this.tiles.addTo(map);
  }

  makeTiles() {
    const t = this.tilejson;
    const tiles = L.tileLayer(this.url(), { minZoom: t.minzoom, maxNativeZoom: t.maxzoom, maxZoom: 20, pane: this.pane(),
      bounds: this.bounds(), attribution: (this.info.synthetic ? 'synthetic · ' : '') + escapeHtml(this.info.attribution || '') });
    const failed = this.failed;
    const done = () => say(failed.size ? `${this.info.title}: a tile did not come; it is asked for again when the map moves` : '', failed.size);
    tiles.on('tileerror', (e) => { failed.add(e.tile); done(); });
    tiles.on('tileload', (e) => { if (failed.delete(e.tile)) done(); });
    tiles.on('tileunload', (e) => failed.delete(e.tile));
    tiles.on('load', done);
    tiles.on('loading', () => say('Loading tiles…'));
    return tiles;
  }

  /* What did not come is asked for again; Leaflet itself takes a tile that failed for one that is there. */
  retry() {
    for (const tile of this.failed) tile.src = String(tile.src);
    if (!quiet && this.shown && !this.tilejson) this.set({});
  }

  /* A pane of its own, so that a swipe can clip it. */
  pane() {
    const name = 'layer-' + this.id;
    if (!map.getPane(name)) {
      map.createPane(name, map.getPane('tilePane')).style.zIndex = 200 + [...layers.keys()].indexOf(this.id);
    }
    return name;
  }

  bounds() {
    const b = this.tilejson.bounds;
    return b && L.latLngBounds([b[1], b[0]], [b[3], b[2]]);
  }

  async zoomTo() {
    if (!this.tilejson) await this.set({ shown: true });
    if (this.tilejson && this.tilejson.bounds) map.fitBounds(this.bounds());
  }

  async loadLegend() {
    const style = this.style, answer = await ask(`${this.path}/legend.json${query({ style })}`);
    if (style !== this.style) return; // another was chosen while the answer was on its way
    Object.assign(this, { document: answer, legendOf: style, legend: answer['classification:classes'] || null });
  }

  drawLegend() {
    const legend = this.part('legend'), d = this.document || {};
    if (this.legend) legend.replaceChildren(...this.legend.map((c) => this.classRow(c)));
    else if (d.type === 'ramp') legend.replaceChildren(...rampRows(d));
    else legend.replaceChildren();
  }

  classRow(c) {
    const color = c.color_hint || c['color-hint'] || '000000', alpha = c['tilth:alpha'] === undefined ? 255 : c['tilth:alpha'];
    const swatch = make('span', { className: 'swatch' });
    swatch.style.background = `#${color}${alpha.toString(16).padStart(2, '0')}`;
    const row = make('button', { type: 'button', title: 'Show or hide this class' }, swatch, c.title || c.name);
    row.setAttribute('aria-pressed', String(!this.hidden.has(c.value)));
    row.addEventListener('click', async () => {
      const hidden = new Set(this.hidden);
      if (!hidden.delete(c.value)) hidden.add(c.value);
      await this.set({ hidden });
      const same = [...this.part('legend').children][this.legend.indexOf(c)];
      if (same) same.focus();
    });
    return row;
  }
}

function rampRows(d) {
  const [low, high] = d.range || [d.stops[0][0], d.stops[d.stops.length - 1][0]];
  const at = (v) => `${(100 * (v - low) / (high - low)).toFixed(1)}%`;
  const bar = make('div', { className: 'ramp' });
  bar.style.background = `linear-gradient(to right, ${d.stops.map(([v, c]) => `#${c} ${at(v)}`).join(', ')})`;
  return [bar, make('div', { className: 'ramp-ends' }, make('span', { textContent: low }), make('span', { textContent: high }))];
}

function escapeHtml(text) {
  return make('span', { textContent: text }).innerHTML;
}

/* ---- swipe, and what is said of the whole map ---- */

function arrange() {
  const any = [...layers.values()].some((l) => l.shown && l.info.synthetic);
  $('synthetic').hidden = !any;
  document.title = (any ? 'synthetic · ' : '') + 'tilth map';
  $('swipe').hidden = !swipe.on;
  $('swipe-on').checked = swipe.on;
  const range = $('swipe').firstElementChild;
  range.value = swipe.at;
  range.setAttribute('aria-valuetext', `${swipe.at} % from the left`);
  clip();
  const native = Math.max(0, ...[...layers.values()].filter((l) => l.shown && l.tilejson)
    .map((l) => l.tilejson['tilth:native_zoom'] || 0));
  map.getContainer().classList.toggle('past-native', native > 0 && map.getZoom() > native + 2);
}

/* Cuts the two layers of a swipe at the handle. Panes move with the map, the handle does not. */
function clip() {
  const size = map.getSize(), corner = map.containerPointToLayerPoint([0, 0]), far = corner.add(size);
  const x = corner.x + size.x * swipe.at / 100, line = map.getPane('swipe-line');
  line.hidden = !swipe.on;
  Object.assign(line.style, { left: `${x - 1}px`, top: `${corner.y}px`, height: `${size.y}px` });
  for (const layer of layers.values()) {
    const pane = map.getPane('layer-' + layer.id);
    if (!pane) continue;
    const left = swipe.on && layer.id === swipe.left, right = swipe.on && layer.id === swipe.right;
    pane.style.display = swipe.on && !left && !right ? 'none' : ''; // what lies over both would hide them
    if (left === right) pane.style.clip = '';
    else if (left) pane.style.clip = `rect(${corner.y}px, ${x}px, ${far.y}px, ${corner.x}px)`;
    else pane.style.clip = `rect(${corner.y}px, ${far.x}px, ${far.y}px, ${x}px)`;
  }
}

function setSwipe(change) {
  Object.assign(swipe, change);
  $('swipe-left').value = swipe.left;
  $('swipe-right').value = swipe.right;
  if (swipe.on) for (const id of [swipe.left, swipe.right]) if (layers.has(id) && !layers.get(id).shown) layers.get(id).set({ shown: true });
  arrange();
  remember();
}

function setupSwipe() {
  const all = [...layers.values()].reverse(), of = (kind) => all.find((l) => l.info.kind === kind);
  for (const id of ['swipe-left', 'swipe-right'])
    $(id).replaceChildren(...all.map((l) => make('option', { value: l.id, textContent: l.info.title })));
  swipe.left = swipe.left || (of('baseline') || all[0]).id;
  swipe.right = swipe.right || (of('prediction') || all[all.length - 1]).id;
  $('compare').hidden = all.length < 2;
  $('swipe-on').addEventListener('change', (e) => setSwipe({ on: e.target.checked }));
  $('swipe-left').addEventListener('change', (e) => setSwipe({ left: e.target.value }));
  $('swipe-right').addEventListener('change', (e) => setSwipe({ right: e.target.value }));
  $('swipe').firstElementChild.addEventListener('input', (e) => setSwipe({ at: Number(e.target.value) }));
}

/* ---- what is here? ---- */

async function askPoint(latlng) {
  const at = latlng.wrap(), shown = [...layers.values()].filter((l) => l.shown).reverse();
  const box = make('div', { className: 'point' });
  box.append(make('div', { className: 'place', textContent: `${at.lat.toFixed(5)}, ${at.lng.toFixed(5)}` }));
  if (!shown.length) box.append('No layer is shown.');
  const parts = shown.map((layer) => {
    const part = make('div', {}, make('h3', { textContent: layer.info.title }), 'asking…');
    box.append(part);
    return part;
  });
  popup = L.popup({ maxWidth: 330, minWidth: 220, autoPanPadding: [20, 20] }).setLatLng(latlng).setContent(box).openOn(map);
  const mine = popup;
  await Promise.all(shown.map(async (layer, i) => {
    let rows;
    try {
      rows = pointRows(layer, await ask(`${layer.path}/point/${at.lng.toFixed(6)},${at.lat.toFixed(6)}${query({ season: layer.season })}`));
    } catch (error) { rows = [make('div', { textContent: error.message })]; }
    parts[i].replaceChildren(parts[i].firstElementChild, ...rows);
    if (popup === mine) mine.update();
  }));
}

function pointRows(layer, answer) {
  const rows = [];
  if (layer.info.synthetic) rows.push(make('span', { className: 'badge synthetic', textContent: 'synthetic' }));
  if (answer.inside === false) return [...rows, make('div', { textContent: 'Outside of this layer.' })];
  if (answer.class) {
    const confidence = answer.confidence === undefined ? '' : `, confidence ${answer.confidence} %`;
    rows.push(make('div', {}, make('span', { className: 'class', textContent: answer.class.title || answer.class.name }), confidence));
  } else if (answer.valid === false) rows.push(make('div', { textContent: 'No data here.' }));
  if (answer.probabilities) rows.push(table(answer.probabilities, true));
  if (answer.bands && !answer.class) rows.push(table(answer.bands));
  if (answer.features && Object.keys(answer.features).length) {
    rows.push(make('details', {}, make('summary', { textContent: `${Object.keys(answer.features).length} features` }),
      make('div', { className: 'scroll' }, table(answer.features))));
  }
  return rows;
}

function table(values, bars) {
  const rows = Object.entries(values).map(([name, value]) => {
    const number = value === null ? '–' : Number.isInteger(value) ? String(value) : value.toFixed(3);
    const row = make('tr', {}, make('td', { textContent: name }), make('td', { className: 'number', textContent: number }));
    if (bars) {
      const bar = make('span', { className: 'bar' });
      bar.style.width = `${Math.round(90 * value)}px`;
      row.append(make('td', {}, bar));
    }
    return row;
  });
  return make('table', {}, make('tbody', {}, ...rows));
}

/* ---- the link: everything that is chosen stands behind # ---- */

let quiet = true;

/* #map=12/-17.83/31.05&swipe=50,a,b&l=id;o=80;s=style;t=season;h=0,254&l=... */
function remember() {
  if (quiet) return;
  const c = map.getCenter(), parts = [`map=${map.getZoom()}/${c.lat.toFixed(5)}/${c.lng.toFixed(5)}`];
  if (swipe.on) parts.push(`swipe=${[swipe.at, swipe.left, swipe.right].map(encodeURIComponent).join(',')}`);
  for (const l of layers.values()) {
    if (!l.shown) continue;
    const of = { o: l.opacity === 100 ? '' : l.opacity, s: l.style === (l.info.styles || [])[0] ? '' : l.style,
      t: l.season === (l.info.seasons || [])[0] ? '' : l.season, h: [...l.hidden].join(',') };
    parts.push('l=' + [encodeURIComponent(l.id), ...Object.entries(of).filter(([, v]) => v !== '')
      .map(([k, v]) => `${k}=${encodeURIComponent(v)}`)].join(';'));
  }
  history.replaceState(null, '', '#' + parts.join('&'));
}

/* Of a link that was cut or mistyped: what cannot be read is taken as it stands. */
function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function recall() {
  const found = { layers: new Map() };
  for (const part of location.hash.slice(1).split('&')) {
    const [key, value] = [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)];
    if (key === 'map') {
      const [z, lat, lng] = value.split('/').map(Number);
      if ([z, lat, lng].every(Number.isFinite)) found.view = { z, lat, lng };
    } else if (key === 'swipe') {
      const [at, left, right] = value.split(',').map(decoded);
      if (layers.has(left) && layers.has(right)) found.swipe = { on: true, at: Math.min(100, Math.max(0, Number(at) || 0)), left, right };
    } else if (key === 'l') {
      const [id, ...rest] = value.split(';');
      found.layers.set(decoded(id), new Map(rest.map((r) => [r.slice(0, 1), decoded(r.slice(2))])));
    }
  }
  return found;
}

/* What a link says of a layer, as far as the layer knows it. */
function recalled(layer, said) {
  const change = { shown: true };
  if (said.has('o')) change.opacity = Math.min(100, Math.max(0, Number(said.get('o')) || 0));
  if ((layer.info.styles || []).includes(said.get('s'))) change.style = said.get('s');
  if ((layer.info.seasons || []).includes(said.get('t'))) change.season = said.get('t');
  if (said.get('h')) change.hidden = new Set(said.get('h').split(',').map(Number).filter(Number.isInteger));
  return change;
}

/* ---- the start ---- */

async function restore() {
  const link = recall(), wanted = new URLSearchParams(location.search);
  quiet = true;
  if (link.view) map.setView([link.view.lat, link.view.lng], link.view.z);
  for (const layer of layers.values()) {
    const said = link.layers.get(layer.id);
    if (said) await layer.set(recalled(layer, said));
    else if (layer.shown) await layer.set({ shown: false });
  }
  const asked = link.layers.size ? [...link.layers.keys()] : wanted.get('layer') ? [wanted.get('layer')] : [];
  const unknown = asked.filter((id) => !layers.has(id));
  if (!link.layers.size || asked.length === unknown.length) {
    const ids = asked.length ? asked
      : ['baseline', 'prediction'].map((k) => ([...layers.values()].reverse().find((l) => l.info.kind === k) || {}).id);
    const chosen = ids.filter((id) => layers.has(id)), style = wanted.get('style'), season = wanted.get('season');
    for (const id of chosen.length ? chosen : [...layers.keys()].slice(-1)) {
      const layer = layers.get(id), change = { shown: true };
      if (wanted.get('layer') && (layer.info.styles || []).includes(style)) change.style = style;
      if (wanted.get('layer') && (layer.info.seasons || []).includes(season)) change.season = season;
      await layer.set(change);
    }
  }
  swipe.on = false;
  setSwipe(link.swipe || {});
  if (!link.view) startView();
  $('absent').hidden = !unknown.length; // a line of its own: tiles that load have the other
  $('absent').textContent = unknown.length ? `This server has no layer ${unknown.join(', ')}.` : '';
  quiet = false;
  remember();
}

function startView() {
  const first = [...layers.values()].reverse().find((l) => l.shown && l.tilejson);
  if (!first) return;
  const t = first.tilejson;
  if (t.center) map.setView([t.center[1], t.center[0]], Math.max(t.minzoom, Math.min(t.center[2], t.maxzoom)));
  else if (t.bounds) map.fitBounds(first.bounds());
}

function setupMap() {
  map = L.map('map', { zoomControl: true, maxZoom: 20, minZoom: 1, worldCopyJump: true, attributionControl: true }).setView([0, 20], 3);
  map.attributionControl.setPrefix('Leaflet');
  map.createPane('swipe-line'); // below popups, which the handle's own layer cannot be
  L.control.scale({ imperial: false }).addTo(map);
  map.on('click', (e) => askPoint(e.latlng));
  map.on('move zoom resize', clip);
  map.on('moveend zoomend', () => { arrange(); remember(); });
  map.on('moveend', () => { for (const layer of layers.values()) layer.retry(); });
  map.getContainer().addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && e.target === map.getContainer()) askPoint(map.getCenter());
  });
}

function setupPanel() {
  $('fold').addEventListener('click', () => {
    const folded = $('panel').classList.toggle('folded');
    $('fold').textContent = folded ? 'Layers' : 'Hide';
    $('fold').setAttribute('aria-expanded', String(!folded));
  });
  $('ask').addEventListener('click', () => askPoint(map.getCenter()));
  $('ask').addEventListener('focus', () => document.body.classList.add('keyboard'));
  $('ask').addEventListener('blur', () => document.body.classList.remove('keyboard'));
  $('link').addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say('The link to this view is in the clipboard.');
    } catch { say('Copy the link from the address bar.'); }
  });
  window.addEventListener('hashchange', restore);
}

async function start() {
  setupMap();
  setupPanel();
  say('Asking for the layers…');
  try {
    const found = (await ask('layers')).layers;
    const order = ['imagery', 'baseline', 'prediction'];
    found.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
    for (const info of found) layers.set(info.id, new Layer(info));
    $('layers').replaceChildren(...[...layers.values()].reverse().map((l) => l.card));
    if (!layers.size) { say('This server has no layers yet.'); return; }
    say('');
    setupSwipe();
    await restore();
  } catch (error) { say(`The layers did not come: ${error.message}`, true); }
}

start();
})();
