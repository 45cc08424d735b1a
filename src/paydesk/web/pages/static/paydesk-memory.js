// The order that was made for a price outlives the page: who comes back, from a bank or anew, pays that one.

/** What one form keeps for its tab, by what it sells; where pages may keep nothing, nothing is kept. */
export class Memory {
  #name;

  constructor(url, price, quantity) {
    this.#name = `paydesk ${url} ${price} ${quantity}`;
  }

  /** Keep the made order, { order, token }; null forgets it. */
  keep(made) {
    try {
      if (made) sessionStorage.setItem(this.#name, JSON.stringify(made));
      else sessionStorage.removeItem(this.#name);
    } catch {
      // The page may not keep anything.
    }
  }

  /** The token of the order that was made here before, while it is this buyer's and can be paid or is on its way. */
  async token(client) {
    const made = this.#kept();
    if (!made) return null;
    try {
      await client.orders.retrieve(made.order); // somebody else's is not found
      const { state } = await client.forms.status(made.token);
      if (state === "open" || state === "pending") return made.token;
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    this.keep(null);
    return null;
  }

  #kept() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#name));
    } catch {
      return null;
    }
  }
}
