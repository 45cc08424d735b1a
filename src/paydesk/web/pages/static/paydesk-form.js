// <paydesk-payment-form>: Stripe's Payment Element around one order. What was typed never comes here.
import { PaydeskError, newKey } from "./paydesk-client.js";
import { COMMON, PaydeskElement, outdated } from "./paydesk-element.js";
import { Memory } from "./paydesk-memory.js";
import { appearanceOf, busy, node, pause, pauseUnseen, sign, skeleton } from "./paydesk-parts.js";
import { NOT_TAKEN, TAKEN, cleanAddress, confirm, intentOf, secretOfAddress, stripeJs } from "./paydesk-stripe.js";
import { codeOf, wordsOf } from "./paydesk-trouble.js";

const RETURNED = "paydesk_order"; // names the order in the address that a bank leads back to
const LOOK_MS = 700;
const SLOW_MS = 4000;
const SURE_MS = 12_000;
const PATIENCE_MS = 180_000;
const PATIENT_MS = 15_000; // between looks, when patience has run out

/** How an order ended, or stands: its heading, what more is said, its sign, and the event that tells of it. */
const ENDS = {
  paid: ["form_paid", "form_thanks", "good", "paid"],
  pending: ["form_pending", "form_pending_more", "wait", "pending"],
  canceled: ["form_canceled", "form_canceled_more", "end", "closed"],
  refunded: ["form_refunded", "form_refunded_more", "end", "closed"],
  disputed: ["form_disputed", "form_disputed_more", "end", "closed"],
};
const FIELDS = [["100%", "44px"], ["100%", "44px"], ["100%", "44px"]]; // about as high as Stripe's
const UNKNOWN = ["form_unknown", "form_unknown_more", "end", "closed"];

export class PaydeskPaymentForm extends PaydeskElement {
  static observedAttributes = [...COMMON, "order", "price", "quantity", "bare"];
  troubles = { away: "form_away", session: "form_session" };
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
    return this.#appearance ?? appearanceOf(this);
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
    const own = this.getAttribute("order");
    const price = this.getAttribute("price");
    const returned = new URL(location.href).searchParams.get(RETURNED);
    if (!own && !price) throw new PaydeskError({ code: "invalid_element", message: "the form needs an order or a price" });
    const came = price && returned?.endsWith(`.${price}`) ? returned.slice(0, -price.length - 1) : null;
    const token = own ?? this.#token ?? came ?? (await this.#memory.token(this.client));
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
    const secret = secretOfAddress();
    if (token && returned === this.#mark && secret) await this.#cameBack(secret, current);
    else if (order.state !== "open") this.#closed(order.state);
    else await this.#offer(current);
  }

