// A stub of Stripe.js for pages that talk to the sandbox. Set the address of Stripe.js to <sandbox>/v3/ and nothing else
// on the page changes: Stripe(), elements(), the Payment Element and the card elements, confirmPayment and its relatives.
(() => {
  "use strict";

  const BASE = new URL(document.currentScript.src).origin;
  const digits = (text) => text.replace(/\D/g, "");

  // Talking to the sandbox: simple forms, nested names as Stripe has them.
  function flat(body, value, name) {
    if (value === undefined || value === null) return;
    if (typeof value === "object") {
      for (const [key, inner] of Object.entries(value)) flat(body, inner, name ? `${name}[${key}]` : key);
    } else body.append(name, String(value));
  }

  async function ask(method, path, params) {
    const body = new URLSearchParams();
    flat(body, params, "");
    try {
      const answer = method === "GET" ? await fetch(`${BASE}/v3/api/${path}?${body}`) : await fetch(`${BASE}/v3/api/${path}`, { method, body });
      return await answer.json();
    } catch {
      return { error: { type: "api_connection_error", message: "We could not reach the payment server. You were not charged. Please try again." } };
    }
  }

  const idOf = (secret) => String(secret).split("_secret_")[0];
  const kindOf = (secret) => (String(secret).startsWith("seti_") ? "setup_intent" : "payment_intent");
  const PUBLIC = { payment_intent: "paymentIntent", setup_intent: "setupIntent" };
  const wrapped = (answer, kind) => (answer.error ? { error: answer.error } : { [PUBLIC[kind]]: answer });
  const invalid = (code, message) => ({ error: { type: "validation_error", code, message } });

  // Looks: as the theme of the page says, inside a shadow tree that the page's own styles do not reach.
  const THEMES = {
    stripe: { ground: "#ffffff", text: "#30313d", soft: "#6d6e78", line: "#e6e6e6", primary: "#0570de", bad: "#df1b41", radius: "5px" },
    night: { ground: "#30313d", text: "#ffffff", soft: "#a3a5b0", line: "#424353", primary: "#85d996", bad: "#fe87a1", radius: "5px" },
    flat: { ground: "#f1f1f1", text: "#30313d", soft: "#6d6e78", line: "#f1f1f1", primary: "#0570de", bad: "#df1b41", radius: "4px" },
  };

  function styles(appearance) {
    const theme = { ...(THEMES[appearance.theme] || THEMES.stripe) };
    const given = appearance.variables || {};
    const named = { colorBackground: "ground", colorText: "text", colorTextSecondary: "soft", colorPrimary: "primary", colorDanger: "bad", borderRadius: "radius" };
    for (const [name, own] of Object.entries(named)) if (given[name]) theme[own] = given[name];
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      :host { display: block; }
      * { box-sizing: border-box; }
      .root { font: 400 16px/1.4 ${given.fontFamily || 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'}; color: ${theme.text}; display: grid; gap: 12px; }
      .row { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
      label { display: block; font-size: 14px; margin-bottom: 4px; }
      input { width: 100%; height: 44px; padding: 0 12px; font: inherit; color: inherit; background: ${theme.ground}; border: 1px solid ${theme.line}; border-radius: ${theme.radius}; outline: 0; box-shadow: 0 1px 1px #00000008, 0 3px 6px #00000005; }
      input::placeholder { color: ${theme.soft}; opacity: .8; }
      input:focus { border-color: ${theme.primary}; box-shadow: 0 0 0 3px color-mix(in srgb, ${theme.primary} 25%, transparent); }
      input[aria-invalid=true] { border-color: ${theme.bad}; color: ${theme.bad}; }
      .problem { color: ${theme.bad}; font-size: 14px; margin-top: 4px; } .problem:empty { display: none; }
      .tabs { display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: 8px; }
      .tab { padding: 12px; text-align: left; font: inherit; font-size: 14px; font-weight: 500; color: ${theme.soft}; background: ${theme.ground}; border: 1px solid ${theme.line}; border-radius: ${theme.radius}; cursor: pointer; }
      .tab[aria-selected=true] { color: ${theme.primary}; border-color: ${theme.primary}; box-shadow: 0 0 0 1px ${theme.primary}; }
      .tab:focus-visible { outline: 3px solid color-mix(in srgb, ${theme.primary} 40%, transparent); outline-offset: 1px; }
      .note { font-size: 14px; color: ${theme.soft}; margin: 0; }
      .line { display: grid; grid-template-columns: 1fr 76px 56px; border: 1px solid ${theme.line}; border-radius: ${theme.radius}; background: ${theme.ground}; overflow: hidden; }
      .line input { border: 0; box-shadow: none; background: transparent; border-radius: 0; padding-right: 4px; } .line input:focus { box-shadow: none; }
      .line:focus-within { border-color: ${theme.primary}; }
      .test { justify-self: start; font-size: 11px; font-weight: 700; letter-spacing: .04em; padding: 2px 6px; border-radius: 4px; background: #ffdd9a; color: #7a3b00; }`);
    return sheet;
  }

  const TABS = { card: "Card", blik: "BLIK", p24: "Przelewy24", ideal: "iDEAL", sepa_debit: "SEPA Debit" };
  const FIELDS = {
    number: { label: "Card number", placeholder: "1234 1234 1234 1234", auto: "cc-number", least: 15, code: "incomplete_number", message: "Your card number is incomplete." },
    expiry: { label: "Expiration date", placeholder: "MM / YY", auto: "cc-exp", least: 4, code: "incomplete_expiry", message: "Your card's expiration date is incomplete." },
    cvc: { label: "Security code", placeholder: "CVC", auto: "cc-csc", least: 3, code: "incomplete_cvc", message: "Your card's security code is incomplete." },
    blik: { label: "BLIK code", placeholder: "000000", auto: "one-time-code", least: 6, code: "incomplete_blik_code", message: "Your BLIK code is incomplete." },
    iban: { label: "IBAN", placeholder: "DE00 0000 0000 0000 0000 00", auto: "off", least: 0, code: "incomplete_iban", message: "Your IBAN is incomplete." },
    holder: { label: "Full name", placeholder: "First and last name", auto: "name", least: 0, code: "incomplete_name", message: "Your name is incomplete." },
  };
  const OF_METHOD = { card: ["number", "expiry", "cvc"], blik: ["blik"], sepa_debit: ["holder", "iban"], p24: [], ideal: [] };

  function tidy(name, input) {
    const plain = digits(input.value);
    if (name === "number") input.value = (plain.slice(0, 16).match(/.{1,4}/g) || []).join(" ");
    if (name === "expiry") { const text = plain.length === 1 && plain > "1" ? `0${plain}` : plain.slice(0, 4); input.value = text.length > 2 ? `${text.slice(0, 2)} / ${text.slice(2)}` : text; }
    if (name === "cvc") input.value = plain.slice(0, 4);
    if (name === "blik") input.value = plain.slice(0, 6);
  }

  const node = (tag, properties, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };
  let numbers = 0;

  class Element {
    constructor(kind, elements, options) { Object.assign(this, { kind, elements, options: options || {}, inputs: {}, heard: {}, method: "card" }); }

    on(name, heard) { (this.heard[name] ||= []).push(heard); return this; }
    once(name, heard) { return this.on(name, heard); }
    off(name) { delete this.heard[name]; return this; }
    tell(name, event) { for (const heard of this.heard[name] || []) heard({ elementType: this.kind, ...event }); }
    update(options) { Object.assign(this.options, options); return this; }
    focus() { Object.values(this.inputs)[0]?.focus(); return this; }
    blur() { Object.values(this.inputs)[0]?.blur(); return this; }
    clear() { for (const input of Object.values(this.inputs)) input.value = ""; this.changed(); return this; }
    unmount() { this.host?.remove(); this.host = null; this.inputs = {}; }
    destroy() { this.unmount(); this.elements.made = this.elements.made.filter((one) => one !== this); }

    mount(place) {
      const target = typeof place === "string" ? document.querySelector(place) : place;
      if (!target) throw new Error(`The selector you specified (${place}) applies to no DOM elements that are currently on the page.`);
      this.host = node("div", { className: "__PrivateStripeElement" });
      const tree = this.host.attachShadow({ mode: "open" });
      tree.adoptedStyleSheets = [styles(this.elements.options.appearance || {})];
      this.root = tree.appendChild(node("div", { className: "root" }));
      target.replaceChildren(this.host);
      this.fill();
      return this;
    }

    async fill() {
      if (this.kind === "payment") {
        const types = await this.elements.types();
        if (types.error) { this.tell("loaderror", { error: types.error }); return; }
        this.types = types.filter((type) => TABS[type]);
        this.method = this.types[0] || "card";
        this.showPayment();
      } else if (this.kind === "card") this.showLine();
      else this.showSingle({ cardNumber: "number", cardExpiry: "expiry", cardCvc: "cvc", iban: "iban" }[this.kind]);
      setTimeout(() => this.tell("ready", {}));
    }

    showPayment() {
      const parts = [];
      if (this.types.length > 1) {
        const tabs = node("div", { className: "tabs", role: "tablist" });
        for (const type of this.types) {
          const tab = node("button", { type: "button", className: "tab", role: "tab", textContent: TABS[type] });
          tab.setAttribute("aria-selected", String(type === this.method));
          tab.addEventListener("click", () => { this.method = type; this.showPayment(); this.changed(); });
          tabs.append(tab);
        }
        parts.push(tabs);
      }
      this.inputs = {};
      const [first, ...rest] = OF_METHOD[this.method].map((name) => this.field(name));
      if (first) parts.push(first);
      if (rest.length) parts.push(node("div", { className: rest.length > 1 ? "row" : "" }, ...rest));
      if (!first) parts.push(node("p", { className: "note", textContent: `After submission, you will be redirected to ${TABS[this.method]} to complete the next steps.` }));
      if (this.method === "sepa_debit") parts.push(node("p", { className: "note", textContent: "By providing your IBAN you authorise the seller to debit your account." }));
      parts.push(node("span", { className: "test", textContent: "TEST MODE" }));
      this.root.replaceChildren(...parts);
    }

    showLine() {
      this.inputs = {};
      const line = node("div", { className: "line" });
      for (const name of OF_METHOD.card) line.append(this.input(name));
      this.problem = node("div", { className: "problem", role: "alert" });
      this.root.replaceChildren(line);
    }

    showSingle(name) { this.inputs = {}; this.root.replaceChildren(this.input(name)); }

    input(name) {
      const about = FIELDS[name];
      const input = node("input", { name, id: `stripe-stub-${++numbers}`, placeholder: about.placeholder, autocomplete: about.auto, inputMode: name === "iban" || name === "holder" ? "text" : "numeric" });
      input.setAttribute("aria-label", about.label);
      input.addEventListener("input", () => { tidy(name, input); input.removeAttribute("aria-invalid"); this.changed(); });
      for (const event of ["focus", "blur"]) input.addEventListener(event, () => this.tell(event, {}));
      // As Stripe's own elements do: Enter submits the form around them, whether its button is disabled or not.
      input.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) this.host.closest("form")?.requestSubmit(); });
      this.inputs[name] = input;
      return input;
    }

    field(name) {
      const input = this.input(name);
      return node("div", {}, node("label", { htmlFor: input.id, textContent: FIELDS[name].label }), input, node("div", { className: "problem", role: "alert" }));
    }

    lacking() {
      return Object.entries(this.inputs).find(([name, input]) => {
        const text = name === "iban" || name === "holder" ? input.value.trim() : digits(input.value);
        return text.length < Math.max(1, FIELDS[name].least) || (name === "iban" && text.length < 15);
      })?.[0];
    }

    changed() {
      const empty = Object.values(this.inputs).every((input) => !input.value);
      this.tell("change", { complete: !this.lacking(), empty, error: undefined, collapsed: false, value: { type: this.method } });
    }

    refuse() {
      const name = this.lacking();
      if (!name) return null;
      const input = this.inputs[name];
      input.setAttribute("aria-invalid", "true");
      if (input.nextElementSibling?.className === "problem") input.nextElementSibling.textContent = FIELDS[name].message;
      input.focus();
      return invalid(FIELDS[name].code, FIELDS[name].message);
    }

    accept() { for (const line of this.root?.querySelectorAll(".problem") || []) line.textContent = ""; }
  }

  class Elements {
    constructor(stripe, options) { Object.assign(this, { stripe, options, made: [] }); }

    create(kind, options) { const element = new Element(kind, this, options); this.made.push(element); return element; }
    getElement(kind) { return this.made.find((element) => element.kind === kind || element.kind === kind?.name) || null; }
    update(options) { Object.assign(this.options, options); }
    async fetchUpdates() { return {}; }

    async types() {
      if (!this.options.clientSecret) return this.options.paymentMethodTypes || ["card"];
      const answer = await this.stripe.read(this.options.clientSecret);
      return answer.error ? answer : answer.payment_method_types;
    }

    async submit() {
      for (const element of this.made) {
        element.accept();
        const refused = element.refuse();
        if (refused) return refused;
      }
      return { selectedPaymentMethod: this.made[0]?.method };
    }

    // What was typed, as `payment_method_data` and `payment_method_options`.
    data(extra) {
      const typed = Object.assign({}, ...this.made.map((element) => Object.fromEntries(Object.entries(element.inputs).map(([name, input]) => [name, input.value.trim()]))));
      const type = this.made.find((element) => element.kind === "payment")?.method || (typed.iban ? "sepa_debit" : "card");
      const params = { payment_method_data: { ...extra, type, billing_details: { ...(extra?.billing_details || {}) } } };
      if (type === "card") {
        const expiry = digits(typed.expiry || "");
        params.payment_method_data.card = { number: digits(typed.number || ""), exp_month: Number(expiry.slice(0, 2)), exp_year: Number(`20${expiry.slice(2)}`), cvc: typed.cvc };
      }
      if (type === "sepa_debit") {
        params.payment_method_data.sepa_debit = { iban: typed.iban.replace(/\s/g, "") };
        params.payment_method_data.billing_details.name ||= typed.holder;
        params.mandate_data = { customer_acceptance: { type: "online", online: { user_agent: navigator.userAgent } } };
      }
      if (type === "blik") params.payment_method_options = { blik: { code: typed.blik } };
      return params;
    }
  }

  // Steps that the buyer takes elsewhere.
  const pause = (ms) => new Promise((go) => { setTimeout(go, ms); });

  function withFrame(url) {
    const frame = node("iframe", { src: url, title: "3D Secure" });
    const cover = node("div", { className: "__stripe_3ds" }, frame);
    cover.style.cssText = "position:fixed;inset:0;z-index:2147483647;background:rgba(20,22,30,.55);display:grid;place-items:center";
    frame.style.cssText = "width:min(480px,100vw);height:min(620px,100vh);border:0;border-radius:12px;background:#fff";
    document.body.append(cover);
    return cover;
  }

  class StripeStub {
    constructor(key, options) {
      if (typeof key !== "string" || !key.startsWith("pk_")) throw new Error("Please call Stripe() with your publishable key. You used an empty or a secret key.");
      Object.assign(this, { key, options: options || {} });
    }

    elements(options) { return new Elements(this, options || {}); }
    read(secret) { return ask("GET", `${kindOf(secret)}s/${idOf(secret)}`, { key: this.key, client_secret: secret }); }
    async retrievePaymentIntent(secret) { return wrapped(await this.read(secret), "payment_intent"); }
    async retrieveSetupIntent(secret) { return wrapped(await this.read(secret), "setup_intent"); }
    redirectToCheckout({ sessionId }) { location.assign(`${BASE}/c/pay/${sessionId}`); return new Promise(() => {}); }

    async createPaymentMethod(given) {
      let params = given;
      const held = given.elements || given.card?.elements || given.element?.elements;
      if (held) {
        const checked = await held.submit();
        if (checked.error) return checked;
        const extra = given.params || { billing_details: given.billing_details };
        params = held.data(extra).payment_method_data;
      }
      const answer = await ask("POST", "payment_methods", { ...params, key: this.key });
      return answer.error ? { error: answer.error } : { paymentMethod: answer };
    }

    confirmPayment(given) { return this.confirmElements(given); }
    confirmSetup(given) { return this.confirmElements(given); }

    async confirmElements({ elements, clientSecret, confirmParams, redirect }) {
      const secret = clientSecret || elements?.options.clientSecret;
      if (!secret) throw new Error("confirmPayment(): the `clientSecret` property is required.");
      const { payment_method_data: extra, ...rest } = confirmParams || {};
      if (!rest.return_url && redirect !== "if_required") throw new Error("confirmPayment(): the `confirmParams.return_url` property is required unless `redirect` is 'if_required'.");
      let params = rest;
      if (elements) {
        const checked = await elements.submit();
        if (checked.error) return checked;
        params = { ...rest, ...elements.data(extra) };
      }
      const mismatch = elements && !elements.options.clientSecret ? await this.mismatch(secret, elements.options) : null;
      if (mismatch) return { error: mismatch };
      const answer = await this.send(secret, { ...params, return_url: rest.return_url || location.href });
      if (answer.error) return { error: answer.error };
      return this.goOn(answer, secret, { redirects: true, home: redirect === "if_required" ? null : rest.return_url });
    }

    // Elements that were begun without an intent take only one that says the same.
    async mismatch(secret, options) {
      const intent = await this.read(secret);
      if (intent.error) return intent.error;
      const wrong = kindOf(secret) === "payment_intent" && ["amount", "currency"].find((name) => options[name] !== undefined && String(options[name]) !== String(intent[name]));
      if (!wrong) return null;
      return { type: "invalid_request_error", message: `The ${wrong} of the elements (${options[wrong]}) is not the ${wrong} of the PaymentIntent (${intent[wrong]}).` };
    }

    send(secret, params) { return ask("POST", `${kindOf(secret)}s/${idOf(secret)}/confirm`, { ...params, key: this.key, client_secret: secret }); }

    // After a confirmation: the bank's page, the banking app, or the seller's own page.
    async goOn(intent, secret, { redirects, home }) {
      const action = intent.next_action;
      if (intent.status === "requires_action" && action.type === "redirect_to_url" && redirects) { location.assign(action.redirect_to_url.url); return new Promise(() => {}); }
      if (intent.status === "requires_action") return this.goOn(await this.acted(secret, action), secret, { redirects, home });
      const kind = kindOf(secret);
      const failed = intent.last_payment_error || intent.last_setup_error;
      if (intent.status === "requires_payment_method" && failed) return { error: { ...failed, [kind]: intent } };
      if (home) {
        const target = new URL(home);
        target.searchParams.set(kind, intent.id);
        target.searchParams.set(`${kind}_client_secret`, secret);
        target.searchParams.set("redirect_status", intent.status === "requires_payment_method" ? "failed" : "succeeded");
        location.assign(target);
        return new Promise(() => {});
      }
      return wrapped(intent, kind);
    }

    // Waits until the buyer has acted; 3-D Secure is shown over the page.
    async acted(secret, action) {
      const url = action.redirect_to_url?.url || action.use_stripe_sdk?.stripe_js;
      const cover = url ? withFrame(url) : null;
      let intent;
      do { await pause(400); intent = await this.read(secret); } while (intent.status === "requires_action");
      cover?.remove();
      return intent;
    }

    async confirmWith(type, secret, given, options) {
      const { payment_method: method, ...rest } = given || {};
      let params = rest;
      if (typeof method === "string") params = { ...rest, payment_method: method };
      else if (method) {
        const { [type]: own, ...extra } = method;
        if (own instanceof Element) {
          const checked = await own.elements.submit();
          if (checked.error) return checked;
          params = { ...rest, ...own.elements.data(extra) };
        } else params = { ...rest, payment_method_data: { ...extra, type, [type]: own } };
      } else if (type !== "card") params = { ...rest, payment_method_data: { type } };
      if (type === "sepa_debit") params.mandate_data ||= { customer_acceptance: { type: "online", online: { user_agent: navigator.userAgent } } };
      const answer = await this.send(secret, params);
      if (answer.error) return { error: answer.error };
      if (options?.handleActions === false) return wrapped(answer, kindOf(secret));
      return this.goOn(answer, secret, { redirects: type !== "card", home: null });
    }

    confirmCardPayment(secret, given, options) { return this.confirmWith("card", secret, given, options); }
    confirmCardSetup(secret, given, options) { return this.confirmWith("card", secret, given, options); }
    confirmBlikPayment(secret, given, options) { return this.confirmWith("blik", secret, given, options); }
    confirmP24Payment(secret, given, options) { return this.confirmWith("p24", secret, given, options); }
    confirmIdealPayment(secret, given, options) { return this.confirmWith("ideal", secret, given, options); }
    confirmSepaDebitPayment(secret, given, options) { return this.confirmWith("sepa_debit", secret, given, options); }
    confirmSepaDebitSetup(secret, given, options) { return this.confirmWith("sepa_debit", secret, given, options); }
    async initEmbeddedCheckout({ clientSecret, fetchClientSecret, onComplete }) {
      return new EmbeddedCheckout(clientSecret || await fetchClientSecret(), onComplete);
    }
    createEmbeddedCheckoutPage(given) { return this.initEmbeddedCheckout(given); }
    async handleNextAction({ clientSecret }) { return this.handleCardAction(clientSecret); }
    async handleCardAction(secret) { return this.goOn(await this.read(secret), secret, { redirects: false, home: null }); }
  }

  // Checkout in a frame: the page inside says when it is complete, or where the buyer has to go.
  class EmbeddedCheckout {
    constructor(secret, onComplete) {
      this.frame = node("iframe", { src: `${BASE}/c/pay/${idOf(secret)}`, title: "Secure payment frame", allow: "payment" });
      this.frame.style.cssText = "width: 100%; min-height: 760px; border: 0; color-scheme: light";
      this.heard = (event) => {
        if (event.origin !== BASE || event.source !== this.frame.contentWindow || !event.data.embeddedCheckout) return;
        if (event.data.url) location.assign(event.data.url);
        else onComplete?.();
      };
    }

    mount(place) {
      const target = typeof place === "string" ? document.querySelector(place) : place;
      if (!target) throw new Error(`Invalid selector: ${place} matches no element of the page.`);
      addEventListener("message", this.heard);
      target.replaceChildren(this.frame);
    }

    unmount() { removeEventListener("message", this.heard); this.frame.remove(); }
    destroy() { this.unmount(); }
  }

  window.Stripe = (key, options) => new StripeStub(key, options);
  window.Stripe.version = 3;
})();
