// Paydesk's custom elements: <paydesk-payment-form>, <paydesk-subscriptions>, <paydesk-balance>; and its client.
// No dependencies, no build. Types: paydesk.d.ts. How to use them: docs/payment-form.md.
import { Paydesk, PaydeskError, newKey } from "./paydesk-client.js";

export * from "./paydesk-client.js";

const HERE = import.meta.url.replace(/\/static\/paydesk\.js.*$/, "");
const RETURNED = "paydesk_order";
const OF_STRIPE = ["payment_intent", "setup_intent", "source_type", "redirect_status", "redirect_pm_type"];
const TAKEN = ["succeeded", "processing", "requires_capture"]; // statuses of an intent that has its money, or soon will
const NOT_TAKEN = ["requires_payment_method", "requires_confirmation", "canceled"];
const LOOK_MS = 700;
const SLOW_MS = 4000;
const SURE_MS = 12_000;
const PATIENCE_MS = 180_000;
const PATIENT_MS = 15_000; // between looks, when patience has run out

// --- looks -----------------------------------------------------------------------------------------------------------

const LOOKS = `
  :host {
    display: block;
    --_font: var(--paydesk-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
    --_text: var(--paydesk-text, light-dark(#17211d, #e9f0ec));
    --_soft: var(--paydesk-text-soft, light-dark(#56615b, #a2afa8));
    --_surface: var(--paydesk-surface, light-dark(#ffffff, #171e1b));
    --_sunken: var(--paydesk-sunken, light-dark(#f1efe9, #202925));
    --_line: var(--paydesk-line, light-dark(#87918b, #68766f));
    --_accent: var(--paydesk-accent, light-dark(#0a6b4b, #43d19a));
    --_accent-hover: var(--paydesk-accent-hover, var(--_accent));
    --_accent-text: var(--paydesk-accent-text, light-dark(#ffffff, #04251a));
    --_danger: var(--paydesk-danger, light-dark(#b3261e, #ff9389));
    --_danger-surface: var(--paydesk-danger-surface, light-dark(#fbe8e6, #3a1a18));
    --_radius: var(--paydesk-radius, 10px);
    color: var(--_text);
    font: 400 1rem/1.5 var(--_font);
  }
  :host([hidden]), [hidden] { display: none !important; }
  * { box-sizing: border-box; }
  h2, h3, p, ul, dl, dd { margin: 0; padding: 0; list-style: none; }
  h2 { font-size: 1.0625rem; font-weight: 650; line-height: 1.35; }
  h3 { font-size: 1rem; font-weight: 650; overflow-wrap: anywhere; }
  .stack { display: grid; gap: 16px; }
  .soft { color: var(--_soft); font-size: 0.9375rem; }
  .small { font-size: 0.8125rem; text-align: center; text-wrap: balance; }
  .figures { font-variant-numeric: tabular-nums; white-space: nowrap; }
  .amount { font-size: 2rem; font-weight: 700; letter-spacing: -0.03em; line-height: 1.1; }
  .lines li { display: flex; justify-content: space-between; gap: 16px; padding: 10px 0; overflow-wrap: anywhere; }
  .lines li + li { border-top: 1px dashed color-mix(in srgb, var(--_line) 45%, transparent); }
  .actions { display: flex; flex-wrap: wrap; gap: 10px; }
  button, .button {
    display: inline-flex; align-items: center; justify-content: center; gap: 8px; min-height: 44px; padding: 8px 16px;
    border: 1px solid color-mix(in srgb, var(--_line) 60%, transparent); border-radius: var(--_radius);
    background: var(--_surface); color: var(--_text); font: 600 0.9375rem/1.2 var(--_font); text-decoration: none; cursor: pointer;
  }
  button:hover, .button:hover { border-color: var(--_line); background: var(--_sunken); }
  button:focus-visible, .button:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
  .main { width: 100%; min-height: 52px; border-color: transparent; background: var(--_accent); color: var(--_accent-text); font-size: 1.0625rem; }
  .main:hover { border-color: transparent; background: var(--_accent-hover); }
  .danger { border-color: var(--_danger); color: var(--_danger); }
  [aria-disabled="true"] { opacity: 0.65; cursor: progress; }
  .problem { padding: 12px 14px; border-radius: var(--_radius); background: var(--_danger-surface); color: var(--_danger); font-size: 0.9375rem; }
  .problem:empty, .news:empty { display: none; }
  .card { display: grid; gap: 12px; padding: 18px; border: 1px solid color-mix(in srgb, var(--_line) 45%, transparent); border-radius: calc(var(--_radius) + 4px); background: var(--_surface); }
  .head { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 16px; }
  .badge { padding: 2px 9px; border-radius: 99px; background: var(--_sunken); color: var(--_soft); font-size: 0.8125rem; font-weight: 600; }
  .badge.bad { background: var(--_danger-surface); color: var(--_danger); }
  .sure { display: grid; gap: 10px; padding: 14px; border-radius: var(--_radius); background: var(--_sunken); }
  .sure:focus { outline: none; }
  .end { display: grid; justify-items: center; gap: 8px; padding: 16px 0; text-align: center; }
  .end:focus { outline: none; }
  .mark { display: grid; place-items: center; width: 48px; height: 48px; border-radius: 50%; background: var(--_sunken); color: var(--_soft); }
  .mark.good { background: var(--_accent); color: var(--_accent-text); }
  .mark svg { width: 24px; height: 24px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
  .wait { display: flex; align-items: center; justify-content: center; gap: 10px; min-height: 120px; color: var(--_soft); }
  .spin { width: 18px; height: 18px; flex: none; border: 2px solid currentColor; border-right-color: transparent; border-radius: 50%; animation: turn 0.8s linear infinite; }
  @keyframes turn { to { transform: rotate(360deg); } }
  @media (prefers-reduced-motion: reduce) { .spin { animation: none; opacity: 0.5; } }
  @media (forced-colors: active) { button, .button { border: 1px solid ButtonText; } }
`;

