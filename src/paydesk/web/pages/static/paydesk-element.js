// What all elements share: they load what they show, say it in their language, and tell the page what happens.
import { Paydesk, PaydeskError } from "./paydesk-client.js";
import { sheet } from "./paydesk-looks.js";
import { busy, node, put, skeleton } from "./paydesk-parts.js";

/** Whether a refusal means that the buyer's token, or the key, is good no more. */
export const outdated = (error) => error instanceof PaydeskError && (error.status === 401 || error.status === 403);

const Element = globalThis.HTMLElement ?? class {}; // imported where there are no pages, such as on a server
const SERVED = import.meta.url.match(/^(.*)\/static\/paydesk-element\.js/)?.[1]; // where this came from, unless it was bundled

/** The attributes of every element. */
export const COMMON = ["url", "publishable-key", "customer-token", "locale"];

/** An element that loads what it shows, again when an attribute changes; a load that was overtaken shows nothing. */
export class PaydeskElement extends Element {
  static observedAttributes = COMMON;
  #client = null;
  #loads = 0;
  #planned = false;

  /** What is said when nothing can be shown, and when the buyer's token is good no more. */
  troubles = { away: "element_away", session: "element_session" };

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
    const url = this.getAttribute("url") || SERVED;
    if (!this.#client && !url) throw new PaydeskError({ code: "invalid_element", message: "the element needs the url of Paydesk" });
    this.#client ??= new Paydesk({
      url,
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

  /** The language as browsers know it; what is none is English. */
  get locale() {
    const asked = this.getAttribute("locale") || document.documentElement.lang || navigator.language || "en";
    try {
      return Intl.getCanonicalLocales(asked)[0];
    } catch {
      return "en";
    }
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
    if (!this.shadowRoot.hasChildNodes()) this.show(this.outline());
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

  /** What stands here until there is something to show. */
  outline() {
    return node("div", { className: "card" }, skeleton(["40%", "1rem"], ["60%", "2rem"]));
  }

  /** A text in this element's language. */
  say(name, values = {}) {
    return put(this.config?.texts[name] ?? "", values);
  }

  /** A day as people of this element's language write it. */
  day(moment) {
    return moment ? new Intl.DateTimeFormat(this.locale, { dateStyle: "long" }).format(new Date(moment)) : "";
  }

  /** Show this and nothing else. */
  show(...nodes) {
    this.shadowRoot.replaceChildren(...nodes);
  }

  /** Show that nothing can be shown now, and a button to try again. */
  away(error) {
    const text = this.say(outdated(error) ? this.troubles.session : this.troubles.away) || "This cannot be shown just now.";
    const again = node("button", { type: "button", attr: { part: "again" } });
    busy(again, false, this.say("form_again") || "Try again");
    again.addEventListener("click", () => {
      busy(again, true, again.textContent);
      this.reload();
    });
    const problem = node("p", { className: "problem", textContent: text, attr: { role: "alert", part: "problem" } });
    this.show(node("div", { className: "card", attr: { part: "card" } }, problem, node("div", { className: "actions" }, again)));
    if (!(error.status > 0)) console.error(`<${this.localName}>`, error.message); // for who builds the page
    if (outdated(error)) this.tell("token", { error });
    this.tell("error", { error });
  }

  /** Tell the page: `paydesk-…`, which bubbles. */
  tell(name, detail) {
    return this.dispatchEvent(new CustomEvent(`paydesk-${name}`, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}
