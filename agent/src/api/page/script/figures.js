// Figures over time, drawn as they come.

const WIDTH = 300;
const HEIGHT = 80;

const CHARTS = [
  ['CPU', ['cpu_percent'], percent, 'all processors together'],
  ['Memory', ['memory_bytes'], bytes],
  ['Disk', ['disk_bytes'], bytes],
  ['Temperature', ['temperature_celsius'], (value) => `${Math.round(value)} °C`],
  ['Network, in and out (dashed)', ['network_in_bytes_per_s', 'network_out_bytes_per_s'], (value) => `${bytes(value)}/s`],
  ['Storage, read and written (dashed)', ['block_read_bytes_per_s', 'block_write_bytes_per_s'], (value) => `${bytes(value)}/s`],
  ['Load', ['load'], (value) => value.toFixed(2)],
];

async function showFigures() {
  const select = byId('figures-of');
  const wanted = select.value;
  const past = `v3/stats?what=range,latest&hours=${Number(byId('figures-hours').value)}`;
  // The machine's figures come with those of all services, which nobody else needs.
  const all = await read(wanted ? 'v3/stats?what=latest' : past);
  const series = [...(all.host ? [['', 'the machine']] : []),
    ...all.services.map((row) => [`${row.app_id} ${row.service}`, `${row.app}/${row.service}`, row])];
  byId('figures').hidden = series.length === 0;
  show(select, series.map(([value, name]) => h('option', { value, 'data-key': `o${value}` }, name)));
  const [value, name, of] = series.find(([value]) => value === wanted) ?? series[0] ?? [];
  if (name === undefined) return;
  select.value = value;
  const one = of ? `&app=${of.app_id}&service=${encodeURIComponent(of.service)}` : '';
  const answer = value === wanted && !of ? all : await read(past + one);
  const row = of ? answer.services[0] : answer.host;
  if (!row) return;
  const totals = { memory_bytes: row.memory_total_bytes || row.memory_limit_bytes, disk_bytes: row.disk_total_bytes, cpu_percent: 0 };
  const charts = CHARTS.map((chart) => figure(name, chart, row, totals, answer.from_ms, answer.to_ms)).filter(Boolean);
  show(byId('figures-body'), charts.length ? charts : h('p', { class: 'soft' }, 'No figures yet: the first ones come within a minute.'));
}

function figure(name, [title, columns, write], row, totals, from, to) {
  const lines = columns.map((column) => row.points?.[column]).filter(Boolean);
  const known = lines.flat().filter((value) => value !== null);
  if (!known.length) return null;
  const most = Math.max(...known);
  const total = totals[columns[0]];
  const top = total || most * 1.15 || 1;
  const now = columns.map((column) => row.latest?.[column]).filter((value) => value !== null && value !== undefined);
  const average = known.reduce((sum, value) => sum + value, 0) / known.length;
  const said = `${title} of ${name}: ${now.length ? `now ${now.map(write).join(' and ')}, ` : ''}on average ${write(average)}, at most ${write(most)}`;
  const { first_ms: first, step_s: step } = row.points;
  const x = (place) => ((first + (place + 0.5) * step * 1000 - from) / (to - from)) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * HEIGHT;
  return h('figure', { 'data-key': title },
    h('figcaption', null, h('span', null, title), h('b', null, now.map(write).join(' / '))),
    drawn('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': said },
      [0.25, 0.5, 0.75].map((part) => drawn('path', { class: 'grid', d: `M0 ${HEIGHT * part}H${WIDTH}` })),
      lines.map((values, number) => strokes(values, x, y).map((points) => [
        number === 0 && points.length > 1 && drawn('path', { class: 'area', d: `M${points[0][0]} ${HEIGHT}L${points.join('L')}L${points.at(-1)[0]} ${HEIGHT}Z` }),
        drawn('path', { class: number ? 'curve second' : 'curve', d: `M${points.join('L')}${points.length > 1 ? '' : 'h2'}` }),
      ]))),
    h('div', { class: 'ends' },
      h('span', null, `${span(to - from)} ago`),
      h('span', null, `average ${write(average)}, most ${write(most)}${total ? ` of ${write(total)}` : ''}`),
      h('span', null, 'now')));
}

// The curve, broken where nothing was measured.
function strokes(values, x, y) {
  const found = [];
  let open = null;
  values.forEach((value, place) => {
    if (value === null) {
      open = null;
      return;
    }
    if (!open) found.push((open = []));
    open.push([x(place).toFixed(1), y(value).toFixed(1)]);
  });
  return found;
}
