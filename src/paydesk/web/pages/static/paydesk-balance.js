// <paydesk-balance>: what the buyer can spend.
import { COMMON, PaydeskElement } from "./paydesk-element.js";
import { node } from "./paydesk-parts.js";

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

  /** How so many of the unit are called in this language; one that the catalogue does not have, by its own name. */
  #noun({ unit, balance }) {
    const forms = this.config.units[unit] ?? {};
    return forms[new Intl.PluralRules(this.config.locale).select(balance)] ?? forms.other ?? unit;
  }

  async load(current) {
    const unit = this.getAttribute("unit") || undefined;
    const wallet = await this.client.credits.retrieve("me", { unit });
    if (!current()) return;
    const number = (amount) => new Intl.NumberFormat(this.locale).format(amount);
    const also = [["held", "wallet_held"], ["debt", "wallet_debt"]].filter(([name]) => wallet[name] > 0);
    this.show(node("div", { className: "card", attr: { part: "card balance", role: "group", "aria-labelledby": "heading" } },
      node("h2", { className: "soft", textContent: this.getAttribute("label") || this.say("wallet_title"), attr: { id: "heading" } }),
      node("p", { attr: { "aria-live": "polite" } },
        node("span", { className: "amount figures", textContent: number(wallet.balance), attr: { part: "amount" } }),
        node("span", { className: "soft", textContent: ` ${this.#noun(wallet)}`, attr: { part: "unit" } })),
      ...also.map(([name, text]) => node("p", { className: "soft", textContent: this.say(text, { amount: number(wallet[name]) }) }))));
    this.tell("balance", { unit: wallet.unit, balance: wallet.balance, held: wallet.held, debt: wallet.debt });
  }
}
