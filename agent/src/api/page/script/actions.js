// What can be asked of the device. Everything that changes something is confirmed first.

let said = 0;

// A message that stays until it is dismissed, or replaced by what became of it.
function say(tone, text, key) {
  const place = byId('messages');
  const name = key ?? `m${(said += 1)}`;
  const rest = [...place.children].filter((row) => row.dataset.key !== name).slice(-4);
  const word = { bad: 'Failed', warn: 'Note', good: 'Done', busy: 'Under way' }[tone];
  const row = h('div', { class: 'card said', 'data-tone': tone, 'data-key': name, role: tone === 'bad' ? 'alert' : null },
    h('p', null, h('strong', null, `${word}: `), text),
    h('button', { type: 'button', 'data-do': 'dismiss', 'aria-label': 'Dismiss this message' }, '✕'));
  show(place, rest, row);
  return name;
}

// Asks before it is done. Resolves to null when it is not to be.
function confirmed({ title, text, yes, force }) {
  const dialog = byId('ask');
  show(byId('ask-title'), title);
  show(byId('ask-text'), text);
  show(byId('ask-yes'), yes);
  byId('ask-force-line').hidden = !force;
  byId('ask-force').checked = false;
  show(byId('ask-force-text'), force ?? '');
  return new Promise((done) => {
    dialog.returnValue = '';
    dialog.onclose = () => done(dialog.returnValue === 'yes' ? { force: byId('ask-force').checked } : null);
    dialog.showModal();
    byId('ask-no').focus();
  });
}

async function carryOut(question, begun, work, done) {
  const answer = await confirmed(question);
  if (!answer) return;
  const key = say('busy', begun);
  try {
    say('good', done(await work(answer)), key);
  } catch (problem) {
    say('bad', problem.message, key);
  }
  refresh();
}

const ACTIONS = {
  update: () => carryOut({
    title: 'Look for an update?',
    text: 'The cloud is asked now. If it has another release for this device, containers may be replaced.',
    yes: 'Look now',
    force: 'Break update locks that applications hold',
  }, 'The cloud is being asked.',
  ({ force }) => order('v1/update', { operator: true, ...(force ? { force } : {}) }),
  (answer) => answer.status === 202 ? 'The device is told not to look on request.' : 'The agent looks for an update.'),

  blink: () => carryOut({
    title: 'Blink?',
    text: 'The device lets its light blink for a while, so that somebody can find it.',
    yes: 'Blink',
  }, 'The light is to blink.', () => order('v1/blink', {}), () => 'The light blinks.'),

  restart: ({ app, service }) => carryOut({
    title: `Restart ${service}?`,
    text: 'Its container is stopped and started again. What it does meanwhile is interrupted.',
    yes: `Restart ${service}`,
    force: 'Even if the application holds an update lock',
  }, `${service} is being restarted.`,
  ({ force }) => order(`v2/applications/${encodeURIComponent(app)}/restart-service`,
    { serviceName: service, ...(force ? { force } : {}) }, 16 * 60 * 1000),
  () => `${service} was restarted.`),

  logs: () => switchLogs(!following),
  checks: runChecks,
  dismiss: (_, button) => button.closest('.said').remove(),
};

async function runChecks() {
  const button = byId('checks-run');
  button.disabled = true;
  show(byId('checks-sum'), 'The checks run; that takes up to a minute.');
  try {
    const report = await read('v3/diagnose', { limit: 180000 });
    const worst = ['failed', 'warning', 'ok', 'skipped'];
    const checks = [...report.checks].sort((one, other) => worst.indexOf(one.verdict) - worst.indexOf(other.verdict));
    show(byId('checks-sum'), `${checks.length} checks: ${report.failed} failed, ${report.warnings} with a warning.`);
    const rows = (some) => some.map((check) => h('li', null, note(VERDICTS[check.verdict] ?? 'off', check.verdict,
      h('strong', null, check.name), ` ${check.sentence}`, check.remedy && h('p', { class: 'soft remedy' }, check.remedy))));
    const wrong = checks.filter(({ verdict }) => verdict === 'failed' || verdict === 'warning');
    const others = checks.filter((check) => !wrong.includes(check));
    byId('checks-body').replaceChildren(...rows(wrong), h('li', null, h('details', wrong.length ? null : { open: true },
      h('summary', null, `${others.length} that are as they should be, or do not apply here`), h('ul', { class: 'plain' }, rows(others)))));
  } catch (problem) {
    show(byId('checks-sum'), `The checks could not be run: ${problem.message}`);
  }
  button.disabled = false;
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (button && !button.disabled) ACTIONS[button.dataset.do](button.dataset, button);
});
byId('ask-yes').addEventListener('click', () => byId('ask').close('yes'));
byId('ask-no').addEventListener('click', () => byId('ask').close(''));
byId('logs-of').addEventListener('change', () => following && switchLogs(true));
