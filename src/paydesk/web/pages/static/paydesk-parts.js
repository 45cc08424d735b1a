// What the elements are made of: small parts of pages.

const SIGNS = {
  good: "m5 12.5 4.5 4.5L19 7",
  wait: "M12 7v5l3.5 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  end: "M12 7v6m0 3.5v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
};

/** A node with properties, attributes (in `attr`) and children; null children are left out. */
export function node(tag, { attr = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attr)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A small picture, which says nothing to those who listen. */
export function glyph(name) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SIGNS[name]);
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("class", "glyph");
  picture.setAttribute("aria-hidden", "true");
  picture.append(path);
  return picture;
}

/** A round sign that says how something ended. */
export const sign = (name) => node("span", { className: name === "good" ? "mark good" : "mark", attr: { "aria-hidden": "true" } }, glyph(name));

/** A text with its {places} filled in. */
export const put = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Wait, and then until somebody looks at the page. */
export async function pauseUnseen(ms) {
  await pause(ms);
  if (document.visibilityState !== "hidden") return;
  await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

/** A button that says that it works; pressed again meanwhile it does nothing. `picture` stands before its text else. */
export function busy(button, isBusy, text, picture = null) {
  const before = isBusy ? node("span", { className: "spin", attr: { "aria-hidden": "true" } }) : picture && glyph(picture);
  button.setAttribute("aria-disabled", String(isBusy));
  button.replaceChildren(...(before ? [before] : []), text);
}

/** Blocks where something will stand, so that nothing jumps when it comes: each is a width and a height, in CSS. */
export function skeleton(...blocks) {
  const made = blocks.map(([width, height]) => {
    const block = node("span", { className: "bone" });
    block.style.width = width;
    block.style.height = height;
    return block;
  });
  return node("div", { className: "bones", attr: { "aria-hidden": "true", part: "skeleton" } }, ...made);
}

/** A colour as red, green and blue: Stripe.js knows no newer ways to write one. */
function plain(colour) {
  if (colour.startsWith("rgb")) return colour;
  const paper = document.createElement("canvas").getContext("2d");
  paper.fillStyle = colour;
  paper.fillRect(0, 0, 1, 1);
  return `rgb(${paper.getImageData(0, 0, 1, 1).data.slice(0, 3).join(", ")})`;
}

/** How Stripe's element looks, in an element's own colours and measures: as Stripe's Appearance API has it. */
export function appearanceOf(element) {
  const probe = element.shadowRoot.appendChild(node("span"));
  const colour = (name) => {
    probe.style.color = `var(--_${name})`;
    return plain(getComputedStyle(probe).color);
  };
  const own = getComputedStyle(element);
  const [background, line, accent] = [colour("surface"), colour("line"), colour("accent")];
  const variables = {
    colorPrimary: accent,
    colorBackground: background,
    colorText: colour("text"),
    colorTextSecondary: colour("soft"),
    colorDanger: colour("danger"),
    borderRadius: own.getPropertyValue("--_radius").trim(),
    fontFamily: own.fontFamily,
    fontSizeBase: own.fontSize,
  };
  probe.remove();
  const [red, green, blue] = (background.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  const dark = 0.3 * red + 0.6 * green + 0.1 * blue < 128;
  return { theme: dark ? "night" : "stripe", variables, rules: { ".Input": { border: `1px solid ${line}` } } };
}
