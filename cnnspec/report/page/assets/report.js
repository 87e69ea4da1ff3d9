'use strict';
(() => {
  const byId = id => document.getElementById(id);
  const read = id => JSON.parse(byId(id).textContent);
  const data = read('layer-data');
  const maps = read('map-data');
  const layers = new Map(data.layers.map(layer => [layer.name, layer]));
  const places = new Map(data.layers.map((layer, i) => [layer.name, i]));
  let chosen = '';

  const element = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  // Text with words of the spec between backquotes, which are shown as code.
  const written = (name, text, kind) => {
    const made = element(name, undefined, kind);
    text.split('`').forEach((part, i) => made.append(i % 2 ? element('code', part) : part));
    return made;
  };

  // Themes

  document.querySelectorAll('input[name=theme]').forEach(input => input.addEventListener('change', () => {
    if (input.value === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = input.value;
  }));

  // On paper: light, with every block unfolded

  let before = null;
  addEventListener('beforeprint', () => {
    const root = document.documentElement;
    before = { theme: root.dataset.theme, closed: [...document.querySelectorAll('details:not([open])')] };
    root.dataset.theme = 'light';
    before.closed.forEach(part => { part.open = true; });
  });
  addEventListener('afterprint', () => {
    if (before.theme) document.documentElement.dataset.theme = before.theme;
    else delete document.documentElement.dataset.theme;
    before.closed.forEach(part => { part.open = false; });
  });

  // The panel of a layer

  const source = excerpt => {
    const lines = element('pre');
    lines.tabIndex = 0;
    lines.setAttribute('aria-label', 'Lines of the spec');
    excerpt.lines.forEach((text, i) => {
      const number = excerpt.first + i;
      const own = number >= excerpt.place[0] && number <= excerpt.place[1];
      const line = element('span', undefined, own ? 'own' : '');
      line.append(element('i', String(number).padStart(4) + '  '), text);
      lines.append(line);
    });
    return lines;
  };

  const links = names => {
    const made = element('span');
    names.forEach((name, i) => {
      if (i) made.append(', ');
      const button = element('button', name, 'choose');
      button.type = 'button';
      button.dataset.name = name;
      made.append(button);
    });
    return made;
  };

  const panel = layer => {
    const place = byId('panel');
    place.replaceChildren(element('h3', layer.name), written('p', `${layer.title}, ${layer.shape.join('×')}. ${layer.about}`));
    for (const [title, names] of [['reads', layer.reads], ['read by', layer.readBy]]) {
      if (!names.length) continue;
      const line = element('p', `${title} `, 'muted');
      line.append(links(names));
      place.append(line);
    }
    for (const [topic, result, steps] of layer.sections) {
      const head = element('h4', `${topic}: `);
      head.append(written('span', result));
      place.append(head);
      if (!steps.length) continue;
      const list = element('dl');
      for (const [quantity, formula] of steps) list.append(element('dt', quantity), written('dd', formula));
      place.append(list);
    }
    if (layer.source !== null) {
      const excerpt = data.excerpts[layer.source];
      place.append(element('h4', `In ${excerpt.file}, line ${excerpt.place[0]}`), source(excerpt));
    }
  };

  // The receptive field of a unit

  const rowInput = byId('unit-row');
  const columnInput = byId('unit-column');

  const span = ([start, stop], what, n) => stop - start > 1
    ? `${what}s ${start} to ${stop - 1}${stop - start === n ? ' (all)' : ''}`
    : `${what} ${start}`;

  const field = () => {
    const layer = layers.get(chosen);
    const isMap = layer.shape.length === 3;
    const [row, column] = isMap ? [+rowInput.value, +columnInput.value] : [0, 0];
    byId('row-value').value = row;
    byId('column-value').value = column;
    const unit = isMap ? `Unit (${row}, ${column}) of ${chosen} reads` : `The numbers of ${chosen} together read`;
    const texts = [];
    document.querySelectorAll('.frame').forEach(frame => {
      const name = frame.dataset.input;
      const [height, width] = data.inputs[name].size;
      const box = frame.querySelector('.reach');
      const tables = layer.ranges[name];
      box.hidden = !tables;
      if (!tables) return;
      const [rows, columns] = [data.tables[tables[0]][row], data.tables[tables[1]][column]];
      const empty = rows[1] <= rows[0] || columns[1] <= columns[0];
      box.hidden = empty;
      box.classList.toggle('tiny', (rows[1] - rows[0]) / height < 0.03 && (columns[1] - columns[0]) / width < 0.03);
      Object.assign(box.style, {
        top: `${100 * rows[0] / height}%`, height: `${100 * (rows[1] - rows[0]) / height}%`,
        left: `${100 * columns[0] / width}%`, width: `${100 * (columns[1] - columns[0]) / width}%`,
      });
      texts.push(empty ? `${unit} nothing of ${name}: padding alone`
        : `${unit} ${span(rows, 'row', height)} and ${span(columns, 'column', width)} of ${name}`
          + `, counted from 0: ${rows[1] - rows[0]}×${columns[1] - columns[0]} pixels`);
    });
    byId('field-text').textContent = texts.length ? `${texts.join('. ')}.`
      : `What ${chosen} reads of an image is not known.`;
  };

  const centre = () => {
    const shape = layers.get(chosen).shape;
    const isMap = shape.length === 3;
    byId('unit').hidden = !isMap;
    [rowInput.max, columnInput.max] = isMap ? [shape[1] - 1, shape[2] - 1] : [0, 0];
    [rowInput.value, columnInput.value] = isMap ? [shape[1] >> 1, shape[2] >> 1] : [0, 0];
    field();
  };

  rowInput.addEventListener('input', field);
  columnInput.addEventListener('input', field);
  byId('centre').addEventListener('click', centre);

  // Feature maps

  const scrub = byId('scrub');

  const map = i => {
    if (!scrub) return;
    const shown = maps[i];
    scrub.value = i;
    scrub.setAttribute('aria-valuetext', shown.name);
    byId('map-name').textContent = shown.name;
    byId('map-text').textContent = shown.text;
    const image = byId('map');
    image.width = shown.width;
    image.height = shown.height;
    image.src = shown.picture;
    image.alt = `Values of ${shown.name}`;
  };

  if (scrub) {
    const move = step => choose(maps[Math.min(maps.length - 1, Math.max(0, +scrub.value + step))].name);
    scrub.addEventListener('input', () => choose(maps[+scrub.value].name));
    byId('before').addEventListener('click', () => move(-1));
    byId('after').addEventListener('click', () => move(1));
  }

  // The table

  const body = byId('table').tBodies[0];
  const heads = [...byId('table').tHead.rows[0].cells];

  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const order = head.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
    const sign = order === 'ascending' ? 1 : -1;
    const key = row => row.cells[column].dataset.key;
    const compare = head.dataset.kind === 'number'
      ? (a, b) => key(a) - key(b)
      : (a, b) => key(a).localeCompare(key(b), 'en', {numeric: true});
    heads.forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', order);
    body.append(...[...body.rows].sort((a, b) => sign * compare(a, b) || places.get(a.dataset.name) - places.get(b.dataset.name)));
  }));

  const filter = byId('filter');
  const filtered = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of body.rows) {
      const text = [...row.cells].map(cell => cell.textContent).join(' ').toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      count += !row.hidden;
    }
    byId('filtered').textContent = words.length ? `${count} of ${body.rows.length} layers` : `${body.rows.length} layers`;
  };
  filter.addEventListener('input', filtered);

  // Mark the folded block that a layer is in, if it is in one, and scroll the diagram, and not the page, to what is seen.
  const reveal = layer => {
    const drawing = layer.closest('.drawing');
    drawing.querySelectorAll('.holds').forEach(block => block.classList.remove('holds'));
    let seen = layer;
    for (let block = layer.closest('.block'); block; block = block.parentElement.closest('.block')) {
      if (block.dataset.folded === 'true') seen = block;
    }
    if (seen !== layer) seen.classList.add('holds');
    const [own, frame] = [seen.getBoundingClientRect(), drawing.getBoundingClientRect()];
    if (!own.height || (own.top >= frame.top && own.bottom <= frame.bottom)) return;
    drawing.scrollTop += (own.top + own.bottom - frame.top - frame.bottom) / 2;
  };

  // One layer is chosen at a time, wherever that was done

  const choose = name => {
    if (!layers.has(name) || name === chosen) return;
    chosen = name;
    byId('layer').value = byId('field-layer').value = name;
    for (const row of body.rows) row.classList.toggle('chosen', row.dataset.name === name);
    document.querySelectorAll('.drawing .layer').forEach(layer => {
      const own = layer.dataset.name === name;
      layer.classList.toggle('chosen', own);
      layer.setAttribute('aria-pressed', own);
      if (own) reveal(layer);
    });
    panel(layers.get(name));
    centre();
    map(places.get(name));
  };

  document.addEventListener('cnnspec:layer', event => choose(event.detail.name));
  document.addEventListener('click', event => {
    const button = event.target.closest('button.choose');
    if (button) choose(button.dataset.name || button.closest('tr').dataset.name);
  });
  for (const id of ['layer', 'field-layer']) byId(id).addEventListener('change', event => choose(event.target.value));

  filtered();
  choose((data.layers.find(layer => layer.reads.length) || data.layers[0]).name);
})();
