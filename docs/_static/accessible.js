// What the theme leaves out for keyboards and screen readers.
"use strict";

// A part that scrolls must take the focus, so that the arrow keys scroll it: https://www.w3.org/WAI/WCAG22/Understanding/keyboard
const scrolls = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("pre, .table-wrapper")) scrolls.observe(part);
  for (const caption of document.querySelectorAll(".caption[role=heading]")) caption.ariaLevel = "2";
  document.querySelector(".sidebar-drawer").ariaLabel = "The site";
  document.querySelector(".toc-drawer").ariaLabel = "This page";
  if (!document.querySelector("h1")) { // only the page of the search has none
    document.querySelector("#furo-main-content").prepend(Object.assign(document.createElement("h1"), { textContent: "Search" }));
  }
});
