// <paydesk-subscriptions>: what the buyer pays again and again, and its end.
import { PaydeskError } from "./paydesk-client.js";
import { PaydeskElement, outdated } from "./paydesk-element.js";
import { busy, node } from "./paydesk-parts.js";

const SHOWN_MAX = 100;

/** How a price is called among those that are shown. */
const priceOf = (item) => `${item.price} ${item.quantity}`;

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
    const found = await this.client.subscriptions.list({ status: "live" }).toArray({ max: SHOWN_MAX });
    await this.#learn(found.flatMap((one) => one.items));
    if (!current()) return;
    this.list = node("div", { className: "stack" });
    this.problem = node("p", { className: "problem", attr: { role: "alert", part: "problem" } });
    this.news = node("p", { className: "soft news", attr: { role: "status", "aria-live": "polite", part: "news" } });
    const none = found.length ? null : node("p", { className: "soft", textContent: this.say("subs_none") }, node("slot", { name: "empty" }));
    this.show(node("div", { className: "stack", attr: { part: "subscriptions" } },
      node("h2", { textContent: this.say("subs_title"), attr: { part: "title" } }), this.list, none, this.problem, this.news));
    this.list.append(...found.map((one) => this.#card(one)));
  }

  /** Ask how prices are called and written in this language, each once; what is sold no more has no such words. */
  async #learn(items) {
    const wanted = new Map(items.filter((item) => item.price).map((item) => [priceOf(item), item]));
    const asked = [...wanted.values()].map(({ price, quantity }) =>
      this.client.forms.preview({ price, quantity, locale: this.locale }).catch(() => null),
    );
    const seen = await Promise.all(asked);
    this.names = new Map([...wanted.keys()].map((name, place) => [name, seen[place]]));
  }

  #card(subscription) {
    const item = subscription.items[0] ?? {};
    const known = this.names.get(priceOf(item));
    const name = known?.lines[0].name ?? item.product ?? subscription.id;
    const shown = item.quantity > 1 ? `${name} × ${item.quantity}` : name;
    const card = node("section", { className: "card", attr: { part: "card subscription", "aria-labelledby": subscription.id } },
      node("div", { className: "head" },
        node("h3", { textContent: shown, tabIndex: -1, attr: { id: subscription.id } }),
        node("span", { className: "figures", textContent: known?.price_text ?? "", attr: { part: "price" } })),
      this.#standing(subscription, item));
    card.append(this.#buttons(subscription, card));
    return card;
  }

  /** How it stands, in words. */
  #standing(subscription, item) {
    const badge = (text, bad) => node("span", { className: bad ? "badge bad" : "badge", textContent: text, attr: { part: "badge" } });
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
      made.addEventListener("click", () => act(made));
      return made;
    };
    const url = subscription.latest_invoice?.url;
    const pay = url ? node("a", { className: "button", href: url, textContent: this.say("form_to_stripe"), rel: "noreferrer" }) : null;
    const ending = subscription.cancel_at
      ? button("subs_resume", (pressed) => this.#change(subscription, "resume", pressed))
      : button("subs_cancel", () => this.#ask(subscription, card));
    return node("div", { className: "actions" }, pay, button("subs_change", (pressed) => this.#portal(pressed)), ending);
  }

  /** Ask before anything ends. */
  #ask(subscription, card) {
    const day = this.day(subscription.items[0]?.current_period_end);
    const question = node("p", { textContent: this.say("subs_cancel_sure", { day }), attr: { id: `sure-${subscription.id}` } });
    const yes = node("button", { type: "button", className: "danger", textContent: this.say("subs_cancel_yes"), attr: { part: "button" } });
    const no = node("button", { type: "button", textContent: this.say("subs_keep"), attr: { part: "button" } });
    const actions = card.querySelector(".actions");
    const sure = node("div", { className: "sure", attr: { part: "question", role: "group", "aria-labelledby": `sure-${subscription.id}` } }, question, node("div", { className: "actions" }, yes, no));
    const keep = () => {
      sure.replaceWith(actions);
      actions.lastElementChild.focus();
    };
    no.addEventListener("click", keep);
    sure.addEventListener("keydown", (event) => event.key === "Escape" && keep());
    yes.addEventListener("click", () => this.#change(subscription, "cancel", yes));
    actions.replaceWith(sure);
    no.focus();
  }

  async #change(subscription, what, pressed) {
    await this.#try(pressed, async () => {
      const changed = await this.client.subscriptions[what](subscription.id);
      this.list.querySelector(`[aria-labelledby="${subscription.id}"]`).replaceWith(this.#card(changed));
      this.news.textContent = this.say("subs_done");
      this.shadowRoot.getElementById(subscription.id).focus();
      this.tell("changed", { subscription: changed });
    });
  }

  async #portal(pressed) {
    await this.#try(pressed, async () => {
      const { url } = await this.client.portal.create({ return_url: location.href });
      if (this.tell("portal", { url })) location.assign(url);
    });
  }

  /** One thing at a time, which the pressed button shows; what goes wrong is told. */
  async #try(pressed, work) {
    if (this.working) return;
    this.working = true;
    const label = pressed.textContent;
    busy(pressed, true, label);
    this.problem.textContent = this.news.textContent = "";
    this.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      this.problem.textContent = this.#wordsOf(error);
      if (outdated(error)) this.tell("token", { error });
      this.tell("failed", { code: error.code ?? "unknown", message: this.problem.textContent, error });
    } finally {
      this.working = false;
      busy(pressed, false, label);
      this.removeAttribute("aria-busy");
    }
  }

  /** What an error means to the buyer. */
  #wordsOf(error) {
    if (outdated(error)) return this.say("element_session");
    const known = this.config.reasons[error.code];
    if (known) return known;
    const refused = error instanceof PaydeskError && error.status >= 400 && error.status < 429;
    return refused ? error.message : this.say("element_away");
  }
}
