// Asking the agent. Addresses are relative, so the page works through a forwarded socket, too.

const KEY = 'holdfast-key';

// Something was refused, or failed.
class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, { limit = 20000, signal, headers, ...rest } = {}) {
  const key = sessionStorage.getItem(KEY);
  const signals = [signal, limit ? AbortSignal.timeout(limit) : null].filter(Boolean);
  const answer = await fetch(path, {
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    signal: signals.length ? AbortSignal.any(signals) : undefined,
    headers: { Accept: 'application/json', ...headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) },
    ...rest,
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try {
    message = JSON.parse(text).message || text;
  } catch {
    // Older endpoints answer with words.
  }
  throw new Problem(answer.status, message || `the agent answered ${answer.status}`);
}

const read = async (path, options) => (await ask(path, options)).json();

const order = (path, body, limit) =>
  ask(path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' }, limit });

// Lines of an answer that goes on. A connection that shows nothing for a while is dead: a pulled cable says nothing.
async function eachLine(path, options, silence, take) {
  const cut = new AbortController();
  let watch = 0;
  const alive = () => {
    clearTimeout(watch);
    if (silence) watch = setTimeout(() => cut.abort(), silence);
  };
  const outside = options.signal;
  try {
    alive();
    const signal = outside ? AbortSignal.any([outside, cut.signal]) : cut.signal;
    const answer = await ask(path, { ...options, signal, limit: 0 });
    options.opened?.();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      if (rest.length > 1 << 20) throw new Problem(0, 'a line without an end');
      take(lines);
    }
  } finally {
    clearTimeout(watch);
    cut.abort();
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