  /** Where the order that was made for this price is kept. */
  get #memory() {
    return new Memory(this.client.url, this.getAttribute("price"), this.getAttribute("quantity") || 1);
  }

  /** How this order is called in the address that a bank leads back to. */
  get #mark() {
    const price = this.getAttribute("price");
    return this.getAttribute("order") || !price ? this.#token : `${this.#token}.${price}`;
  }

  /** Back from a bank: what it says in the address proves nothing, so Stripe and our order are asked. */
  async #cameBack(secret, current) {
    cleanAddress([RETURNED]);
    const state = this.#order.state;
    if (state !== "open") return this.#closed(state);
    await this.#begin();
    const intent = await intentOf(this.#stripe, secret);
    if (!current()) return;
    if (TAKEN.includes(intent?.status)) return void this.#follow();
    await this.#offer(current);
    if (!current()) return;
    const error = intent?.last_payment_error ?? intent?.last_setup_error ?? { code: "payment_intent_authentication_failure" };
    this.#failed(error, NOT_TAKEN.includes(intent?.status));
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

  outline() {
    return node("div", { className: this.#ground }, skeleton(...FIELDS, ["100%", "52px"]));
  }

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
      node("li", { attr: { part: "line" } }, node("span", { textContent: line.quantity > 1 ? `${line.name} × ${line.quantity}` : line.name }), node("span", { className: "figures", textContent: line.amount_text })),
    );
    return node("div", { attr: { part: "summary" } },
      node("h2", { className: "soft", textContent: this.say("form_order"), attr: { id: "heading" } }),
      node("p", { className: "amount figures", textContent: price, attr: { part: "amount" } }),
      node("ul", { className: "lines", attr: { "aria-labelledby": "heading" } }, ...items));
  }

  /** The parts of the form; Stripe's frame lives outside of the shadow tree, where Stripe.js finds it. */
  #frame(label) {
    this.label = label;
    this.button = node("button", { type: "submit", className: "main", attr: { part: "button" } });
    busy(this.button, false, label, "lock");
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    this.news = node("p", { className: "soft small news", attr: { role: "status", "aria-live": "polite", part: "news" } });
    this.bones = skeleton(...FIELDS);
    this.bones.hidden = true;
    const form = node("form", { className: "stack", noValidate: true, attr: { part: "form" } },
      node("slot", { name: "payment" }), this.bones, this.problem, this.button, this.news,
      node("p", { className: "soft small", textContent: this.say("form_safe"), attr: { part: "note" } }));
    this.#paysBy(form);
    this.summary = this.#summary();
    this.show(node("div", { className: this.#ground, attr: { part: "card" } }, node("slot", { name: "before" }), this.summary, form, node("slot", { name: "after" })));
  }

  #mount(options) {
    const { elements: _deferred, ...rest } = { elements: null, ...options };
    this.#place();
    this.#elements = this.#stripe.elements({ ...rest, appearance: this.appearance, locale: this.config.locale });
    const element = this.#elements.create("payment", { layout: "tabs" });
    this.bones.hidden = false;
    element.on("ready", () => {
      this.bones.hidden = true;
      this.tell("ready", { order: this.#order.order ?? null });
    });
    element.on("loaderror", (event) => this.away(event.error));
    element.mount(this.place.firstChild);
  }

  /** Stripe's element submits the form that it finds around itself when Enter is pressed in it: one of its own, here. */
  #place() {
    this.place?.remove();
    this.place = node("form", { slot: "payment", noValidate: true }, node("div"));
    this.#paysBy(this.place);
    this.append(this.place);
  }

  /** Pay where a form is submitted, and let no form that the page has around us hear of it. */
  #paysBy(form) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.submit();
    });
  }

  /** Some ways to pay need the intent before they can be shown: then a first press makes it. */
  #offerStep() {
    this.label = this.say("form_go_on");
    busy(this.button, false, this.label, this.#glyph);
  }

  /** The picture on the button: a lock where it takes money, or leads to where it is taken. */
  get #glyph() {
    return this.label === this.say("form_go_on") ? null : "lock";
  }

  #offerHosted() {
    const go = node("button", { type: "button", className: "main", attr: { part: "button" } });
    busy(go, false, this.say("form_to_stripe"), "lock");
    this.button = go;
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    go.addEventListener("click", () => this.#guard(async () => location.assign(await this.#hosted())));
    this.label = this.say("form_to_stripe");
    this.#shown = true;
    const why = node("p", { className: "soft", textContent: this.say("form_hosted_only"), attr: { part: "note" } });
    this.show(node("div", { className: this.#ground, attr: { part: "card" } }, this.#summary(), why, this.problem, go));
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
      if (this.button.isConnected) busy(this.button, false, this.label, this.#glyph);
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
    this.#memory.keep({ order: made.id, token: this.#token });
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
    const result = await confirm(this.#stripe, secret, given);
    if (result.error) await this.#doubt(result.error, secret);
    else await this.#follow();
  }

  /** A try went wrong, as Stripe.js says; whether it took the money all the same, Stripe and our order say. */
  async #doubt(error, secret) {
    if (error.type === "validation_error") return; // Stripe's element says it
    const intent = await intentOf(this.#stripe, secret);
    if (TAKEN.includes(intent?.status)) return this.#follow();
    const { state } = await this.client.forms.status(this.#token).catch(() => ({ state: "open" }));
    if (state === "pending") return this.#follow();
    if (state !== "open") return this.#end(state);
    this.#failed(error, intent ? NOT_TAKEN.includes(intent.status) : error.type === "card_error");
  }

  /** Tell what went wrong. That nothing was charged is said where it is `sure` alone. */
  #failed(error, sure = false) {
    this.#unsure = error instanceof PaydeskError ? this.#unsure : !sure;
    const code = codeOf(error);
    const text = wordsOf(this, error, { sure, unsure: this.#unsure });
    this.problem.textContent = text;
    if (outdated(error)) this.tell("token", { error });
    this.tell("failed", { order: this.#order.order ?? null, code, message: text, error });
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
    const [head, more, mark, event] = ENDS[state] ?? UNKNOWN;
    this.#busy = this.#unsure = false;
    this.#shown = this.#over = true;
    if (state !== "pending" && !this.getAttribute("order")) this.#memory.keep(null);
    this.#elements = null;
    this.secret = undefined;
    this.place?.remove();
    const end = node("div", { className: "end", tabIndex: -1, attr: { part: "end", role: "status" } },
      sign(mark), node("h2", { textContent: this.say(head) }), node("p", { className: "soft", textContent: this.say(more) }));
    this.show(node("div", { className: this.#ground, attr: { part: "card" } }, end, node("slot", { name: state })));
    end.focus({ preventScroll: true });
    this.tell(event, { order: this.#order.order ?? null, state });
  }
}
