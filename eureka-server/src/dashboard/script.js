// Whatever comes from the registry was said by clients: it is set as text, never as HTML.
'use strict';

const at = id => document.getElementById(id);
let version = null;

function text(element, value) {
  const said = String(value);
  if (element.textContent !== said) element.textContent = said;
}

function element(name, value, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = value;
  for (const [key, said] of Object.entries(attributes)) made.setAttribute(key, said);
  return made;
}

function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const parts = [[Math.floor(s / 86400), 'd'], [Math.floor(s / 3600) % 24, 'h'], [Math.floor(s / 60) % 60, 'min'], [s % 60, 's']];
  const from = parts.findIndex(([n]) => n > 0);
  return from < 0 ? '0 s' : parts.slice(from, from + 2).map(([n, unit]) => `${n} ${unit}`).join(' ');
}

const clock = ms => new Date(ms).toLocaleString();

// A link of a client leads to a page or nowhere: other schemes could run something.
function link(row) {
  const name = element('span', row.id);
  if (!/^https?:\/\//i.test(row.link || '')) return name;
  return element('a', row.id, {href: row.link, rel: 'noreferrer noopener'});
}

function cells(row, now) {
  const status = row.status === 'UP' ? 'up' : row.status === 'DOWN' ? 'down' : 'other';
  const said = row.overridden ? `${row.status} (overridden)` : row.status;
  const lease = row.leaseLeftS < 0 ? `over for ${duration(-1000 * row.leaseLeftS)}` : `${duration(1000 * row.leaseLeftS)} left`;
  const up = row.upSince > 0 ? duration(now - row.upSince) : '–';
  return [
    ['Application', row.app], ['Instance', link(row)], ['Status', said, `status ${status}`],
    ['Address', `${row.host}:${row.port}`], ['Zone', row.zone || '–'], ['Up for', up],
    ['Lease', lease, row.leaseLeftS < 0 ? 'warning' : ''],
  ];
}

function draw(row, now) {
  const drawn = element('tr', '', {'data-instance': row.id});
  for (const [label, value, kind] of cells(row, now)) {
    const cell = element('td', '', {'data-label': label});
    const inside = typeof value === 'string' ? element('span', value) : value;
    if (kind) inside.className = kind;
    cell.append(inside);
    drawn.append(cell);
  }
  return drawn;
}

function recent(list, them) {
  list.replaceChildren(...them.map(it => element('li', `${clock(it.at)}  ${it.app} (${it.id})`)));
}

function show(page) {
  const {preservation} = page;
  text(at('total'), page.total);
  text(at('renews-last-minute'), preservation.renewals);
  text(at('renews-threshold'), preservation.threshold);
  text(at('expiration'), preservation.expire);
  text(at('now'), clock(page.now));
  text(at('self-preservation'), preservation.reason);
  at('self-preservation').className = preservation.expire ? '' : 'warning';
  at('closed').hidden = page.open;
  at('instances').tBodies[0].replaceChildren(...page.instances.map(row => draw(row, page.now)));
  at('more').hidden = page.matching === page.instances.length;
  text(at('more'), `${page.matching - page.instances.length} more; the filter finds them.`);
  const peers = page.peers.map(peer => element('li', page.unreachable.includes(peer) ? `${peer} (not reached)` : peer));
  at('peers').replaceChildren(...(peers.length ? peers : [element('li', 'none')]));
  if (page.recent) {
    recent(at('registered'), page.recent.registered);
    recent(at('cancelled'), page.recent.cancelled);
  }
  version = page.version;
}

async function refresh() {
  const wanted = new URLSearchParams({filter: at('filter').value});
  if (version !== null) wanted.set('version', version);
  try {
    const answer = await fetch(`/dashboard/state?${wanted}`);
    if (!answer.ok) throw new Error(answer.status);
    show(await answer.json());
    text(at('connection'), 'live');
  } catch (error) {
    text(at('connection'), 'the registry does not answer; what you see is old');
  }
}

// A hidden page asks for nothing.
setInterval(() => document.hidden || refresh(), 1000);
document.addEventListener('visibilitychange', () => document.hidden || refresh());
at('filter').addEventListener('input', refresh);
refresh();
