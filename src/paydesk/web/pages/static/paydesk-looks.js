// How the elements look: one style sheet, themed by custom properties. What they mean stands in docs/payment-form.md.

const LOOKS = `
  :host {
    display: block;
    --_font: var(--paydesk-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
    --_text: var(--paydesk-text, light-dark(#17211d, #e9f0ec));
    --_soft: var(--paydesk-text-soft, light-dark(#56615b, #a2afa8));
    --_surface: var(--paydesk-surface, light-dark(#ffffff, #171e1b));
    --_sunken: var(--paydesk-sunken, light-dark(#f1efe9, #202925));
    --_line: var(--paydesk-line, light-dark(#87918b, #68766f));
    --_faint: color-mix(in srgb, var(--_line) 45%, transparent);
    --_accent: var(--paydesk-accent, light-dark(#0a6b4b, #43d19a));
    --_accent-hover: var(--paydesk-accent-hover, color-mix(in srgb, var(--_accent) 88%, var(--_text)));
    --_accent-text: var(--paydesk-accent-text, light-dark(#ffffff, #04251a));
    --_accent-edge: var(--paydesk-accent-edge, transparent);
    --_danger: var(--paydesk-danger, light-dark(#b3261e, #ff9389));
    --_danger-surface: var(--paydesk-danger-surface, light-dark(#fbe8e6, #3a1a18));
    --_radius: var(--paydesk-radius, 10px);
    --_gap: var(--paydesk-gap, 16px);
    color: var(--_text);
    font: 400 var(--paydesk-font-size, 1rem) / 1.5 var(--_font);
    -webkit-font-smoothing: antialiased;
  }
  :host([hidden]), [hidden] { display: none !important; }
  *, ::before, ::after { box-sizing: border-box; }
  h2, h3, p, ul { margin: 0; padding: 0; list-style: none; }
  h2 { font-size: 1.0625em; font-weight: 650; line-height: 1.35; text-wrap: balance; }
  h3 { font-size: 1em; font-weight: 650; overflow-wrap: anywhere; }
  .stack { display: grid; gap: var(--_gap); }
  .soft { color: var(--_soft); font-size: 0.9375em; }
  .small { font-size: 0.8125em; text-align: center; text-wrap: balance; }
  .figures { font-variant-numeric: tabular-nums; white-space: nowrap; }
  .amount { font-size: 2em; font-weight: 700; letter-spacing: -0.03em; line-height: 1.1; white-space: normal; }

  .card {
    display: grid; gap: calc(var(--_gap) * 0.75); padding: calc(var(--_gap) * 1.25); border: 1px solid var(--_faint);
    border-radius: calc(var(--_radius) + 4px); background: var(--_surface);
  }
  .stack.card { gap: var(--_gap); }
  .head { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 16px; }
  .lines { margin-top: calc(var(--_gap) * 0.5); border-top: 1px solid var(--_faint); border-bottom: 1px solid var(--_faint); }
  .lines li { display: flex; justify-content: space-between; gap: 16px; padding: 10px 0; overflow-wrap: anywhere; }
  .lines li + li { border-top: 1px dashed var(--_faint); }
  .actions { display: flex; flex-wrap: wrap; gap: 10px; }
  .actions > * { flex: 0 1 auto; }

  button, .button {
    display: inline-flex; align-items: center; justify-content: center; gap: 8px; min-height: 44px; padding: 8px 16px;
    border: 1px solid color-mix(in srgb, var(--_line) 60%, transparent); border-radius: var(--_radius);
    background: var(--_surface); color: var(--_text); font: 600 0.9375em / 1.2 var(--_font); text-align: center;
    text-decoration: none; cursor: pointer; touch-action: manipulation;
    transition: background 140ms, border-color 140ms, transform 140ms;
  }
  button:hover, .button:hover { border-color: var(--_line); background: var(--_sunken); }
  button:active, .button:active { transform: translateY(1px); }
  button:focus-visible, .button:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
  .main { width: 100%; min-height: 52px; border-color: var(--_accent-edge); background: var(--_accent); color: var(--_accent-text); font-size: 1.0625em; }
  .main:hover { border-color: var(--_accent-edge); background: var(--_accent-hover); }
  .danger { border-color: color-mix(in srgb, var(--_danger) 55%, transparent); color: var(--_danger); }
  .danger:hover { border-color: var(--_danger); background: var(--_danger-surface); }
  [aria-disabled="true"] { opacity: 0.7; cursor: progress; transform: none; }
  .glyph { flex: none; width: 18px; height: 18px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }

  .problem {
    display: flex; gap: 10px; padding: 12px 14px; border-radius: var(--_radius); background: var(--_danger-surface);
    color: var(--_danger); font-size: 0.9375em; text-wrap: pretty; overflow-wrap: anywhere;
  }
  .problem::before {
    content: "!" / ""; flex: none; display: grid; place-items: center; width: 20px; height: 20px; margin-top: 1px;
    border: 1.5px solid currentColor; border-radius: 50%; font: 700 0.75rem / 1 var(--_font);
  }
  .problem:empty, .news:empty { display: none; }
  .badge { display: inline-block; padding: 2px 10px; border-radius: 99px; background: var(--_sunken); color: var(--_soft); font-size: 0.8125em; font-weight: 600; }
  .badge.bad { background: var(--_danger-surface); color: var(--_danger); }
  .sure { display: grid; gap: 10px; padding: 14px; border-radius: var(--_radius); background: var(--_sunken); }

  .end { display: grid; justify-items: center; gap: 8px; padding: 16px 0; text-align: center; text-wrap: balance; }
  .end:focus { outline: none; }
  .mark { display: grid; place-items: center; width: 52px; height: 52px; margin-bottom: 4px; border-radius: 50%; background: var(--_sunken); color: var(--_soft); }
  .mark.good { background: var(--_accent); color: var(--_accent-text); animation: pop 420ms cubic-bezier(0.2, 1.6, 0.4, 1); }
  .mark .glyph { width: 26px; height: 26px; }

  .spin { width: 18px; height: 18px; flex: none; border: 2px solid currentColor; border-right-color: transparent; border-radius: 50%; animation: turn 0.8s linear infinite; }
  .bones { display: grid; gap: 12px; }
  .bone { display: block; max-width: 100%; border-radius: calc(var(--_radius) * 0.7); background: var(--_sunken); animation: breathe 1.4s ease-in-out infinite alternate; }
  @keyframes turn { to { transform: rotate(360deg); } }
  @keyframes pop { from { transform: scale(0.4); } }
  @keyframes breathe { to { opacity: 0.45; } }
  @media (prefers-reduced-motion: reduce) {
    *, ::before { animation: none !important; transition: none !important; }
    .spin { opacity: 0.5; }
  }
  @media (forced-colors: active) {
    button, .button, .problem { border: 1px solid ButtonText; }
    .bone { border: 1px solid GrayText; }
  }
`;

let looks = null;

/** The one style sheet of all elements. */
export function sheet() {
  if (looks === null) {
    looks = new CSSStyleSheet();
    looks.replaceSync(LOOKS);
  }
  return looks;
}
