// The page that watches the sandbox: asks for the feed each second, shows it, and presses its buttons.
"use strict";

const part = (id) => document.getElementById(id);
const time = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);
const short = (path) => path.replace(/([a-z]+_(?:test_)?\w{4})\w{8,}(\w{4})/g, "$1…$2");

function line(title, mark, tone, note, more, actions) {
  const item = document.createElement("li");
  const add = (tag, text, name) => { const node = document.createElement(tag); node.textContent = text; node.className = name || ""; item.append(node); return node; };
  add("strong", title);
  add("span", mark, `mark ${tone}`);
  add("small", note);
  if (more) add("small", more, "bad");
  const row = actions && add("span", "", "actions");
  for (const [name, path, body] of actions || []) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => press(button, path, body));
    row.append(button);
  }
  return item;
}

// A list is drawn again only when it has changed, so that a button stays under the pointer.
const drawn = {};

function fill(id, rows, made, nothing) {
  const state = JSON.stringify(rows);
  if (drawn[id] === state) return;
  drawn[id] = state;
  const none = document.createElement("li");
  none.textContent = nothing;
  none.className = "none";
  part(id).replaceChildren(...(rows.length ? rows.map(made) : [none]));
}

function eventLine(row) {
  const actions = [["Resend", `/_sandbox/events/${row.id}/resend`, {}]];
  if (row.type === "charge.succeeded") {
    actions.push(["Refund", "/_sandbox/refunds", { charge: row.about }], ["Dispute", "/_sandbox/disputes", { charge: row.about, status: "needs_response" }]);
    if (row.about.startsWith("ch_")) actions.push(["Fraud warning", "/_sandbox/fraud_warnings", { charge: row.about }]);
  }
  if (row.type === "charge.dispute.created") {
    actions.push(["Win", "/_sandbox/disputes", { charge: row.charge, status: "won" }], ["Lose", "/_sandbox/disputes", { charge: row.charge, status: "lost" }]);
  }
  return line(row.type, row.pending_webhooks ? `${row.pending_webhooks} pending` : "", "wait", `${time(row.at)} · ${row.about}`, "", actions);
}

function deliveryLine(row) {
  const tone = { delivered: "good", waiting: "wait" }[row.status] || "bad";
  const mark = row.status_code ? `${row.status} · ${row.status_code}` : row.status;
  const tries = row.attempts === 1 ? "1 attempt" : `${row.attempts} attempts`;
  return line(row.type, mark, tone, `${time(row.at)} · ${tries} · ${row.url}`, row.error, [["Resend", `/_sandbox/events/${row.event}/resend`, {}]]);
}

function requestLine(row) {
  return line(`${row.method} ${short(row.path)}`, String(row.status), row.status < 400 ? "good" : "bad", `${time(row.at)} · ${row.duration_ms} ms`, row.error);
}

function show(feed) {
  part("now").textContent = feed.now.replace("T", " ").replace("Z", " UTC");
  part("offset").textContent = feed.offset_s ? `${(feed.offset_s / 86400).toFixed(1)} days ahead` : "";
  fill("events", feed.events, eventLine, "No events yet.");
  fill("deliveries", feed.deliveries, deliveryLine, "No webhook was sent yet.");
  fill("requests", feed.requests, requestLine, "No requests yet.");
}

let fading = 0;

function say(text, bad) {
  part("said").textContent = text;
  part("said").className = bad ? "toast bad" : "toast";
  part("said").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { part("said").hidden = true; }, 4000);
}

async function send(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error.message);
  return told;
}

async function press(button, path, body, done) {
  button.disabled = true;
  try {
    const told = await send(path, body);
    say(done ? done(told) : `${button.textContent}: done`, false);
    await look();
  } catch (problem) {
    say(problem.message, true);
  }
  button.disabled = false;
}

function showChaos(given) {
  const named = Object.entries(given).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ");
  part("chaos-state").textContent = named ? `On: ${named}` : "Off";
}

for (const button of document.querySelectorAll("[data-advance]")) {
  button.addEventListener("click", () => press(button, "/_sandbox/clock", { advance: button.dataset.advance }, (clock) => `It is ${clock.now.replace("T", " ").replace("Z", " UTC")} now`));
}
part("chaos").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = { duplicate: Number(part("duplicate").value), drop: Number(part("drop").value), reorder: part("reorder").checked, seed: Number(part("seed").value) };
  press(event.submitter, "/_sandbox/chaos", given, (told) => { showChaos(told); return "Chaos is on"; });
});
part("calm").addEventListener("click", (event) => press(event.target, "/_sandbox/chaos", {}, (told) => { showChaos(told); return "Chaos is off"; }));

async function look() {
  const answer = await fetch("/_sandbox/feed");
  show(await answer.json());
}

async function watch() {
  try {
    await look();
    part("lost").hidden = true;
  } catch {
    part("lost").hidden = false;
  }
  setTimeout(watch, 1000);
}
fetch("/_sandbox/chaos").then((answer) => answer.json()).then(showChaos);
watch();
