// The filter of claims, and where in the contents the reader is.
"use strict";
(() => {
  const filter = document.querySelector(".filter");
  if (filter) {
    const items = [...document.querySelectorAll(".claims li")];
    const count = document.querySelector(".count");
    const all = count.textContent;
    filter.hidden = false;
    filter.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const wanted = button.dataset.filter;
      for (const other of filter.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      for (const item of items) item.hidden = wanted !== "" && !item.dataset.verdicts.split(",").includes(wanted);
      const shown = items.filter((item) => !item.hidden).length;
      count.textContent = wanted === "" ? all : `${shown} of ${items.length} claims: ${wanted}.`;
    });
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
    let first = true;
    for (const [id, link] of links) {
      const here = first && seen.has(id);
      if (here) first = false;
      here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const id of links.keys()) {
    const section = document.getElementById(id);
    if (section) observer.observe(section);
  }
})();