const SIGNS = { good: "m5 12.5 4.5 4.5L19 7", wait: "M12 7v5l3.5 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18", end: "M12 7v6m0 3.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18" };

let looks;
function sheet() {
  if (!looks) {
    looks = new CSSStyleSheet();
    looks.replaceSync(LOOKS);
  }
  return looks;
}

/** A node with properties, attributes (in `attr`) and children; null children are left out. */
function node(tag, { attr = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attr)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function sign(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SIGNS[name]);
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.append(path);
  return node("span", { className: name === "good" ? "mark good" : "mark", attr: { "aria-hidden": "true" } }, picture);
}

const put = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Wait, and then until somebody looks at the page. */
async function pauseUnseen(ms) {
  await pause(ms);
  if (document.visibilityState !== "hidden") return;
  await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/** Whether a refusal means that the buyer's token, or the key, is good no more. */
const outdated = (error) => error instanceof PaydeskError && (error.status === 401 || error.status === 403);

/** Stripe.js, loaded once for a page. */
function stripeJs(address) {
  if (globalThis.Stripe) return Promise.resolve(globalThis.Stripe);
  stripeJs.loading ??= new Promise((resolve, reject) => {
    const script = node("script", { src: address, async: true });
    script.addEventListener("load", () => resolve(globalThis.Stripe));
    script.addEventListener("error", () => {
      stripeJs.loading = undefined;
      script.remove();
      reject(new PaydeskError({ code: "connection", message: "Stripe.js could not be loaded" }));
    });
    document.head.append(script);
  });
  return stripeJs.loading;
}

// --- what all elements share -----------------------------------------------------------------------------------------

const Element = globalThis.HTMLElement ?? class {};
const COMMON = ["url", "publishable-key", "customer-token", "locale"];

/** An element that loads what it shows, again when an attribute changes; a load that was overtaken shows nothing. */
class PaydeskElement extends Element {
  static observedAttributes = COMMON;
  #client = null;
  #loads = 0;
  #planned = false;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet()];
  }

  connectedCallback() {
    this.reload();
  }

  disconnectedCallback() {
    this.#loads += 1;
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    this.#client = null;
    if (this.isConnected) this.changed(name);
  }

  /** What a change of an attribute, or of the client, means to what is shown. */
  changed(_name) {
    this.reload();
  }

  /** The client that this element uses. One of your own may be put here instead of a key and a token. */
  get client() {
    this.#client ??= new Paydesk({
      url: this.getAttribute("url") || HERE,
      key: this.getAttribute("publishable-key") || undefined,
      customer: this.getAttribute("customer-token") || undefined,
    });
    return this.#client;
  }

  set client(own) {
    this.#client = own;
    if (this.isConnected) this.changed("client");
  }

  set locale(own) {
    this.setAttribute("locale", own);
  }

  get locale() {
    return this.getAttribute("locale") || document.documentElement.lang || navigator.language || "en";
  }

  /** Load what is shown, once for all attributes that change together. */
  reload() {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      if (this.isConnected) this.#run();
    });
  }

  async #run() {
    const load = (this.#loads += 1);
    const current = () => load === this.#loads;
    if (!this.shadowRoot.hasChildNodes()) this.show(node("div", { className: "wait" }, node("span", { className: "spin" })));
    this.setAttribute("aria-busy", "true");
    try {
      this.config = await this.client.forms.config({ locale: this.locale });
      if (current()) await this.load(current);
    } catch (error) {
      if (current()) this.away(error);
    } finally {
      if (current()) this.removeAttribute("aria-busy");
    }
  }

  say(name, values = {}) {
    return put(this.config?.texts[name] ?? "", values);
  }

  day(moment) {
    return moment ? new Intl.DateTimeFormat(this.locale, { dateStyle: "long" }).format(new Date(moment)) : "";
  }

  show(...nodes) {
    this.shadowRoot.replaceChildren(...nodes);
  }

  /** Show that nothing can be shown now, and a button to try again. */
  away(error) {
    const text = (outdated(error) ? this.say("form_session") : this.say("form_away")) || "The payment page cannot be reached just now.";
    const again = node("button", { type: "button", textContent: this.say("form_again") || "Try again" });
    again.addEventListener("click", () => this.reload());
    this.show(node("div", { className: "stack" }, node("p", { className: "problem", textContent: text, attr: { role: "alert", part: "problem" } }), again));
    if (outdated(error)) this.tell("token", { error });
    this.tell("error", { error });
  }

  /** Tell the page: `paydesk-…`, which bubbles. */
  tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(`paydesk-${name}`, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}

