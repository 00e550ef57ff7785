// What the agent's status says, section by section.

function showPicture({ status, locks, at, may, live, away }) {
  const { device, phase } = status;
  const name = device.name || (device.uuid ? `Device ${device.uuid.slice(0, 7)}` : 'Device');
  document.title = `${name} – holdfast`;
  show(byId('name'), name);
  show(byId('facts'), [device.type, device.os, device.ip_address].filter(Boolean).join(' · '));
  showLink(away, live, may);
  const [tone, word] = PHASES[phase.name] ?? ['off', phase.name];
  const cloud = cloudSentence(status.cloud, at);
  const gone = away && h('p', { class: 'gone' }, `The agent does not answer. What is shown is from ${span(Date.now() - at)} ago.`);
  section('phase', gone, h('p', { class: 'headline' }, pill(tone, word), h('span', null, short(phase.text).replace(/^(Waiting|Settled|Starting|No target): /, ''))), h('p', { class: 'soft' }, cloud));
  section('attention', attention(status).map(([grade, title, text]) => h('li', null, note(grade, title, short(text)))));
  section('apps', status.apps.map((app) => appCard(app, at, may)));
  section('now', nowRows(status, at));
  section('locks', (locks ?? []).map((lock) => lockRow(lock, at)));
  section('about', aboutRows(status, at));
}

function showLink(away, live, may) {
  const [tone, word] = away ? ['bad', 'Agent does not answer'] : live ? ['good', 'Live'] : ['off', 'Every 3 s'];
  const link = byId('link');
  link.dataset.tone = tone;
  show(link, may === 'look' && !away ? 'Read only' : word);
}

function cloudSentence(cloud, at) {
  if (!cloud.endpoint) return 'This device has no cloud.';
  if (cloud.provisioning) return `Joining the cloud: ${cloud.provisioning.doing}`;
  const asked = cloud.last_poll ? `asked ${ago(cloud.last_poll, at)}` : 'not reached yet';
  const next = cloud.next_poll ? `, asked again ${ahead(cloud.next_poll, at)}` : '';
  return `Cloud ${cloud.endpoint}: ${asked}${next}.`;
}

function attention({ health, refused, faults, settings, cloud, database, unsupported }) {
  const rows = health.reasons.map((reason) => ['bad', 'Unhealthy', reason]);
  for (const app of refused) {
    const offences = app.offences.map(({ path, message }) => `${path}: ${message}`).join('; ');
    rows.push(['bad', 'Refused', `${app.app}: what the cloud wants of it is refused, what runs is left as it is. ${offences}`]);
  }
  for (const { subject, message } of faults) rows.push(['bad', 'Fault', `${subject}: ${message}`]);
  for (const { subject, message } of settings) rows.push(['warn', 'Setting', `${subject}: ${message}`]);
  if (cloud.provisioning?.error) rows.push(['warn', 'Joining', `${cloud.provisioning.error} (${cloud.provisioning.failures} in a row)`]);
  if (cloud.poll_error) rows.push(['warn', 'Cloud', `The cloud could not be asked: ${cloud.poll_error} (${cloud.poll_failures} in a row)`]);
  if (cloud.report_error) rows.push(['warn', 'Cloud', `The report was not taken: ${cloud.report_error} (${cloud.report_failures} in a row)`]);
  if (database?.error && health.healthy) rows.push(['bad', 'Database', database.error]);
  for (const row of unsupported) {
    rows.push(['off', 'Left out', `${[row.app, row.service].filter(Boolean).join('/')}: ${row.path}: ${row.message}`]);
  }
  return rows;
}

function appCard(app, at, may) {
  const { wanted_commit: wanted, settled_commit: settled } = app;
  const release = !wanted
    ? ['it is to have no release']
    : wanted === settled
      ? ['runs release ', commit(settled)]
      : ['wanted release ', commit(wanted), settled ? [', last ran entirely ', commit(settled)] : ', none ran entirely yet'];
  return h('article', { class: 'card app', 'data-key': app.id },
    h('div', { class: 'top' }, h('h3', null, app.name || `App ${app.id}`), h('span', { class: 'soft' }, release)),
    app.services.length
      ? h('ul', { class: 'services' }, app.services.map((service) => serviceRow(app, service, at, may)))
      : h('p', { class: 'soft' }, 'No services.'));
}

