// The API reference: finds calls while one types, and marks the one that is being read.
"use strict";

(() => {
  const search = document.getElementById("search");
  const list = document.getElementById("contents-list");
  const operations = [...document.querySelectorAll(".operation")];
  const links = new Map(operations.map((one) => [one.id, document.querySelector(`[data-for="${one.id}"]`)]));
  const narrow = matchMedia("(max-width: 959px)");

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of operations) {
      const fits = words.every((word) => one.dataset.search.includes(word));
      one.hidden = !fits;
      links.get(one.id).hidden = !fits;
      count += fits;
    }
    for (const group of document.querySelectorAll("[data-group]")) {
      group.hidden = !group.querySelector(".operation:not([hidden]), [data-for]:not([hidden])");
    }
    for (const basics of document.querySelectorAll("[data-basics]")) basics.hidden = words.length > 0;
    if (words.length) scrollTo(0, 0);
    document.getElementById("nothing").hidden = count > 0;
    document.getElementById("found").textContent = words.length ? `${count} calls` : "";
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    search.value = "";
    find();
    search.blur();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, textarea")) return;
    event.preventDefault();
    search.focus();
  });

  // A link into the page shows its call even when a search hides it.
  list.addEventListener("click", (event) => {
    if (event.target.closest("a") && narrow.matches) list.open = false;
  });
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target || !target.closest("[hidden]")) return;
    search.value = "";
    find();
    target.scrollIntoView();
  });

  const current = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const link = links.get(entry.target.id).querySelector("a");
        if (entry.isIntersecting) link.setAttribute("aria-current", "location");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-20% 0px -75% 0px" },
  );
  operations.forEach((one) => current.observe(one));

  list.open = !narrow.matches;
  narrow.addEventListener("change", () => { list.open = !narrow.matches; });
})();