// --- the payment form ------------------------------------------------------------------------------------------------

/** A button that says that it works; pressed again meanwhile it does nothing. */
function busy(button, isBusy, text) {
  button.setAttribute("aria-disabled", String(isBusy));
  button.replaceChildren(...(isBusy ? [node("span", { className: "spin", attr: { "aria-hidden": "true" } })] : []), text);
}

export class PaydeskPaymentForm extends PaydeskElement {
  static observedAttributes = [...COMMON, "order", "price", "quantity", "bare"];
  #stripe = null;
  #elements = null;
  #token = null;
  #order = null;
  #orderKey = null;
  #busy = false;
  #other = false; // another thing is sold than the order was made for
  #over = false; // how it ended is shown
  #turn = 0;
  #late = false; // something has changed while a payment was under way
  #shown = false; // the form, or how it ended
  #unsure = false; // what Stripe made of a try was never heard
  #current = () => false;
  #scheme = null;
  #appearance = null;

  connectedCallback() {
    super.connectedCallback();
    this.#scheme = matchMedia("(prefers-color-scheme: dark)");
    this.#scheme.addEventListener("change", this.#recolour);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#scheme?.removeEventListener("change", this.#recolour);
  }

  #recolour = () => this.#elements?.update({ appearance: this.appearance });

  set appearance(own) {
    this.#appearance = own;
    this.#recolour();
  }

