// How times, sizes and states are written.

function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

// Moments of an answer grow older while it is shown.
const age = (moment, since) => span(moment.ago_ms + Date.now() - since);
const ago = (moment, since) => moment && `${age(moment, since)} ago`;

function ahead(moment, since) {
  if (!moment) return null;
  const left = moment.in_ms - (Date.now() - since);
  return left > 0 ? `in ${span(left)}` : 'now';
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

const percent = (value) => `${value >= 10 ? Math.round(value) : Math.round(value * 10) / 10} %`;

// Releases are known by their first letters.
const commit = (text) => h('code', { title: text }, text.slice(0, 7));

// The whole of a digest tells nobody anything.
const short = (text) => text.replace(/@sha256:([0-9a-f]{8})[0-9a-f]+/g, '@$1');

function clock(iso) {
  const time = new Date(iso);
  if (!iso || Number.isNaN(time.getTime())) return null;
  const today = time.toDateString() === new Date().toDateString();
  const hour = time.toLocaleTimeString([], { hour12: false });
  return h('time', { datetime: iso }, today ? hour : `${time.toLocaleDateString()} ${hour}`);
}

// What terminals make colours of, and what else cannot be seen.
const readable = (text) =>
  // eslint-disable-next-line no-control-regex
  text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, '').replace(/[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]/g, '');

const PHASES = {
  starting: ['busy', 'Starting'],
  'no-target': ['off', 'No target'],
  'watch-only': ['warn', 'Watching only'],
  applying: ['busy', 'Updating'],
  waiting: ['warn', 'Waiting'],
  settled: ['good', 'Settled'],
  'engine-away': ['bad', 'Engine away'],
};

function serviceTone(service) {
  if (service.health === 'unhealthy') return 'bad';
  const status = service.status.toLowerCase();
  if (status === 'running') return 'good';
  if (/^(exited|dead)/.test(status)) return service.exit_code === 0 ? 'off' : 'bad';
  return /^(stopped|idle|installed|downloaded|paused)/.test(status) ? 'off' : 'busy';
}

const VERDICTS = { failed: 'bad', warning: 'warn', ok: 'good', skipped: 'off' };
const LEVELS = { error: 'bad', warning: 'warn', info: 'off' };
