// The page's state, and the loops that keep it up to date while somebody looks.

const LIVE_EVERY = 15000;
const POLLED_EVERY = 3000;
const REFUSED_EVERY = 15000;
const FIGURES_EVERY = 60000;
const MOST_EVENTS = 100;
// The agent shows that a stream is there every 20 s.
const SILENCE = 50000;

// `may`: `act` on everything, `look` at what needs no key, or `nothing`.
const page = { status: null, locks: null, at: 0, may: 'nothing', live: false, away: null };
let asking = null;
let asked = 0;
let newest = null;
let events = [];
let stream = null;
let phaseTold = '';

// Asks for the picture; one question at a time, and one more after it when somebody asked meanwhile.
function refresh() {
  if (asking) {
    asking.again = true;
    return asking.done;
  }
  asking = { again: false };
  asked = Date.now();
  asking.done = look().finally(() => {
    const { again } = asking;
    asking = null;
    if (again) setTimeout(refresh, 400);
  });
  return asking.done;
}

async function look() {
  try {
    const status = await read('v3/status');
    const locks = await read('v3/locks').catch(() => null);
    const may = status.reduced ? 'look' : 'act';
    Object.assign(page, { status, locks: locks?.locks, at: Date.now(), away: null, may });
    if (may === 'act') document.querySelector('[data-key=key]')?.remove();
    if (may === 'act' && !stream) follow();
    askForKey(may === 'act' ? null : 'This is what everybody near the device may see. With its key you see everything, and can act.');
  } catch (problem) {
    if (problem.status === 401 && sessionStorage.getItem(KEY) !== null) {
      sessionStorage.removeItem(KEY);
      say('bad', `The key is not taken: ${problem.message}`, 'key');
      asking.again = true;
    } else if (problem.status === 401) {
      Object.assign(page, { status: null, away: null, may: 'nothing' });
      await lookAtHealth();
    } else {
      page.away ??= Date.now();
    }
  }
  render();
}

async function lookAtHealth() {
  const health = await fetch('v1/healthy', { headers: { Accept: 'text/plain' } }).then((answer) => answer.ok, () => null);
  const how = { true: 'The agent is well.', false: 'The agent is not well.', null: 'The agent does not answer.' }[health];
  askForKey(`${how} To see more, enter the key of the local API.`);
}

function askForKey(text) {
  byId('entry').hidden = !text;
  show(byId('entry-text'), text ?? '');
}

function render() {
  const acts = page.may === 'act';
  for (const button of document.querySelectorAll('header button, #checks-run')) button.disabled = !acts;
  if (!page.status) {
    showLink(page.away, false, page.may);
    if (!page.away) {
      show(byId('link'), 'Key needed');
      for (const id of ['phase', 'attention', 'apps', 'now', 'locks', 'events', 'figures', 'logs', 'checks', 'about']) byId(id).hidden = true;
    }
    return;
  }
  showPicture(page);
  byId('checks').hidden = !acts;
  byId('logs').hidden = !acts;
  if (acts) showLogChoice(page.status.apps);
  section('events', acts && [...events].reverse().map((event) => h('li', { 'data-key': `e${event.id}` },
    clock(event.time), event.level !== 'info' && pill(LEVELS[event.level], event.level),
    event.app && h('strong', null, [event.app, event.service].filter(Boolean).join('/'), ' '),
    short(event.message), event.count > 1 && h('span', { class: 'soft' }, ` (${event.count} ×)`))));
  announcePhase(page.status.phase.text);
}

// Read aloud: what the device is at, when that changes, and downloads in quarters.
function announcePhase(text) {
  if (text === phaseTold) return;
  phaseTold = text;
  byId('announcer').textContent = text;
}

const quarters = new Map();
function announceProgress({ app, service, percent: value }) {
  if (value === undefined) return;
  const [key, quarter] = [`${app}/${service}`, Math.floor(value / 25)];
  if (quarter === 0 || quarters.get(key) === quarter) return void quarters.set(key, quarter);
  quarters.set(key, quarter);
  byId('announcer').textContent = `${service}: ${value} % downloaded`;
}

// One message of the stream.
function happened(event) {
  if (event.id !== undefined) {
    newest = event.id;
    events = [...events.filter(({ id }) => id !== event.id), event].slice(-MOST_EVENTS);
  }
  if (event.kind === 'progress') {
    const app = page.status?.apps.find(({ name }) => name === event.app);
    const service = app?.services.find(({ name }) => name === event.service);
    if (service) Object.assign(service, { status: event.status, progress: event.percent ?? null });
    announceProgress(event);
    render();
    return;
  }
  refresh();
}

// Follows what happens for as long as the page is looked at and the agent lets it.
async function follow() {
  stream = new AbortController();
  const { signal } = stream;
  for (let wait = 1000; !signal.aborted && page.may === 'act'; wait = Math.min(wait * 2, 30000)) {
    try {
      const kept = await read(`v3/events?follow=0&limit=${MOST_EVENTS}${newest === null ? '' : `&since=${newest}`}`, { signal });
      kept.events.forEach((event) => (newest = event.id));
      events = [...events, ...kept.events].slice(-MOST_EVENTS);
      const headers = { Accept: 'text/event-stream', ...(newest === null ? {} : { 'Last-Event-ID': String(newest) }) };
      const opened = () => { page.live = true; wait = 500; refresh(); };
      await eachLine('v3/events', { headers, signal, opened }, SILENCE, (lines) => {
        for (const line of lines) if (line.startsWith('data:')) happened(JSON.parse(line.slice(5)));
      });
    } catch (problem) {
      // An agent of another version has no such stream; then the picture is asked for more often.
      if (problem.status === 404 || problem.status === 401) break;
    }
    page.live = false;
    if (!signal.aborted) await pause(wait);
  }
  page.live = false;
}

let figuresAt = 0;
async function figures() {
  figuresAt = Date.now();
  if (page.may !== 'act') return void (byId('figures').hidden = true);
  try {
    await showFigures();
  } catch (problem) {
    byId('figures').hidden = byId('figures').hidden || [401, 403, 404].includes(problem.status);
  }
}

// Nothing is asked of a device by a page that nobody sees.
function tick() {
  if (document.hidden) return;
  const every = page.may === 'nothing' && !page.away ? REFUSED_EVERY : page.live && !page.away ? LIVE_EVERY : POLLED_EVERY;
  if (Date.now() - asked >= every) refresh();
  else if (page.status) render();
  if (page.status && Date.now() - figuresAt >= FIGURES_EVERY) figures();
}

function stopFollowing() {
  stream?.abort();
  stream = null;
  page.live = false;
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) stopFollowing();
  else refresh();
});
byId('figures-of').addEventListener('change', figures);
byId('figures-hours').addEventListener('change', figures);
byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId('key').value.trim());
  byId('key').value = '';
  stopFollowing();
  refresh().then(figures);
});
setInterval(tick, 1000);
refresh().then(figures);