  /** How Stripe's element looks: in this element's own colours, unless the page has said otherwise here. */
  get appearance() {
    if (this.#appearance) return this.#appearance;
    const probe = this.shadowRoot.appendChild(node("span"));
    const colour = (name) => {
      probe.style.color = `var(--_${name})`;
      return getComputedStyle(probe).color;
    };
    const [background, line, accent] = [colour("surface"), colour("line"), colour("accent")];
    const variables = {
      colorPrimary: accent, colorBackground: background, colorText: colour("text"), colorTextSecondary: colour("soft"),
      colorDanger: colour("danger"), borderRadius: getComputedStyle(this).getPropertyValue("--_radius").trim(),
      fontFamily: getComputedStyle(this).fontFamily,
    };
    probe.remove();
    const [red, green, blue] = (background.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
    const dark = 0.3 * red + 0.6 * green + 0.1 * blue < 128;
    return { theme: dark ? "night" : "stripe", variables, rules: { ".Input": { border: `1px solid ${line}` } } };
  }

  /** A fresh key or token speaks for the same buyer: form, order and what was typed stay. Another price is another order. */
  changed(name) {
    if (["url", "order", "price", "quantity"].includes(name)) this.#other = true;
    else if (this.#shown && name !== "locale") {
      if (this.problem?.textContent === this.say("form_session")) this.problem.textContent = "";
      return;
    }
    this.reload();
  }

  /** Nothing is loaded while a payment is under way: what has changed is shown after it. */
  reload() {
    if (this.#busy) this.#late = true;
    else super.reload();
  }

  away(error) {
    if (this.#busy) return;
    this.#shown = false;
    super.away(error);
  }

  async load(current) {
    if (this.#busy) return this.reload();
    if (this.#other) {
      this.#token = this.#orderKey = null;
      this.#other = this.#unsure = false;
    }
    const back = new URL(location.href).searchParams;
    const own = this.getAttribute("order");
    const price = this.getAttribute("price");
    const returned = back.get(RETURNED);
    if (!own && !price) throw new PaydeskError({ code: "invalid_element", message: "the form needs an order or a price" });
    const came = price && returned?.endsWith(`.${price}`) ? returned.slice(0, -price.length - 1) : null;
    const token = own ?? this.#token ?? came ?? (await this.#remembered());
    const { locale } = this;
    const quantity = this.getAttribute("quantity") || undefined;
    const order = await (token ? this.client.forms.retrieve(token, { locale }) : this.client.forms.preview({ price, quantity, locale }));
    if (!current()) return;
    if (this.#busy) return this.reload();
    const turn = (this.#turn += 1);
    this.#current = () => this.isConnected && turn === this.#turn;
    this.#over = this.#late = false;
    this.#token = token;
    this.#order = order;
    const secret = back.get("payment_intent_client_secret") ?? back.get("setup_intent_client_secret");
    if (token && returned === this.#mark && secret) await this.#cameBack(secret, current);
    else if (order.state !== "open") this.#closed(order.state);
    else await this.#offer(current);
  }

  // --- the order that was made for a price outlives the page: who comes back, from a bank or anew, pays that one

  get #memory() {
    const { url } = this.client;
    return `paydesk ${url} ${this.getAttribute("price")} ${this.getAttribute("quantity") || 1}`;
  }

  /** Keep the made order for this tab, or forget it; where pages may keep nothing, nothing is kept. */
  #remember(made) {
    if (this.getAttribute("order")) return;
    try {
      if (made) sessionStorage.setItem(this.#memory, JSON.stringify(made));
      else sessionStorage.removeItem(this.#memory);
    } catch {
      // The page may not keep anything.
    }
  }

  /** The token of the order that was made here before, while it is this buyer's and can be paid or is on its way. */
  async #remembered() {
    let made = null;
    try {
      made = JSON.parse(sessionStorage.getItem(this.#memory));
    } catch {
      // The page may not keep anything.
    }
    if (!made) return null;
    try {
      await this.client.orders.retrieve(made.order); // somebody else's is not found
      const { state } = await this.client.forms.status(made.token);
      if (state === "open" || state === "pending") return made.token;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    this.#remember(null);
    return null;
  }

  /** How this order is called in the address that a bank leads back to. */
  get #mark() {
    const price = this.getAttribute("price");
    return this.getAttribute("order") || !price ? this.#token : `${this.#token}.${price}`;
  }

  /** Back from a bank: what it says in the address proves nothing, so Stripe and our order are asked. */
  async #cameBack(secret, current) {
    const address = new URL(location.href);
    const ours = [RETURNED, ...OF_STRIPE, "payment_intent_client_secret", "setup_intent_client_secret"];
    for (const name of ours) address.searchParams.delete(name);
    history.replaceState(history.state, "", address);
    const state = this.#order.state;
    if (state !== "open") return this.#closed(state);
    await this.#begin();
    const intent = await this.#intent(secret);
    if (!current()) return;
    if (TAKEN.includes(intent?.status)) return void this.#follow();
    await this.#offer(current);
    if (!current()) return;
    const error = intent?.last_payment_error ?? intent?.last_setup_error ?? { code: "payment_intent_authentication_failure" };
    this.#failed(error, NOT_TAKEN.includes(intent?.status));
  }

  /** What Stripe says of an intent; null when it cannot be asked. */
  async #intent(secret) {
    const asked = secret.startsWith("seti_") ? this.#stripe.retrieveSetupIntent(secret) : this.#stripe.retrievePaymentIntent(secret);
    const found = await asked.catch(() => ({}));
    return found.paymentIntent ?? found.setupIntent ?? null;
  }

  /** An order that is not open any more: shown as it ended, or followed until it does. */
  #closed(state) {
    if (state === "pending") void this.#follow();
    else this.#end(state);
  }

  async #begin() {
    const Stripe = await stripeJs(this.config.stripe_js);
    this.#stripe ??= Stripe(this.config.publishable_key, { locale: this.config.locale });
  }

  // --- showing

  async #offer(current) {
    if (this.#order.hosted_only || !this.config.publishable_key) return this.#offerHosted();
    await this.#begin();
    if (!current()) return;
    this.#frame(this.say("button_pay", { amount: this.#order.amount_text }));
    this.#shown = true;
    this.#elements = null; // those of another order must not be confirmed
    this.secret = undefined;
    this.place?.remove();
    if (this.#order.intent_first) this.#offerStep();
    else this.#mount(this.#order.elements);
  }

  /** The form has a ground of its own, whatever the page's colours are; a bare one stands on the page's. */
  get #ground() {
    return this.hasAttribute("bare") ? "stack" : "stack card";
  }

  #summary() {
    if (this.hasAttribute("bare")) return null;
    const { lines, price_text: price } = this.#order;
    const items = lines.map((line) =>
      node("li", {}, node("span", { textContent: line.quantity > 1 ? `${line.name} × ${line.quantity}` : line.name }), node("span", { className: "figures", textContent: line.amount_text })),
    );
    return node("div", { attr: { part: "summary" } },
      node("h2", { textContent: this.say("form_order"), attr: { id: "heading" } }),
      node("p", { className: "amount figures", textContent: price, attr: { part: "amount" } }),
      node("ul", { className: "lines", attr: { "aria-labelledby": "heading" } }, ...items));
  }

  /** The parts of the form; Stripe's frame lives outside of the shadow tree, where Stripe.js finds it. */
  #frame(label) {
    this.label = label;
    this.button = node("button", { type: "submit", className: "main", attr: { part: "button" } });
    busy(this.button, false, label);
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    this.news = node("p", { className: "soft small news", attr: { role: "status", "aria-live": "polite" } });
    const form = node("form", { className: "stack", noValidate: true, attr: { part: "form" } },
      node("slot", { name: "payment" }), this.problem, this.button, this.news,
      node("p", { className: "soft small", textContent: this.say("form_safe"), attr: { part: "note" } }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.summary = this.#summary();
    this.show(node("div", { className: this.#ground }, node("slot", { name: "before" }), this.summary, form, node("slot", { name: "after" })));
  }

  #mount(options) {
    const { elements: _deferred, ...rest } = { elements: null, ...options };
    this.#place();
    this.#elements = this.#stripe.elements({ ...rest, appearance: this.appearance, locale: this.config.locale });
    const element = this.#elements.create("payment", { layout: "tabs" });
    element.on("ready", () => this.tell("ready", { order: this.#order.order ?? null }));
    element.on("loaderror", (event) => this.away(event.error));
    element.mount(this.place);
  }

  #place() {
    this.place?.remove();
    this.place = node("div", { slot: "payment" });
    this.append(this.place);
  }

  /** Some ways to pay need the intent before they can be shown: then a first press makes it. */
  #offerStep() {
    this.label = this.say("form_go_on");
    busy(this.button, false, this.label);
  }

  #offerHosted() {
    const go = node("button", { type: "button", className: "main", attr: { part: "button" } });
    busy(go, false, this.say("form_to_stripe"));
    this.button = go;
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    go.addEventListener("click", () => this.#guard(async () => location.assign(await this.#hosted())));
    this.label = this.say("form_to_stripe");
    this.#shown = true;
    this.show(node("div", { className: this.#ground }, this.#summary(), node("p", { className: "soft", textContent: this.say("form_hosted_only") }), this.problem, go));
  }

  // --- paying

  /** Do one thing at a time; what goes wrong is told, and the form stays usable. */
  async #guard(work) {
    if (this.#busy) return;
    this.#busy = true;
    this.problem.textContent = "";
    busy(this.button, true, this.say("form_paying"));
    try {
      await work();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#busy = false;
      if (this.button.isConnected) busy(this.button, false, this.label);
      if (this.#late && this.isConnected && !this.#over) this.reload();
      this.#late = false;
    }
  }

  /** Pay, as the button does. */
  submit() {
    return this.#guard(() => (this.#elements ? this.#pay() : this.#step()));
  }

  async #step() {
    const ready = await this.#press();
    if (ready === null) return;
    this.secret = ready;
    this.label = this.say("button_pay", { amount: this.#order.amount_text });
    this.#mount({ clientSecret: ready });
  }

  /** The order for a price is made by the first press, once. */
  async #makeOrder(form = true) {
    this.#orderKey ??= newKey();
    const items = [{ price: this.getAttribute("price"), quantity: Number(this.getAttribute("quantity") || 1) }];
    const made = await this.client.checkouts.create({ customer: "me", items, form }, { idempotencyKey: this.#orderKey });
    this.#token = new URL(made.link).pathname.split("/").pop();
    this.#remember({ order: made.id, token: this.#token });
    this.#order = { ...this.#order, order: made.id, link: made.link, costs: [made.amount, made.currency] };
    return made;
  }

  /** Whether the order costs what the button said; otherwise the catalogue has changed since. */
  get #asSaid() {
    const { amount, currency, costs } = this.#order;
    return !costs || (costs[0] === amount && costs[1] === currency);
  }

  /** Show what the order does cost. Who pays has to press again. */
  async #otherPrice() {
    this.#order = await this.client.forms.retrieve(this.#token, { locale: this.locale });
    const { amount, currency, amount_text: text } = this.#order;
    if (!this.#elements || this.#order.hosted_only || this.#order.intent_first) await this.#offer(this.#current);
    else {
      this.#elements.update({ amount, currency });
      this.label = this.say("button_pay", { amount: text });
      const summary = this.#summary();
      if (summary) this.summary.replaceWith(summary);
      this.summary = summary;
    }
    const message = this.say("form_price_changed", { amount: this.#order.price_text });
    this.problem.textContent = message;
    this.tell("failed", { order: this.#order.order, code: "price_changed", message, error: null });
    return null;
  }

  /** Where Stripe's page is; our own link, where that is to be asked. */
  async #hosted() {
    if (this.#order.link) return this.#order.link;
    const made = await this.#makeOrder(false);
    return made.url ?? made.link;
  }

  /** The secret of the order's intent; null when the order is no longer to be paid here, which is then shown. */
  async #press() {
    if (!this.#token) await this.#makeOrder();
    if (!this.#asSaid) return this.#otherPrice();
    const ready = await this.client.forms.press(this.#token);
    if (ready.client_secret) return ready.client_secret;
    if (ready.state === "hosted") location.assign(this.#order.link);
    else if (ready.state === "pending") await this.#follow();
    else this.#end(ready.state);
    return null;
  }

  async #pay() {
    const checked = await this.#elements.submit();
    if (checked.error) {
      if (checked.error.type !== "validation_error") this.#failed(checked.error);
      return;
    }
    const secret = this.secret ?? (await this.#press());
    if (secret === null) return;
    const back = new URL(location.href);
    back.searchParams.set(RETURNED, this.#mark);
    const given = { elements: this.#elements, confirmParams: { return_url: back.href }, redirect: "if_required" };
    if (!this.secret) given.clientSecret = secret;
    const confirming = secret.startsWith("seti_") ? this.#stripe.confirmSetup(given) : this.#stripe.confirmPayment(given);
    const result = await confirming.catch((error) => ({ error }));
    if (result.error) await this.#doubt(result.error, secret);
    else await this.#follow();
  }

  /** A try went wrong, as Stripe.js says; whether it took the money all the same, Stripe and our order say. */
  async #doubt(error, secret) {
    if (error.type === "validation_error") return; // Stripe's element says it
    const intent = await this.#intent(secret);
    if (TAKEN.includes(intent?.status)) return this.#follow();
    const { state } = await this.client.forms.status(this.#token).catch(() => ({ state: "open" }));
    if (state === "pending") return this.#follow();
    if (state !== "open") return this.#end(state);
    this.#failed(error, intent ? NOT_TAKEN.includes(intent.status) : error.type === "card_error");
  }

  /** Tell what went wrong. That nothing was charged is said where it is `sure` alone. */
  #failed(error, sure = false) {
    this.#unsure = error instanceof PaydeskError ? this.#unsure : !sure;
    const code = error.decline_code ?? error.code ?? "unknown";
    const text = error instanceof PaydeskError ? this.#refusal(error, code) : this.#decline(error, code, sure);
    this.problem.textContent = text;
    if (outdated(error)) this.tell("token", { error });
    this.tell("failed", { order: this.#order.order ?? null, code, message: text, error });
  }

  /** What our own refusal, or that we could not be reached, means to the buyer. */
  #refusal(error, code) {
    if (code === "already_subscribed") return this.say("form_subscribed");
    if (outdated(error)) return this.say("form_session");
    if (this.config.reasons[code]) return this.config.reasons[code];
    const away = error.status === 0 || error.status >= 500 || error.status === 429 || code === "idempotency_key_in_use";
    if (!away) return this.say("form_refused");
    return this.#unsure ? this.say("form_unsure") : `${this.say("form_away")} ${this.say("form_safe_again")}`;
  }

  /** What became of a try, in words. Stripe's own are for buyers only where a card was declined. */
  #decline(error, code, sure) {
    const reasons = this.config.reasons;
    const known = reasons[code] ?? reasons[error.code] ?? (error.type === "card_error" ? error.message : null);
    if (!sure) return this.say("form_unsure");
    return `${known || this.say("form_failed")} ${this.say("form_nothing_charged")}`;
  }

  /** Stripe has taken it: wait until our order says so too. Where that takes long, say so, and go on looking. */
  async #follow() {
    const [current, begun] = [this.#current, Date.now()];
    this.#busy = this.#shown = true;
    if (this.news) this.news.textContent = this.say("form_looking");
    this.client.forms.look(this.#token).catch(() => null); // the webhook comes by itself; this is only quicker
    let state = "open";
    while (current()) {
      ({ state } = await this.client.forms.status(this.#token).catch(() => ({ state: "open" })));
      if (state !== "open" || Date.now() - begun > SURE_MS) break;
      await pause(LOOK_MS);
    }
    this.#busy = false;
    if (!current()) return;
    const still = state === "open" || state === "pending";
    this.#end(still ? "pending" : state);
    if (still) void this.#wait(current, begun);
  }

  /** Go on looking at what is on its way, while somebody sees the page. */
  async #wait(current, begun) {
    while (current()) {
      await pauseUnseen(Date.now() - begun < PATIENCE_MS ? SLOW_MS : PATIENT_MS);
      const { state } = await this.client.forms.status(this.#token).catch(() => ({ state: "open" }));
      if (current() && state !== "open" && state !== "pending") return this.#end(state);
    }
  }

  /** Show how it ended, or that it is on its way, and tell the page. */
  #end(state) {
    const [head, more, mark, event] = {
      paid: ["form_paid", "form_thanks", "good", "paid"],
      pending: ["form_pending", "form_pending_more", "wait", "pending"],
      canceled: ["form_canceled", "form_canceled_more", "end", "closed"],
      refunded: ["form_refunded", "form_refunded_more", "end", "closed"],
      disputed: ["form_disputed", "form_disputed_more", "end", "closed"],
    }[state] ?? ["form_unknown", "form_unknown_more", "end", "closed"];
    this.#busy = this.#unsure = false;
    this.#shown = this.#over = true;
    if (state !== "pending") this.#remember(null);
    this.#elements = null;
    this.secret = undefined;
    this.place?.remove();
    const end = node("div", { className: "end", tabIndex: -1, attr: { part: "end", role: "status" } },
      sign(mark), node("h2", { textContent: this.say(head) }), node("p", { className: "soft", textContent: this.say(more) }));
    this.show(node("div", { className: this.#ground }, end, node("slot", { name: state })));
    end.focus({ preventScroll: true });
    this.tell(event, { order: this.#order.order ?? null, state });
  }
}

// --- the balance -----------------------------------------------------------------------------------------------------

export class PaydeskBalance extends PaydeskElement {
  static observedAttributes = [...COMMON, "unit", "label"];

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("paydesk-paid", this.#again);
    document.addEventListener("visibilitychange", this.#again);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("paydesk-paid", this.#again);
    document.removeEventListener("visibilitychange", this.#again);
  }

  #again = () => {
    if (document.visibilityState === "visible") this.reload();
  };

  async load(current) {
    const unit = this.getAttribute("unit") || undefined;
    const wallet = await this.client.credits.retrieve("me", { unit });
    if (!current()) return;
    const number = (amount) => new Intl.NumberFormat(this.locale).format(amount);
    const also = [["held", "wallet_held"], ["debt", "wallet_debt"]].filter(([name]) => wallet[name] > 0);
    this.show(node("div", { className: "card", attr: { part: "balance", role: "group", "aria-labelledby": "heading" } },
      node("h2", { className: "soft", textContent: this.getAttribute("label") || this.say("wallet_title"), attr: { id: "heading" } }),
      node("p", { attr: { "aria-live": "polite" } },
        node("span", { className: "amount figures", textContent: number(wallet.balance), attr: { part: "amount" } }),
        node("span", { className: "soft", textContent: ` ${wallet.unit}`, attr: { part: "unit" } })),
      ...also.map(([name, text]) => node("p", { className: "soft", textContent: this.say(text, { amount: number(wallet[name]) }) }))));
    this.tell("balance", { unit: wallet.unit, balance: wallet.balance, held: wallet.held, debt: wallet.debt });
  }
}

// --- the subscriptions -----------------------------------------------------------------------------------------------

export class PaydeskSubscriptions extends PaydeskElement {
  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("paydesk-paid", this.#again);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("paydesk-paid", this.#again);
  }

  #again = () => this.reload();

  async load(current) {
    const [found, catalogue] = await Promise.all([this.client.subscriptions.list({ status: "live" }), this.client.products.list()]);
    if (!current()) return;
    this.names = new Map(catalogue.data.flatMap((product) => product.prices.map((price) => [price.key, { name: product.name, display: price.display }])));
    this.list = node("div", { className: "stack" });
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    this.news = node("p", { className: "soft news", attr: { role: "status", "aria-live": "polite" } });
    const none = found.data.length ? null : node("p", { className: "soft", textContent: this.say("subs_none") }, node("slot", { name: "empty" }));
    this.show(node("div", { className: "stack", attr: { part: "subscriptions" } },
      node("h2", { textContent: this.say("subs_title"), attr: { part: "title" } }), this.list, none, this.problem, this.news));
    this.list.append(...found.data.map((one) => this.#card(one)));
  }

  #card(subscription) {
    const item = subscription.items[0] ?? {};
    const known = this.names.get(item.price) ?? { name: item.product ?? subscription.id, display: "" };
    const card = node("section", { className: "card", attr: { part: "subscription", "aria-labelledby": subscription.id } },
      node("div", { className: "head" },
        node("h3", { textContent: known.name, tabIndex: -1, attr: { id: subscription.id } }),
        node("span", { className: "figures", textContent: known.display })),
      this.#standing(subscription, item));
    card.append(this.#buttons(subscription, card));
    return card;
  }

  /** How it stands, in words. */
  #standing(subscription, item) {
    const badge = (text, bad) => node("span", { className: bad ? "badge bad" : "badge", textContent: text });
    const parts = [];
    if (["past_due", "unpaid", "incomplete"].includes(subscription.status)) parts.push(badge(this.say("subs_unpaid"), true));
    else if (subscription.paused) parts.push(badge(this.say("subs_paused")));
    else if (subscription.cancel_at) parts.push(badge(this.say("subs_ends", { day: this.day(subscription.cancel_at) }), true));
    else if (subscription.status === "trialing") parts.push(badge(this.say("subs_trial", { day: this.day(subscription.trial_end) })));
    else parts.push(node("span", { className: "soft", textContent: this.say("subs_renews", { day: this.day(item.current_period_end) }) }));
    return node("p", {}, ...parts);
  }

  #buttons(subscription, card) {
    const button = (name, act, danger) => {
      const made = node("button", { type: "button", textContent: this.say(name), className: danger ? "danger" : "", attr: { part: "button" } });
      made.addEventListener("click", act);
      return made;
    };
    const url = subscription.latest_invoice?.url;
    const pay = url ? node("a", { className: "button", href: url, textContent: this.say("form_to_stripe"), rel: "noreferrer" }) : null;
    const ending = subscription.cancel_at
      ? button("subs_resume", () => this.#change(subscription, "resume"))
      : button("subs_cancel", () => this.#ask(subscription, card));
    return node("div", { className: "actions" }, pay, button("subs_change", () => this.#portal()), ending);
  }

  /** Ask before anything ends. */
  #ask(subscription, card) {
    const day = this.day(subscription.items[0]?.current_period_end);
    const question = node("p", { textContent: this.say("subs_cancel_sure", { day }), attr: { id: `sure-${subscription.id}` } });
    const yes = node("button", { type: "button", className: "danger", textContent: this.say("subs_cancel_yes") });
    const no = node("button", { type: "button", textContent: this.say("subs_keep") });
    const actions = card.querySelector(".actions");
    const sure = node("div", { className: "sure", attr: { role: "group", "aria-labelledby": `sure-${subscription.id}` } }, question, node("div", { className: "actions" }, yes, no));
    const keep = () => {
      sure.replaceWith(actions);
      actions.lastElementChild.focus();
    };
    no.addEventListener("click", keep);
    sure.addEventListener("keydown", (event) => event.key === "Escape" && keep());
    yes.addEventListener("click", () => this.#change(subscription, "cancel"));
    actions.replaceWith(sure);
    no.focus();
  }

  async #change(subscription, what) {
    await this.#try(async () => {
      const changed = await this.client.subscriptions[what](subscription.id);
      this.list.querySelector(`[aria-labelledby="${subscription.id}"]`).replaceWith(this.#card(changed));
      this.news.textContent = this.say("subs_done");
      this.shadowRoot.getElementById(subscription.id).focus();
      this.tell("changed", { subscription: changed });
    });
  }

  async #portal() {
    await this.#try(async () => {
      const { url } = await this.client.portal.create({ return_url: location.href });
      if (this.tell("portal", { url })) location.assign(url);
    });
  }

  /** One thing at a time; what goes wrong is told. */
  async #try(work) {
    if (this.working) return;
    this.working = true;
    this.problem.textContent = this.news.textContent = "";
    this.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      this.problem.textContent = error instanceof PaydeskError && error.status >= 400 && error.status < 429 ? error.message : this.say("form_away");
      this.tell("failed", { code: error.code ?? "unknown", message: this.problem.textContent, error });
    } finally {
      this.working = false;
      this.removeAttribute("aria-busy");
    }
  }
}

if (globalThis.customElements) {
  for (const [name, made] of [["paydesk-payment-form", PaydeskPaymentForm], ["paydesk-balance", PaydeskBalance], ["paydesk-subscriptions", PaydeskSubscriptions]]) {
    if (!customElements.get(name)) customElements.define(name, made);
  }
}