function serviceRow(app, service, at, may) {
  const { wanted_commit: wanted, running_commit: running } = service;
  const health = service.health && service.health !== 'none' ? `health check: ${service.health}` : null;
  const release = running && wanted && running !== wanted
    ? ['runs ', commit(running), ', wanted ', commit(wanted)]
    : !wanted ? ['is to go'] : running ? ['runs ', commit(running)] : ['wanted ', commit(wanted), ', no container yet'];
  const facts = [
    service.state && service.status !== 'Running' ? `container ${service.state}` : null,
    service.state === 'running' && service.started ? `started ${ago(service.started, at)}` : null,
    service.exit_code !== null && service.exit_code !== undefined ? `ended with exit code ${service.exit_code}` : null,
    health,
    service.restarts > 0 ? `restarted ${service.restarts} ×` : null,
  ].filter(Boolean).map((fact) => ` · ${fact}`);
  const tone = serviceTone(service);
  const why = service.doing ? `Now: ${short(service.doing)}` : service.waiting ? `Waits: ${short(service.waiting)}` : null;
  return h('li', { class: 'service', 'data-key': service.name },
    h('div', { class: 'top' },
      h('h4', null, service.name),
      pill(tone === 'busy' && !service.doing && service.waiting ? 'warn' : tone, service.status),
      h('button', {
        type: 'button', 'data-do': 'restart', 'data-app': app.id, 'data-service': service.name,
        'aria-label': `Restart ${service.name}`, disabled: may !== 'act' || !service.container,
      }, 'Restart')),
    h('p', { class: 'soft' }, release, facts),
    h('p', { class: 'soft mono image', title: service.image }, short(service.image)),
    why && h('p', { class: 'why' }, why),
    bar(service.progress, `Download for ${service.name}`));
}

const bar = (value, label) => value === null || value === undefined ? null
  : h('div', { class: 'load' }, h('progress', { max: 100, value, 'aria-label': label }), h('span', null, `${value} %`));

function nowRows({ doing, waiting }, at) {
  const place = ({ app, service }) => [app, service].filter(Boolean).join('/');
  const steps = doing.map((row) => h('li', null,
    note('busy', 'Now', h('strong', null, place(row)), ` ${short(row.text)}`,
      h('p', { class: 'soft' }, `for ${age(row.since, at)} · because ${row.why}`))));
  // Several that wait for the same are told once.
  const groups = new Map();
  for (const row of waiting) {
    const group = groups.get(`${row.app} ${row.text}`);
    if (group) group.services.push(row.service);
    else groups.set(`${row.app} ${row.text}`, { ...row, services: [row.service] });
  }
  const waits = [...groups.values()].map(({ app, services, ...row }) => h('li', null,
    note('warn', 'Waits', h('strong', null, place({ app, service: services.filter(Boolean).join(', ') })), ` ${short(row.text)}`,
      (row.since || row.until) && h('p', { class: 'soft' },
        [row.since && `for ${age(row.since, at)}`, row.until && `goes on ${ahead(row.until, at)}`].filter(Boolean).join(' · ')))));
  return [...steps, ...waits];
}

function lockRow(lock, at) {
  const application = lock.holder === 'application';
  const since = lock.since ? ` for ${age(lock.since, at)}` : '';
  const who = application ? `held by the application${since}` : `held by the agent${lock.complete ? '' : ', and not whole: mended in the next round'}`;
  const waiting = lock.waiting.length ? `${application ? 'holds up' : 'for'}: ${lock.waiting.join('; ')}` : 'nothing waits for it';
  return h('li', null, note(application ? 'warn' : 'busy', application ? 'Locked' : 'Agent',
    h('strong', null, `${lock.app}/${lock.service}`), ` ${who}`,
    h('p', { class: 'soft' }, waiting), lock.file && h('p', { class: 'soft mono' }, lock.file)));
}

function aboutRows({ device, engine, cloud, database, utc }, at) {
  const rows = [
    ['Uuid', device.uuid && h('code', null, device.uuid)],
    ['Agent', device.agent_version && `holdfast ${device.agent_version}`],
    ['Type', [device.type, device.arch].filter(Boolean).join(', ')],
    ['System', device.os],
    ['Addresses', device.ip_address],
    ['Engine', engine && `${engine.name} ${engine.version}`],
    ['Last report', cloud.last_report && ago(cloud.last_report, at)],
    ['Database', database?.path && (database.open ? `${bytes(database.size_bytes)}, ${
      database.newest_backup?.taken ? `backup ${ago(database.newest_backup.taken, at)}` : 'no dated backup'}` : 'not open')],
    ['Room for data', database?.free_bytes && `${bytes(database.free_bytes)} free of ${bytes(database.partition_bytes ?? 0)}`],
    ['Clock', utc ? clock(utc) : 'not set: it cannot be trusted yet'],
  ];
  return rows.filter(([, value]) => value).flatMap(([name, value]) => [h('dt', null, name), h('dd', null, value)]);
}
