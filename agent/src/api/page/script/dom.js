// Elements from data. Text is only ever set as text, so nothing that a device, a release or a log says can become markup.

const byId = (id) => document.getElementById(id);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

const h = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);

const drawn = (name, attributes, ...children) =>
  filled(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

// Makes what is shown equal to what is to be shown and keeps what is equal already, so that nobody loses the focus, the
// place in a list or a selection because of a new figure.
function show(place, ...wanted) {
  const keyed = new Map();
  for (const child of place.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = place.firstChild;
  for (const node of wanted.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false)) {
    const next = typeof node === 'string' ? document.createTextNode(node) : node;
    const key = next.dataset?.key;
    const found = key ? keyed.get(key) : at && !at.dataset?.key && alike(at, next) ? at : null;
    if (!found || !alike(found, next)) {
      place.insertBefore(next, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else place.insertBefore(found, at);
    renew(found, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function renew(found, next) {
  if (found.nodeType !== Node.ELEMENT_NODE) {
    if (found.data !== next.data) found.data = next.data;
    return;
  }
  for (const { name } of [...found.attributes]) if (!next.hasAttribute(name)) found.removeAttribute(name);
  for (const { name, value } of next.attributes) if (found.getAttribute(name) !== value) found.setAttribute(name, value);
  show(found, [...next.childNodes]);
}

// Shows a section with a body, or hides it when there is nothing to say.
function section(id, ...body) {
  const wanted = body.flat(Infinity).filter(Boolean);
  byId(id).hidden = wanted.length === 0;
  show(byId(`${id}-body`), wanted);
}

const pill = (tone, word, attributes) => h('span', { class: 'pill', 'data-tone': tone, ...attributes }, word);

const note = (tone, word, ...text) => h('div', { class: 'note' }, pill(tone, word), h('div', null, ...text));
