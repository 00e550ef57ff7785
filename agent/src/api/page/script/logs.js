// The tail of the containers' logs, while somebody wants to see it.

const MOST_LINES = 1000;
let following = null;

function showLogChoice(apps) {
  const options = apps.flatMap((app) => app.services.map((service) =>
    h('option', { value: new URLSearchParams({ app: app.id, service: service.name }), 'data-key': `${app.id} ${service.name}` },
      apps.length > 1 ? `${app.name}/${service.name}` : service.name)));
  show(byId('logs-of'), h('option', { value: '' }, 'all services'), options);
}

function switchLogs(on) {
  following?.abort();
  following = on ? new AbortController() : null;
  const button = byId('logs-switch');
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? 'Stop following' : 'Follow';
  if (on) followLogs(following.signal);
}

async function followLogs(signal) {
  const place = byId('logs-body');
  place.replaceChildren();
  place.hidden = false;
  try {
    const path = `v3/logs?follow=1&lines=200&${byId('logs-of').value}`;
    await eachLine(path, { signal }, 0, (lines) => addLog(place, lines));
    if (!signal.aborted) say('warn', 'The log ended.');
  } catch (problem) {
    if (!signal.aborted) say('bad', `The log cannot be read: ${problem.message}`);
  }
  if (!signal.aborted) switchLogs(false);
}

function addLog(place, lines) {
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  for (const line of lines.filter(Boolean).slice(-MOST_LINES)) {
    let row;
    try {
      row = JSON.parse(line);
    } catch {
      continue;
    }
    const mark = row.stream === 'stderr' ? h('i', null, 'stderr') : row.stream === 'system' ? h('i', null, 'agent') : null;
    place.append(h('div', null, clock(row.time), h('b', null, row.service), mark, readable(row.message).trimEnd()));
  }
  while (place.childElementCount > MOST_LINES) place.firstElementChild.remove();
  if (atEnd) place.scrollTop = place.scrollHeight;
}
