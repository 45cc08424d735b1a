// The chat page: shows messages as they come, sends what is written, and never loses or doubles either.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const main = byId("main");
  const thread = byId("thread");
  const messages = byId("messages");
  const composer = byId("composer");
  const field = byId("text");
  const NEAR_PX = 96;
  const POLL_MS = 3000;
  const STREAM_AGAIN_MS = 30000;

  let last = Number(main.dataset.last);
  let version = Number(main.dataset.version);
  let changed = null;
  let failed = null;

  // --- the thread ---------------------------------------------------------------------------------------------------

  const atEnd = () => thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_PX;

  function toEnd() {
    thread.scrollTop = thread.scrollHeight;
    byId("jump").hidden = true;
  }

  /** Run a change of the thread; follow it only for a reader who was at the end. */
  function following(change, always) {
    const follow = always || atEnd();
    change();
    if (follow) toEnd();
    else byId("jump").hidden = false;
  }

  function timeText(moment) {
    const time = moment.toLocaleTimeString([], { timeStyle: "short" });
    const today = moment.toDateString() === new Date().toDateString();
    return today ? time : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
  }

  function showTime(item) {
    const element = item.querySelector("time");
    const moment = new Date(element.dateTime);
    if (!Number.isNaN(moment.getTime())) element.textContent = timeText(moment);
  }

  function actionOf(button) {
    const web = button.url && /^https?:\/\//i.test(button.url);
    if (button.url && !web) return null;
    const kind = !web ? "command" : button.url.includes("/r/") ? "pay" : "url";
    const made = byId(`action-${kind}`).content.firstElementChild.cloneNode(true);
    made.querySelector(".action-label").textContent = button.label;
    if (web) made.href = button.url;
    else made.dataset.command = button.command;
    return made;
  }

  function itemOf(direction, text) {
    const item = byId(`message-${direction}`).content.firstElementChild.cloneNode(true);
    item.querySelector(".bubble-text").textContent = text;
    item.classList.add("message-new");
    return item;
  }

  /** Put an item where its number belongs: messages nearly always come in order, but not quite always. */
  function place(item, id) {
    item.dataset.id = id;
    const later = [...messages.children].find((other) => Number(other.dataset.id) > id);
    messages.insertBefore(item, later || messages.querySelector('[data-id=""]'));
    last = Math.max(last, id);
  }

  /** Find our own bubble that has no number yet: it is being sent, or arrived although its answer did not. */
  const waiting = (text) => [...messages.querySelectorAll('[data-id=""]')].find((item) => item.dataset.text === text);

  function fillOut(item, message) {
    item.querySelector(".message-actions").replaceChildren(...message.buttons.map(actionOf).filter(Boolean));
    item.classList.remove("message-plain", "message-good", "message-waiting");
    item.classList.add(`message-${message.mood}`);
    item.dataset.version = message.version;
    const mark = item.querySelector(".message-edited");
    if (mark) mark.hidden = !message.version;
    version = Math.max(version, message.version);
  }

  /** A message of ours says something else now: seen where it stands, heard by a screen reader, found by a button. */
  function change(item, message) {
    if (message.version <= Number(item.dataset.version)) return;
    const stays = atEnd();
    item.querySelector(".bubble-text").textContent = message.text;
    fillOut(item, message);
    if (stays) toEnd();
    byId("changed").textContent = `Changed: ${message.text}`;
    item.classList.remove("message-changed");
    requestAnimationFrame(() => item.classList.add("message-changed"));
    changed = item;
    showChanged();
    freshBalance();
  }

  /** Offer the way to a changed message for as long as it is out of sight. */
  function showChanged() {
    if (!changed) return;
    const [there, frame] = [changed.getBoundingClientRect(), thread.getBoundingClientRect()];
    const inSight = there.bottom > frame.top && there.top < frame.bottom;
    if (inSight) changed = null;
    byId("jump-changed").hidden = inSight;
  }

  function show(message) {
    const known = messages.querySelector(`[data-id="${Number(message.id)}"]`);
    if (known) {
      change(known, message);
      return;
    }
    const own = message.direction === "in" ? waiting(message.text) : null;
    const item = own || itemOf(message.direction, message.text);
    item.classList.remove("message-sending", "message-failed");
    if (item === failed) byId("toast").hidden = true;
    item.querySelector("time").dateTime = message.created_at;
    fillOut(item, message);
    showTime(item);
    following(() => place(item, message.id), Boolean(own));
    if (message.direction === "out") {
      byId("typing").hidden = true;
      freshBalance();
    }
  }

  // --- the balance --------------------------------------------------------------------------------------------------

  let balanceTimer = 0;

  function freshBalance() {
    clearTimeout(balanceTimer);
    balanceTimer = setTimeout(async () => {
      const answer = await fetch("/chat/balance").catch(() => null);
      if (!answer || !answer.ok) return;
      const { text } = await answer.json();
      const chip = byId("balance");
      const label = byId("balance-text");
      const changed = label.textContent !== text;
      label.textContent = text;
      chip.hidden = !text;
      chip.classList.remove("chip-changed");
      if (changed) requestAnimationFrame(() => chip.classList.add("chip-changed"));
    }, 120);
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  const WAITS_MAX = 3;
  const pause = (seconds) => new Promise((then) => setTimeout(then, seconds * 1000));

  /** Post, and when that was too much at once, wait as long as we are told and post again. */
  async function post(path, body, waits = WAITS_MAX) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.status === 429 && waits > 0) {
      await pause(Number(answer.headers.get("Retry-After")) || 5);
      return post(path, body, waits - 1);
    }
    const said = await answer.json().catch(() => ({}));
    if (answer.status === 403 && said.error && said.error.code === "no_conversation") location.reload();
    if (!answer.ok) throw new Error(said.error ? said.error.message : `error ${answer.status}`);
    return said.data;
  }

  let queue = Promise.resolve();

  function say(text) {
    const item = itemOf("in", text);
    item.dataset.text = text;
    following(() => messages.append(item), true);
    queue = queue.then(() => send(item));
  }

  async function send(item) {
    if (item.dataset.id !== "") return;
    item.classList.remove("message-failed");
    item.classList.add("message-sending");
    item.querySelector("time").textContent = "Sending…";
    const slow = setTimeout(() => following(() => { byId("typing").hidden = false; }), 350);
    try {
      (await post("/chat/messages", { text: item.dataset.text })).forEach(show);
      if (item.dataset.id === "") item.remove();
    } catch (error) {
      item.classList.replace("message-sending", "message-failed");
      item.querySelector("time").textContent = "Not sent";
      complain(item, error);
    } finally {
      clearTimeout(slow);
      byId("typing").hidden = true;
    }
  }

  function complain(item, error) {
    failed = item;
    const away = error instanceof TypeError || !navigator.onLine;
    byId("toast-text").textContent = away ? "No connection. Your message was not sent." : `Your message was not sent: ${error.message}`;
    byId("toast").hidden = false;
  }

  byId("toast-retry").addEventListener("click", () => {
    byId("toast").hidden = true;
    messages.querySelectorAll(".message-failed").forEach((item) => { queue = queue.then(() => send(item)); });
    field.focus();
  });
  byId("toast-close").addEventListener("click", () => {
    byId("toast").hidden = true;
    field.focus();
  });

  // --- writing ------------------------------------------------------------------------------------------------------

  function fit() {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    byId("send").disabled = !field.value.trim();
  }

  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    fit();
    say(text);
    field.focus();
  });
  field.addEventListener("input", fit);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]");
    if (button && button.dataset.command) say(button.dataset.command);
  });
  byId("jump").addEventListener("click", () => {
    toEnd();
    field.focus();
  });
  byId("jump-changed").addEventListener("click", () => {
    if (changed) changed.scrollIntoView({ block: "center" });
    showChanged();
    field.focus();
  });
  thread.addEventListener("scroll", () => {
    if (atEnd()) byId("jump").hidden = true;
    showChanged();
  }, { passive: true });

  // --- live ---------------------------------------------------------------------------------------------------------

  let source = null;
  let poller = 0;

  function live(isLive) {
    byId("live").hidden = isLive;
  }

  function listen() {
    source = new EventSource(`/chat/stream?after=${last}&version=${version}`);
    source.addEventListener("open", () => {
      live(true);
      clearInterval(poller);
      poller = 0;
    });
    source.addEventListener("message", (event) => show(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      live(false);
      if (!poller) poller = setInterval(poll, POLL_MS);
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(listen, STREAM_AGAIN_MS);
    });
  }

  /** While the stream does not get through, ask. */
  async function poll() {
    const answer = await fetch(`/chat/messages?after=${last}&version=${version}`).catch(() => null);
    if (!answer || !answer.ok) return;
    (await answer.json()).data.forEach(show);
    live(true);
  }

  // --- start --------------------------------------------------------------------------------------------------------

  /** From the shelf of the start page: the wish is written down, the person sends it. */
  function takeWish() {
    const wish = /^#buy=([\w.-]{1,64})$/.exec(location.hash);
    if (!wish) return;
    field.value = `/buy ${wish[1]}`;
    history.replaceState(null, "", location.pathname);
  }

  messages.querySelectorAll(".message").forEach(showTime);
  takeWish();
  toEnd();
  fit();
  if (matchMedia("(hover: hover)").matches) field.focus();
  if (messages.children.length) {
    freshBalance();
  } else {
    byId("typing").hidden = false;
    queue = post("/chat/start", {})
      .then((said) => said.forEach(show))
      .catch(() => {})
      .finally(() => { byId("typing").hidden = true; });
  }
  listen();
})();
