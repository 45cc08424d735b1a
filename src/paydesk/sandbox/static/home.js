// The page that watches the sandbox: asks for the feed each second and shows it.
"use strict";

const part = (id) => document.getElementById(id);
const time = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

const short = (path) => path.replace(/([a-z]+_(?:test_)?\w{4})\w{8,}(\w{4})/g, "$1…$2");

function line(title, mark, tone, note, more) {
  const item = document.createElement("li");
  const add = (tag, text, name) => { const node = document.createElement(tag); node.textContent = text; node.className = name || ""; item.append(node); };
  add("strong", title);
  add("span", mark, `mark ${tone}`);
  add("small", note);
  if (more) add("small", more, "bad");
  return item;
}

function fill(id, rows, nothing) {
  const none = document.createElement("li");
  none.textContent = nothing;
  none.className = "none";
  part(id).replaceChildren(...(rows.length ? rows : [none]));
}

function deliveryLine(row) {
  const tone = { delivered: "good", waiting: "wait" }[row.status] || "bad";
  const mark = row.status_code ? `${row.status} · ${row.status_code}` : row.status;
  const tries = row.attempts === 1 ? "1 attempt" : `${row.attempts} attempts`;
  return line(row.type, mark, tone, `${time(row.at)} · ${tries} · ${row.url}`, row.error);
}

function show(feed) {
  part("now").textContent = feed.now.replace("T", " ").replace("Z", " UTC");
  part("offset").textContent = feed.offset_s ? `${(feed.offset_s / 86400).toFixed(1)} days ahead` : "";
  fill("events", feed.events.map((row) => line(row.type, row.pending_webhooks ? `${row.pending_webhooks} pending` : "", "wait", `${time(row.at)} · ${row.about}`)), "No events yet.");
  fill("deliveries", feed.deliveries.map(deliveryLine), "No webhook was sent yet.");
  fill("requests", feed.requests.map((row) => line(`${row.method} ${short(row.path)}`, String(row.status), row.status < 400 ? "good" : "bad", `${time(row.at)} · ${row.duration_ms} ms`, row.error)), "No requests yet.");
}

async function watch() {
  try {
    const answer = await fetch("/_sandbox/feed");
    show(await answer.json());
    part("lost").hidden = true;
  } catch {
    part("lost").hidden = false;
  }
  setTimeout(watch, 1000);
}
watch();
